"""The model with the fewest requests in flight for its capacity."""

import random

from router.types import RoutingContext


class LeastBusy:
    """Ranks by requests in flight per weight, fewest first.

    Ties are drawn by weight, so that an idle fleet shares by capacity and a model in slow start is not asked like the
    others. It sees no latency: what fails fast looks idle; `dynamic` sees both. Thread-safe.

    Args:
        rng: Source of chance; None: one seeded by the system.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - no secret hangs on it

    def __call__(self, context: RoutingContext) -> list[str]:
        """Rank the candidates by requests in flight, ties by chance."""
        inflight, weights, draw = context.inflight, context.weights, self._rng.expovariate

        def busyness(name: str) -> tuple[float, float]:
            weight = weights.get(name, 1.0)
            return inflight.get(name, 0) / weight, draw(weight)  # the least of exponential variates: a draw by weight

        return sorted(context.candidates, key=busyness)
