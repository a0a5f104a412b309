"""Candidates come in, a ranking that puts each first in turn goes out, whatever the prompt and the load."""

import threading

from router.types import RoutingContext


class RoundRobin:
    """Rank by how long ago each model was first. Models that were never first lead, in the order of the model folder.

    Any n calls in a row with the same n candidates put each of them first exactly once, whatever came before. The common
    counter modulo n would favour some models if the candidates change between calls. The ranking is also the order of the
    next n calls.

    Thread-safe. A pickled copy starts without turns.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._last: dict[str, int] = {}  # number of the call in which a model was last ranked first
        self._lock = threading.Lock()

    def __call__(self, context: RoutingContext) -> list[str]:
        """Return the ranking, and count the turn of its first model."""
        with self._lock:
            # Calls count from 1, so 0 puts a model that was never first before all others.
            ranking = sorted(context.candidates, key=lambda name: self._last.get(name, 0))
            self._calls += 1
            self._last[ranking[0]] = self._calls
        return ranking

    def __reduce__(self) -> tuple[type["RoundRobin"], tuple[()]]:
        """Pickle without the turns, because they describe the requests of this process."""
        return RoundRobin, ()
