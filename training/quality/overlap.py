"""Scores of many models on the same prompts in, how much the prompts are hard or easy for all models alike out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Turns the mean scores q and r of the models of each pair into the most that P(both right) − q · r could be.
FindMost = Callable[["NDArray[np.float64]", "NDArray[np.float64]"], "NDArray[np.float64]"]


def measure_overlap(score: NDArray[np.float64], task: NDArray[np.int64]) -> float | None:
    """Return the overlap of the models' errors, as `router.score.cascade.expect_cascades` takes it, in [0, 1].

    For two models the mixture says P(both right) = q · r + overlap · (min(q, r) − q · r). So the overlap is the sum of
    P(both right) − q · r over all tasks and pairs, divided by the sum of min(q, r) − q · r. Each pair counts by the prompts
    that both models answered. A score between 0 and 1 counts as a probability.

    Args:
        score: Measured scores, shape (prompts, models). NaN if not measured.
        task: Task of each prompt, shape (prompts,).

    Returns:
        The overlap. None if no two models have a quality between 0 and 1 on the same prompts.
    """
    return _measure_shared(score, task, lambda q, r: np.minimum(q, r) - q * r)


def measure_correlation(score: NDArray[np.float64], task: NDArray[np.int64]) -> float | None:
    """Return the mean correlation between the scores of two models on the prompts of a task, in [0, 1].

    It is like the overlap, but relative to the standard deviations √(q(1 − q)) and √(r(1 − r)) of the two models.

    Args:
        score: Measured scores, shape (prompts, models). NaN if not measured.
        task: Task of each prompt, shape (prompts,).

    Returns:
        The correlation. None if no two models have a quality between 0 and 1 on the same prompts.
    """
    # Rounding can take a perfect score beyond 1.
    return _measure_shared(score, task, lambda q, r: np.sqrt(np.maximum(q * (1 - q) * r * (1 - r), 0.0)))


def _measure_shared(score: NDArray[np.float64], task: NDArray[np.int64], find_most: FindMost) -> float | None:
    """Return the sum of P(both right) − q · r over all pairs, divided by the sum of the most that it could be, in [0, 1]."""
    shared = possible = 0.0
    for n, both, q, r in _count_pairs(score, task):
        shared += float(n @ (both - q * r))
        possible += float(n @ find_most(q, r))
    return None if possible <= 0 else min(max(shared / possible, 0.0), 1.0)


def _count_pairs(score: NDArray[np.float64], task: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """Yield for each task the pairs of models with common prompts.

    Yields:
        By pair: the number of common prompts, the mean product of both scores there, and the mean score of each model there.
    """
    for one in np.unique(task).tolist():
        known = ~np.isnan(score[task == one])
        scores, weights = np.nan_to_num(score[task == one]), known.astype(np.float64)
        first, second = np.nonzero(np.triu(weights.T @ weights, k=1))
        n = (weights.T @ weights)[first, second]
        q, r = ((scores.T @ weights)[pair] / n for pair in ((first, second), (second, first)))
        yield n, (scores.T @ scores)[first, second] / n, q, r
