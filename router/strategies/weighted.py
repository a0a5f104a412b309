"""Candidates and their weights come in, a ranking that shares the first place by weight goes out."""

import random
import threading

from router.strategies.consistent_hash import rank_by_hash
from router.types import RoutingContext

# Sums of shares that should be equal differ by about 1e-16. Rounded to this number of digits they tie, and ties keep the
# order of the model folder.
_CREDIT_DIGITS = 9


class SmoothWeighted:
    """Smooth weighted round robin: weights 5, 1 and 1 give the order a a b a c a a, not a a a a a b c.

    Every call owes each candidate its share w / Σw of one request. The model that is owed most comes first and pays one.
    This is the algorithm of nginx, ngx_http_upstream_round_robin.c. It counts shares instead of weights, so a debt stays the
    same if weights change. Models rank by their debt, largest first. Ties keep the order of the model folder.

    Let n > 1 be the number of all models ever seen. No model is ever owed n − 1 requests or more, nor is it ahead by that
    many, however weights and candidates change between calls. The proof is by induction over the calls: any k of the models
    are together owed at least −k(n − k). Let c, one of the k, pay, and let j be a candidate outside the k. Then c was owed
    at least as much as j. So the k were owed at least the mean of two sets: the k without c, and the k with j. That mean is
    at least 1 − k(n − k), and the k pay one. If all candidates are among the k, they receive together as much as they pay.

    Thread-safe. A pickled copy starts without debts.
    """

    def __init__(self) -> None:
        self._owed: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, context: RoutingContext) -> list[str]:
        """Return the ranking, and let its first model pay."""
        weights = {name: context.weights.get(name, 1.0) for name in context.candidates}
        total = sum(weights.values())
        with self._lock:
            owed = {name: self._owed.get(name, 0.0) + weight / total for name, weight in weights.items()}
            ranking = sorted(owed, key=lambda name: -round(owed[name], _CREDIT_DIGITS))
            owed[ranking[0]] -= 1
            # Models that are no candidates keep their debt until they return.
            self._owed.update(owed)
        return ranking

    def __reduce__(self) -> tuple[type["SmoothWeighted"], tuple[()]]:
        """Pickle without the debts, because they describe the requests of this process."""
        return SmoothWeighted, ()


class WeightedRandom:
    """Draw the ranking without replacement: each next model with the probability of its share of the remaining weights.

    Sorting by exponential variates of rate w is the same draw (Efraimidis and Spirakis, 2006, Weighted random sampling with
    a reservoir). Thread-safe.

    Args:
        rng: Random generator. None: one seeded by the system.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - no secret depends on it

    def __call__(self, context: RoutingContext) -> list[str]:
        """Return the candidates in a random order by weight."""
        weights, draw = context.weights, self._rng.expovariate
        return sorted(context.candidates, key=lambda name: draw(weights.get(name, 1.0)))


def weighted_key(context: RoutingContext) -> list[str]:
    """Rank by the hash of `consistent_hash`, without regard to load. Each model gets keys by its weight.

    So the share of a canary stays with the same users. A model whose weight grows takes keys from others and loses none, so
    a growing canary keeps its users. Without a key, the prompt is the key.
    """
    return rank_by_hash(context)
