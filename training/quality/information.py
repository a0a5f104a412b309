"""What is known about models in, the scores that would improve the choice of models most per USD out.

The value of information of a score is how much better the choice is expected to be once it is known. With normal
posteriors it has a closed form, the knowledge gradient with correlated beliefs (Frazier, Powell and Dayanik, 2009, INFORMS
Journal on Computing 21:599–613): a score of a model on one task also tells of its quality on other tasks. One score alone is
often worth nothing although twenty are worth much. So scores are bought in batches, of the size that is worth most per USD
(Frazier and Powell, 2010, Decision Analysis 7:378–403).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from training.quality.posterior import Posterior

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIZES = (5, 10, 20, 40, 80)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Knowledge:
    """What is known about m models on t tasks.

    Attributes:
        mean: Expected quality, shape (m, t).
        covariance: Covariance of the qualities of one model, shape (m, t, t).
        cost_usd: Expected USD of an answer, shape (m, t). NaN if unknown.
        measure_usd: Expected USD of an answer and its grade, above 0, shape (m, t). NaN: the model cannot be measured.
        share: Share of the prompts that are of a task, shape (t,).
        available: Number of prompts without a score of the model, shape (m, t).
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    measure_usd: NDArray[np.float64]
    share: NDArray[np.float64]
    available: NDArray[np.int64]

    @classmethod
    def of(cls, posterior: Posterior, **others: NDArray[Any]) -> Knowledge:
        """Return what a posterior knows. The other attributes follow the order of its models."""
        found = [posterior.predict(model) for model in posterior.cells.traits.models]
        return cls(
            mean=np.array([mean for mean, _ in found]),
            covariance=np.array([covariance for _, covariance in found]),
            **others,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """Scores to buy.

    Attributes:
        model: Index of the model.
        task: Index of the task.
        n: Number of prompts.
        cost_usd: What they are expected to cost.
        gain: Utility that they are expected to add to each later prompt, in expected score.
    """

    model: int
    task: int
    n: int
    cost_usd: float
    gain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        purchases: The scores to buy, the most valuable per USD first.
        pays: Whether more scores would still have paid when the budget ended.
    """

    purchases: tuple[Purchase, ...]
    pays: bool


def make_plan(knowledge: Knowledge, *, budget_usd: float, usd_per_point: Sequence[float], horizon: float) -> Plan:
    """Return the scores that are worth most per USD, as long as they are worth what they cost.

    Args:
        knowledge: What is known.
        budget_usd: What the scores may cost together.
        usd_per_point: The prices at which the router is used: USD that 0.01 of expected score of one prompt is worth. The
            gain is the mean over them. If all are infinite, only the budget ends the plan.
        horizon: Number of later prompts that the scores will serve.
    """
    covariance, left = knowledge.covariance.copy(), knowledge.available.copy()
    prices = np.array(usd_per_point)
    utility = knowledge.mean - 0.01 * np.nan_to_num(knowledge.cost_usd) / prices[:, None, None]
    ahead = np.stack([each - _best_other(each) for each in utility])
    # What 1.0 of expected score of one prompt is worth in USD.
    worth_usd = 100 * float(prices[np.isfinite(prices)].mean()) if np.isfinite(prices).any() else np.inf
    worth = np.stack([_weigh(knowledge, covariance, ahead, left, model) for model in range(len(knowledge.mean))])
    purchases: list[Purchase] = []
    spent = 0.0
    sizes = np.array(_SIZES)
    while True:
        usd = sizes * knowledge.measure_usd[:, :, None]
        per_usd = np.where((usd <= budget_usd - spent) & (worth > 0), worth / usd, 0.0)
        pays = worth * worth_usd * horizon > usd if np.isfinite(worth_usd) else worth > 0
        per_usd = np.where(pays, per_usd, 0.0)
        model, task, size = (int(i) for i in np.unravel_index(per_usd.argmax(), per_usd.shape))
        if per_usd[model, task, size] <= 0:
            return Plan(purchases=tuple(purchases), pays=bool(pays.any()))
        n, cost = int(sizes[size]), float(usd[model, task, size])
        gain = float(worth[model, task, size])
        purchases.append(Purchase(model=model, task=task, n=n, cost_usd=cost, gain=gain))
        spent += cost
        left[model, task] -= n
        told = covariance[model, :, task]
        covariance[model] -= np.outer(told, told) / (told[task] + _noise(knowledge.mean[model, task]) / n)
        worth[model] = _weigh(knowledge, covariance, ahead, left, model)


def _weigh(
    knowledge: Knowledge,
    covariance: NDArray[np.float64],
    ahead: NDArray[np.float64],
    left: NDArray[np.int64],
    model: int,
) -> NDArray[np.float64]:
    """Return the gain of scores of one model by task and size, shape (t, sizes). 0 if there are too few prompts.

    Args:
        knowledge: What is known.
        covariance: Covariance of the qualities after what is planned so far.
        ahead: Utility less that of the best other model at each price, shape (prices, m, t).
        left: Number of prompts that may still be bought.
        model: The model.
    """
    sizes, own = np.array(_SIZES), covariance[model]
    variance = own.diagonal()[:, None] + _noise(knowledge.mean[model])[:, None] / sizes
    # How much the mean quality on each task is expected to move, shape (tasks to measure, sizes, tasks).
    moves = np.abs(own)[:, None, :] / np.sqrt(variance)[:, :, None]
    moves = np.maximum(moves, 1e-12)
    z = -np.abs(ahead[:, model])[:, None, None, :] / moves
    gain = (moves * (z * norm.cdf(z) + norm.pdf(z))).mean(axis=0) @ knowledge.share
    return np.where((sizes <= left[model][:, None]) & ~np.isnan(knowledge.measure_usd[model])[:, None], gain, 0.0)


def _best_other(utility: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the utility of the best other model, shape (m, t)."""
    if len(utility) == 1:
        return np.full_like(utility, -np.inf)
    second, best = np.sort(utility, axis=0)[-2:]
    return np.asarray(np.where(utility == best, second, best))


def _noise(quality: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest variance of a single score with this mean, at least 0.01."""
    bounded = np.clip(quality, 0, 1)
    return np.asarray(np.maximum(bounded * (1 - bounded), 0.01))


def pick_prompts(
    scored: NDArray[np.bool_], purchases: Sequence[Purchase], task: NDArray[np.int64], *, seed: int
) -> list[tuple[int, int]]:
    """Return the pairs (prompt, model) that purchases stand for. No pair repeats, and none is scored already.

    Prompts that most models have a score of come first, because only there models can be compared on the same prompts.

    Args:
        scored: Whether a prompt has a score of a model, shape (prompts, m).
        purchases: What to buy.
        task: Task of each prompt.
        seed: Seed of the order among equals.
    """
    taken, pairs = scored.copy(), []
    order = np.random.default_rng(seed).permutation(len(task))
    order = order[np.argsort(-scored.sum(axis=1)[order], kind="stable")]
    for purchase in purchases:
        free = [i for i in order.tolist() if task[i] == purchase.task and not taken[i, purchase.model]][: purchase.n]
        taken[free, purchase.model] = True
        pairs += [(i, purchase.model) for i in free]
    return pairs
