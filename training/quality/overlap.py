"""Scores of many models on the same prompts in, the share of prompts that are hard or easy for all models alike out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from router.cascade import DEFAULT_OVERLAP

if TYPE_CHECKING:
    from numpy.typing import NDArray


def measure_overlap(score: NDArray[np.float64], task: NDArray[np.int64]) -> float:
    """Return the overlap of the models' errors, as `router.score.cascade.expect_cascades` takes it, in [0, 1].

    For two models the mixture says P(both right) = q · r + overlap · (min(q, r) − q · r). So the overlap is the sum of
    P(both right) − q · r over all tasks and pairs, divided by the sum of min(q, r) − q · r. Tasks count by their prompts. A
    score between 0 and 1 counts as a probability.

    Args:
        score: Measured scores, shape (prompts, models). Rows with NaN are left out.
        task: Task of each prompt, shape (prompts,).

    Returns:
        The overlap. The default if no two models differ from 0 and 1 in any task.
    """
    complete = ~np.isnan(score).any(axis=1)
    shared = possible = 0.0
    for one in np.unique(task[complete]).tolist():
        scores = score[complete & (task == one)]
        quality, both = scores.mean(axis=0), scores.T @ scores / len(scores)
        apart = np.outer(quality, quality)
        above = np.triu_indices(len(quality), k=1)
        shared += len(scores) * float((both - apart)[above].sum())
        possible += len(scores) * float((np.minimum.outer(quality, quality) - apart)[above].sum())
    return DEFAULT_OVERLAP if possible <= 0 else min(max(shared / possible, 0.0), 1.0)
