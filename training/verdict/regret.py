"""Measure how much score a router loses against the best model for each prompt, by task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.intervals import Interval
from training.verdict.bootstrap import interval_of, resample
from training.verdict.score_table import ScoreTable, gather

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRegret:
    """Mean loss of score on a task against the best model for each prompt.

    Attributes:
        task: Name of the task, or "" if the benchmark gives none.
        n: Number of prompts.
        regret: Loss of the router.
        of_best_single: Loss of the best single model.
    """

    task: str
    n: int
    regret: Interval
    of_best_single: Interval


def measure_regret(table: ScoreTable, tasks: Sequence[str], chosen: NDArray[np.int64], strong: int) -> list[TaskRegret]:
    """Return the regret on each task, most frequent task first.

    Args:
        table: The outcomes.
        tasks: Task of each prompt.
        chosen: Model that the router chooses for each prompt, shape (n,).
        strong: Index of the best single model.
    """
    names, sizes = zip(*Counter(tasks).most_common(), strict=True)
    member = np.array(tasks)[:, None] == np.array(names)
    # The best model for each prompt is the oracle without a price: the highest score at any cost.
    lost = table.score.max(axis=1, keepdims=True) - table.score
    losses = (gather(lost, chosen), lost[:, strong])

    def means(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        share = weights @ member
        sums = np.stack([weights @ (member * loss[:, None]) for loss in losses])
        # A small task may be absent from a resample. Its mean is NaN there, and `interval_of` leaves it out.
        return np.hstack(list(np.divide(sums, share, out=np.full_like(sums, np.nan), where=share > 0)))

    intervals = [interval_of(column) for column in resample(means, table).T]
    return [
        TaskRegret(task=task, n=n, regret=regret, of_best_single=of_best_single)
        for task, n, regret, of_best_single in zip(
            names, sizes, intervals[: len(names)], intervals[len(names) :], strict=True
        )
    ]
