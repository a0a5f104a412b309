"""The less loaded of two models, taken at random."""

import random

from router.types import RoutingContext


class Dynamic:
    """Power of two choices on live load: of two different candidates the less loaded comes first, the rest by load.

    Whoever is always the least loaded would be asked by everyone at once, and before its load shows it; of two at random,
    the most loaded of n is never chosen and no other gets more than 2/n of the requests (Mitzenmacher, 2001, The power of
    two choices in randomized load balancing). Latency, requests in flight, weight and the penalty for failures are in the
    load; a model in cooldown is no candidate. Ties at random. Thread-safe.

    Args:
        rng: Source of chance; None: one seeded by the system.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - no secret hangs on it

    def __call__(self, context: RoutingContext) -> list[str]:
        """Rank the candidates by live load and chance."""
        loads, chance = context.loads, self._rng.random
        ranking = sorted(context.candidates, key=lambda name: (loads.get(name, 0.0), chance()))
        if len(ranking) > 1:
            better = min(self._rng.sample(range(len(ranking)), 2))
            ranking.insert(0, ranking.pop(better))
        return ranking
