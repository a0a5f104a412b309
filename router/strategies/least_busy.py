"""Candidates and their requests in flight come in, a ranking by the fewest for their capacity goes out."""

import random

from router.types import RoutingContext


class LeastBusy:
    """Rank by requests in flight per weight, fewest first.

    Ties are drawn by weight. So idle models share the requests by capacity, and a model in slow start gets fewer. This
    strategy does not see latency, so a model that fails fast looks idle; `dynamic` sees both. Thread-safe.

    Args:
        rng: Random generator. None: one seeded by the system.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - no secret depends on it

    def __call__(self, context: RoutingContext) -> list[str]:
        """Return the candidates by requests in flight, with random ties."""
        inflight, weights, draw = context.inflight, context.weights, self._rng.expovariate

        def busyness(name: str) -> tuple[float, float]:
            weight = weights.get(name, 1.0)
            # The smallest of exponential variates with these rates is a draw by weight.
            return inflight.get(name, 0) / weight, draw(weight)

        return sorted(context.candidates, key=busyness)
