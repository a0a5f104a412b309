"""Each model in turn, whatever the prompt and the load."""

import threading

from router.types import RoutingContext


class RoundRobin:
    """Ranks by how long ago each model was first; those that never were come before, in the artifact's order.

    Any n calls in a row with the same n candidates put each of them first exactly once, whatever came before: a position
    that is counted modulo n, as is common, would favour some where candidates change between calls. The ranking is the
    order of the next n calls.

    Thread-safe. A pickled copy starts afresh.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._last: dict[str, int] = {}  # the call in which a model was last the first
        self._lock = threading.Lock()

    def __call__(self, context: RoutingContext) -> list[str]:
        """Rank the candidates; the first has had its turn."""
        with self._lock:
            ranking = sorted(context.candidates, key=lambda name: self._last.get(name, 0))
            self._calls += 1
            self._last[ranking[0]] = self._calls
        return ranking

    def __reduce__(self) -> tuple[type["RoundRobin"], tuple[()]]:
        """Leave the turns behind: they tell what this process sent."""
        return RoundRobin, ()
