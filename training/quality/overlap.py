"""Scores of many models on the same prompts in, the share of prompts that are hard or easy for all models alike out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    shared = possible = 0.0
    for one in np.unique(task).tolist():
        known = ~np.isnan(score[task == one])
        scores, weights = np.nan_to_num(score[task == one]), known.astype(np.float64)
        first, second = np.nonzero(np.triu(weights.T @ weights, k=1))
        n = (weights.T @ weights)[first, second]
        # The quality of each model of a pair, on the prompts of both.
        q, r = ((scores.T @ weights)[pair] / n for pair in ((first, second), (second, first)))
        shared += float((n * ((scores.T @ scores)[first, second] / n - q * r)).sum())
        possible += float((n * (np.minimum(q, r) - q * r)).sum())
    return None if possible <= 0 else min(max(shared / possible, 0.0), 1.0)
