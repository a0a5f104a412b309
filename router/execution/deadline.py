"""Take the clock and the start of a call and report the time that is left."""

from __future__ import annotations

from collections.abc import Callable

# Clocks and timers differ by a little. With less time than this nothing is attempted any more.
NO_TIME_S = 0.001


class Deadline:
    """End of a call.

    Args:
        seconds: Length of the call.
        began_at: Start of the call by the clock. None: now.
        clock: Seconds that never go back.
    """

    def __init__(self, seconds: float, began_at: float | None, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends_at = (clock() if began_at is None else began_at) + seconds

    def left_s(self) -> float:
        """Return the seconds that are left, ≥ 0. Less than a millisecond counts as 0."""
        left_s = self._ends_at - self._clock()
        return left_s if left_s > NO_TIME_S else 0.0
