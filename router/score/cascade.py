"""Expected quality, cost and time of models in, those of every cascade of them out, and the best cascade.

A cascade asks a model and lets a verifier check the answer. If it is not accepted, it asks the next model. It does not
check the last answer. The order is found by expected utility, as in A Unified Approach to Routing and Cascading for LLMs
(Dekoninck et al., 2024, arXiv:2410.10347). The idea of learning order and stopping from prices is from FrugalGPT (Chen et
al., 2023, arXiv:2305.05176).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from router.cascade import CascadeScore, Rates
from router.score.choice import find_utility

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.types import Preference


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What each of m models, or each of k cascades, is expected to give.

    Attributes:
        quality: Expected score in [0, 1], shape (m,).
        cost_usd: Expected cost in USD, shape (m,).
        latency_s: Expected seconds, shape (m,).
    """

    quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    latency_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What checking one answer costs, and how right it is.

    Attributes:
        rates: How often right and wrong answers are accepted.
        cost_usd: USD of one check.
        latency_s: Seconds of one check.
    """

    rates: Rates
    cost_usd: float = 0.0
    latency_s: float = 0.0


def expect_cascades(
    models: Expected, orders: NDArray[np.int64], check: Check, *, overlap: float
) -> tuple[Expected, NDArray[np.float64]]:
    """Return what cascades of equal length give, and the probability that each of their models is asked.

    The sum runs over all patterns of right and wrong answers of the models. Their errors are dependent: hard prompts are
    hard for all. With probability `overlap` one uniform number decides for all models together, so that model m is right if
    it is below q(m). Otherwise the models are independent. This is the mixture of the upper Fréchet bound and independence
    (Mardia, 1970, Families of Bivariate Distributions), the same for any number of models:

        P(pattern) = overlap · max(0, min q of the right − max q of the wrong) + (1 − overlap) · Π q · Π (1 − q)

    Independence alone overstates the gain, because the second model answers just those prompts that the first one failed.
    The verifier sees only whether an answer is right. A verifier that errs more on hard prompts makes a cascade worse.

    Args:
        models: The models.
        orders: Columns of the models in the order in which they are asked, shape (k, length).
        check: The check of every answer but the last.
        overlap: Share of prompts that are hard or easy for all models alike, in [0, 1].

    Returns:
        The expectations, and the probabilities in shape (k, length).
    """
    quality = models.quality[orders]
    k, length = orders.shape
    scored, asked = np.zeros(k), np.zeros((k, length))
    for pattern in product((True, False), repeat=length):
        p = _find_probability(quality, np.array(pattern), overlap)
        for place, is_right in enumerate(pattern):
            asked[:, place] += p
            is_last = place == length - 1
            accepted = 1.0 if is_last else check.rates.true_accept if is_right else check.rates.false_accept
            scored += p * accepted * is_right
            p = p * (1 - accepted)
    checks = asked[:, :-1].sum(axis=1)
    cost = (asked * models.cost_usd[orders]).sum(axis=1) + checks * check.cost_usd
    latency = (asked * models.latency_s[orders]).sum(axis=1) + checks * check.latency_s
    return Expected(quality=scored, cost_usd=cost, latency_s=latency), asked


def find_best_cascade(
    names: Sequence[str],
    models: Expected,
    check: Check,
    preference: Preference,
    *,
    overlap: float,
    max_models: int,
    only_last: Collection[str] = (),
) -> CascadeScore | None:
    """Return the best of all cascades. None if the verifier is useless, there are too few models or none is good enough.

    The search is exact. A model that `max_models` others beat in quality and price is left out: one of those is free to take
    its place, which is never worse. A pair is only continued if it could win with a third model of the best quality and the
    lowest price. With `quality_floor` the best cascade is the cheapest one that reaches that share of the quality of the
    best single model. Ties go to the shorter cascade.

    Args:
        names: Names of the models.
        models: What they are expected to give.
        check: The check of every answer but the last.
        preference: How quality is weighed against cost and time.
        overlap: As in `expect_cascades`.
        max_models: Most models in a row, 2 or 3.
        only_last: Models whose own answers the verifier cannot check.
    """
    if not check.rates.is_useful:
        return None
    last = np.array([name in only_last for name in names])
    columns = np.flatnonzero(_count_better(models, ~last, preference) < max_models)
    first = columns[~last[columns]]
    find = partial(_find_worth, preference=preference, best=float(models.quality.max()))
    pairs = _extend(first[:, None], columns)
    found = _take_best(names, pairs, *expect_cascades(models, pairs, check, overlap=overlap), find, preference)
    if max_models > pairs.shape[1]:
        open_ = pairs[~last[pairs[:, 1]]]
        ideal, orders = _add_ideal(models), np.hstack([open_, np.full((len(open_), 1), len(names))])
        bound = find(expect_cascades(ideal, orders, check, overlap=overlap)[0])
        triples = _extend(open_[bound > (found[0] if found else -np.inf)], columns)
        more = _take_best(names, triples, *expect_cascades(models, triples, check, overlap=overlap), find, preference)
        found = more if found is None or (more is not None and more[0] > found[0]) else found
    return found[1] if found else None


def _find_probability(quality: NDArray[np.float64], right: NDArray[np.bool_], overlap: float) -> NDArray[np.float64]:
    """Return the probability of a pattern of right and wrong answers, shape (k,)."""
    apart = np.where(right, quality, 1 - quality).prod(axis=1)
    highest = np.where(right, quality, 1.0).min(axis=1)
    lowest = np.where(right, 0.0, quality).max(axis=1)
    return np.asarray(overlap * np.maximum(0.0, highest - lowest) + (1 - overlap) * apart)


def _count_better(models: Expected, counts: NDArray[np.bool_], preference: Preference) -> NDArray[np.int64]:
    """Return by how many models each one is beaten in quality and price. Of equal models, the first beats the others.

    Args:
        models: The models.
        counts: Which models count as better ones.
        preference: Turns cost and time into one price. If it does not weigh them, the cost alone is the price.
    """
    price = models.quality - find_utility(models.quality, models.cost_usd, preference, latency_s=models.latency_s)
    terms = np.stack([models.quality, -price if preference.weighs else -models.cost_usd])
    no_worse = (terms[:, :, None] >= terms[:, None, :]).all(axis=0)
    earlier = np.arange(len(counts))[:, None] < np.arange(len(counts))
    beats = no_worse & (~no_worse.T | earlier) & counts[:, None]
    return np.asarray(beats.sum(axis=0), np.int64)


def _extend(orders: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return every order followed by each model that it lacks, shape (k, length + 1)."""
    rows, added = np.repeat(orders, len(columns), axis=0), np.tile(columns, len(orders))[:, None]
    is_new = np.asarray((rows != added).all(axis=1), np.bool_)
    return np.asarray(np.hstack([rows, added])[is_new], np.int64)


def _add_ideal(models: Expected) -> Expected:
    """Return the models and one more, as good as the best and as cheap and fast as the cheapest and the fastest."""
    return Expected(
        quality=np.append(models.quality, models.quality.max()),
        cost_usd=np.append(models.cost_usd, models.cost_usd.min()),
        latency_s=np.append(models.latency_s, models.latency_s.min()),
    )


def _find_worth(expected: Expected, *, preference: Preference, best: float) -> NDArray[np.float64]:
    """Return what is compared: the utility, or less of the cost if it is good enough and minus infinity if it is not.

    Args:
        expected: Expectations of cascades.
        preference: How quality is weighed against cost and time.
        best: Expected quality of the best single model.
    """
    if preference.weighs:
        return find_utility(expected.quality, expected.cost_usd, preference, latency_s=expected.latency_s)
    return np.where(expected.quality >= (preference.quality_floor or 0.0) * best, -expected.cost_usd, -np.inf)


def _take_best(
    names: Sequence[str],
    orders: NDArray[np.int64],
    expected: Expected,
    asked: NDArray[np.float64],
    find: Callable[[Expected], NDArray[np.float64]],
    preference: Preference,
) -> tuple[float, CascadeScore] | None:
    """Return the best cascade of one length with its worth. None if there is none that is good enough."""
    worth = find(expected)
    row = int(worth.argmax()) if len(worth) else -1
    if row < 0 or worth[row] == -np.inf:
        return None
    utility = find_utility(expected.quality, expected.cost_usd, preference, latency_s=expected.latency_s)
    return float(worth[row]), CascadeScore(
        models=tuple(names[column] for column in orders[row].tolist()),
        shares=tuple(asked[row].tolist()),
        quality=float(expected.quality[row]),
        cost_usd=float(expected.cost_usd[row]),
        latency_s=float(expected.latency_s[row]),
        utility=float(utility[row]),
    )
