"""Candidates and their live load come in, a ranking by load goes out, led by the less loaded of two random ones."""

import random

from router.types import RoutingContext


class Dynamic:
    """Rank by power of two choices: of two random candidates the less loaded comes first, then the others by load.

    If every router chose the least loaded model, all would choose the same one, before its load shows it. With two random
    candidates, the most loaded of n models is never chosen. No other gets more than 2/n of the requests (Mitzenmacher,
    2001, The power of two choices in randomized load balancing). The load contains latency, requests in flight, weight and
    the penalty for failures. A model that cools down is no candidate. Ties are broken at random. Thread-safe.

    Args:
        rng: Random generator. None: one seeded by the system.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - no secret depends on it

    def __call__(self, context: RoutingContext) -> list[str]:
        """Return the candidates by live load, after a random choice of two for the first place."""
        loads, chance = context.loads, self._rng.random
        ranking = sorted(context.candidates, key=lambda name: (loads.get(name, 0.0), chance()))
        if len(ranking) > 1:
            # The ranking is sorted by load, so the smaller index is the less loaded of the two.
            better = min(self._rng.sample(range(len(ranking)), 2))
            ranking.insert(0, ranking.pop(better))
        return ranking
