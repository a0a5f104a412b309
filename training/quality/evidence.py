"""Held-out gains of prompts in, by task the mean gain with its bootstrap interval out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from router.model_folder.manifest import TaskEvidence
from training.evaluation.intervals import RESAMPLES
from training.quality.prompt_table import PromptTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Heads are never kept on a task with fewer prompts.
_MIN_TASK_PROMPTS = 20


def weigh_evidence(
    gains: NDArray[np.float64], groups: Sequence[str], prompts: PromptTable, *, seed: int
) -> dict[str, TaskEvidence]:
    """Return the mean gain of each task with at least one prompt, and whether the heads are kept on it.

    A prompt counts for a task with the probability of that task. The 95 % interval is a bootstrap over groups.

    Args:
        gains: Held-out gain of each prompt, shape (n,). NaN if unknown.
        groups: Group of each prompt.
        prompts: The same prompts.
        seed: Seed of the resamples.
    """
    known = ~np.isnan(gains)
    group = np.unique(groups, return_inverse=True)[1][known]
    weights, gains = prompts.probabilities[known], gains[known, None]
    weight_by_group, gain_by_group = (_sum_by(group, values) for values in (weights, weights * gains))
    n_groups = len(weight_by_group)
    # A resample is a count per group, so all resamples together are one matrix product.
    drawn = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), RESAMPLES)
    n = weight_by_group.sum(axis=0)
    # The floor avoids 0 / 0 for tasks without weight, which are dropped below.
    means = gain_by_group.sum(axis=0) / np.maximum(n, 1e-12)
    resampled = (drawn @ gain_by_group) / np.maximum(drawn @ weight_by_group, 1e-12)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    return {
        task: TaskEvidence(
            n=float(n[i]),
            gain=float(means[i]),
            low=float(low[i]),
            high=float(high[i]),
            kept=bool(low[i] > 0 and n[i] >= _MIN_TASK_PROMPTS),
        )
        for i, task in enumerate(prompts.tasks)
        if n[i] >= 1
    }


def _sum_by(group: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of the rows of each group, shape (groups, columns)."""
    sums = np.zeros((group.max() + 1, values.shape[1]))
    np.add.at(sums, group, values)
    return sums
