"""Shares of the traffic by capacity: evenly spread, drawn, or by key."""

import random
import threading

from router.strategies.consistent_hash import rank_by_hash
from router.types import RoutingContext

# Sums of shares that are equal on paper differ by some 1e-16; rounded, their ties go by the artifact's order.
_CREDIT_DIGITS = 9


class SmoothWeighted:
    """Smooth weighted round robin: a model of weight 5 beside two of weight 1 gets a a b a c a a, not a a a a a b c.

    Every call owes each candidate its share w / Σw of one request; the one owed most comes first and pays one. (The
    algorithm of nginx, ngx_http_upstream_round_robin.c, in shares instead of weights, so that a debt stays what it is when
    weights change.) Ranks by what is owed, most first; ties in the artifact's order.

    No model is owed n − 1 requests or more, nor ahead by so many, where n > 1 counts all models ever seen, however weights
    and candidates change between calls. For, by induction over the calls, any k of them are together owed at least
    −k(n − k): let c be one of the k, and pay, and let j be a candidate that is not. c was owed no less than j, so the k no
    less than the mean of the k without c and the k with j, thus at least 1 − k(n − k); and they pay one. (Where all
    candidates are among the k, these get together what they pay.)

    Thread-safe. A pickled copy starts afresh.
    """

    def __init__(self) -> None:
        self._owed: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, context: RoutingContext) -> list[str]:
        """Rank the candidates; the first has had its turn."""
        weights = {name: context.weights.get(name, 1.0) for name in context.candidates}
        total = sum(weights.values())
        with self._lock:
            owed = {name: self._owed.get(name, 0.0) + weight / total for name, weight in weights.items()}
            ranking = sorted(owed, key=lambda name: -round(owed[name], _CREDIT_DIGITS))
            owed[ranking[0]] -= 1
            self._owed.update(owed)
        return ranking

    def __reduce__(self) -> tuple[type["SmoothWeighted"], tuple[()]]:
        """Leave the debts behind: they tell what this process sent."""
        return SmoothWeighted, ()


class WeightedRandom:
    """Draws the ranking without replacement: each next model with a probability that is its share of the weights left.

    Sorted by exponential variates of rate w, which is that draw (Efraimidis and Spirakis, 2006, Weighted random sampling
    with a reservoir). Thread-safe.

    Args:
        rng: Source of chance; None: one seeded by the system.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - no secret hangs on it

    def __call__(self, context: RoutingContext) -> list[str]:
        """Rank the candidates by chance."""
        weights, draw = context.weights, self._rng.expovariate
        return sorted(context.candidates, key=lambda name: draw(weights.get(name, 1.0)))


def weighted_key(context: RoutingContext) -> list[str]:
    """Give each key its model, and each model keys by its weight: a canary's share sticks to the same users.

    A larger weight takes keys from others and gives none away, so that a growing canary keeps whom it has. By the hash of
    `consistent_hash`, but whatever the load. Where no key is given, the prompt is it.
    """
    return rank_by_hash(context)
