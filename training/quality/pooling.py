"""Mean scores by model, task and benchmark in, one mean per model and task out, corrected for benchmark difficulty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.quality.levels import WEAK_VARIANCE, Measurement, solve_least_squares


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The mean score of one model on one task in one benchmark.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        benchmark: Name of the benchmark.
        mean: Mean score, in [0, 1].
        n: Number of prompts. A prompt whose task is only predicted counts with its probability.
    """

    model: str
    task: str
    benchmark: str
    mean: float
    n: float

    @property
    def variance(self) -> float:
        """Squared standard error of the mean: p(1 − p)/n with p = (n·mean + 1)/(n + 2).

        This is the largest variance that scores in [0, 1] with this mean can have (Bhatia and Davis, 2000). Laplace's
        correction of p keeps a perfect score from being certain.
        """
        p = (self.n * self.mean + 1) / (self.n + 2)
        return p * (1 - p) / self.n


def pool_benchmarks(cells: Sequence[Cell]) -> dict[tuple[str, str], Measurement]:
    """Return one mean per (model, task): subtract each benchmark's difficulty, then pool by inverse variance."""
    difficulty = _fit_difficulty(cells)
    by_pair: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for cell in cells:
        corrected = cell.mean - difficulty[cell.task, cell.benchmark]
        by_pair[cell.model, cell.task].append(Measurement(corrected, cell.variance, cell.n))
    return {pair: _pool(measurements) for pair, measurements in by_pair.items()}


def _pool(measurements: Sequence[Measurement]) -> Measurement:
    means, variances, ns = np.array(measurements).T
    precision = 1 / variances
    return Measurement(float(means @ precision / precision.sum()), float(1 / precision.sum()), float(ns.sum()))


def _fit_difficulty(cells: Sequence[Cell]) -> dict[tuple[str, str], float]:
    """Return, by (task, benchmark), how much higher the same models score there than on the task's average benchmark."""
    models = tuple(dict.fromkeys(cell.model for cell in cells))
    columns = tuple(dict.fromkeys((cell.task, cell.benchmark) for cell in cells))
    design = np.zeros((len(cells), 1 + len(models) + len(columns)))
    design[:, 0] = 1
    for row, cell in enumerate(cells):
        design[row, [1 + models.index(cell.model), 1 + len(models) + columns.index((cell.task, cell.benchmark))]] = 1
    y = np.array([cell.mean for cell in cells])
    prior = np.full(design.shape[1], WEAK_VARIANCE)
    # Only models and benchmarks are shrunk, not the overall mean.
    prior[0] = np.inf
    coefficients, _ = solve_least_squares(design, y, np.array([cell.variance for cell in cells]), prior)
    level = dict(zip(columns, coefficients[1 + len(models) :].tolist(), strict=True))
    by_task: dict[str, list[float]] = defaultdict(list)
    for (task, _), value in level.items():
        by_task[task].append(value)
    # Only differences between benchmarks of one task are difficulty. Differences between tasks are real and stay.
    return {(task, name): value - sum(by_task[task]) / len(by_task[task]) for (task, name), value in level.items()}
