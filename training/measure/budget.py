"""A cap in USD that the calls under way can never exceed together."""

from __future__ import annotations

import threading

from router.errors import RouterError

# Sums of floats differ by their order.
_ROUNDING = 1e-12


class OutOfBudgetError(RouterError):
    """The most that a call can cost does not fit under the cap any more."""


class Budget:
    """Money that is spent, reserved or left. Thread-safe.

    Args:
        cap_usd: The cap.
        spent_usd: USD that earlier runs have spent.

    Attributes:
        cap_usd: The cap.
        spent_usd: USD that are spent so far.
    """

    def __init__(self, cap_usd: float, *, spent_usd: float = 0.0) -> None:
        self.cap_usd, self.spent_usd = cap_usd, spent_usd
        self._reserved_usd = 0.0
        self._changed = threading.Condition()

    def reserve(self, usd: float) -> None:
        """Reserve the most that a call can cost. Wait for the end of other calls if these may leave enough.

        Raises:
            OutOfBudgetError: If it does not fit, and no other call is under way.
        """
        with self._changed:
            while self.spent_usd + self._reserved_usd + usd > self.cap_usd * (1 + _ROUNDING):
                if self._reserved_usd <= 0 or self.spent_usd + usd > self.cap_usd * (1 + _ROUNDING):
                    left = max(0.0, self.cap_usd - self.spent_usd)
                    raise OutOfBudgetError(f"a call may cost {usd:.3g} USD, but {left:.3g} of {self.cap_usd:g} USD are left")
                self._changed.wait()
            self._reserved_usd += usd

    def settle(self, reserved_usd: float, spent_usd: float) -> None:
        """Replace a reservation by what the call has cost."""
        with self._changed:
            # The last reservation leaves no rounding error behind.
            rest = self._reserved_usd - reserved_usd
            self._reserved_usd = rest if rest > _ROUNDING else 0.0
            self.spent_usd += spent_usd
            self._changed.notify_all()
