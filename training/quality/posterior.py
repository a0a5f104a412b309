"""Cells in, the quality of every model on every task with its uncertainty out, measured or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from router.types import Estimate
from training.quality.cells import Cell, CellArrays
from training.quality.likelihood import MIDDLE, Solution, draw_parameters, solve

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Number of draws of the parameters. With half as many, the errors of `benchmarks/unmeasured.py` are the same, and its shares
# in an interval differ by at most 1 point on the catalogue.
_DRAWS = 32
# Rounding can make the variance of a quality that is known for certain negative.
_LEAST_VARIANCE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """What is known about the qualities after the scores were seen.

    The quality of a model on a task is its expected score on the average benchmark of the task.

    Attributes:
        cells: The scores.
        solutions: The model, solved for several likely parameters.
    """

    cells: CellArrays
    solutions: tuple[Solution, ...]

    @classmethod
    def of(cls, cells: CellArrays) -> Posterior:
        """Fit the parameters to the cells, and return the posterior."""
        return cls(cells=cells, solutions=tuple(solve(cells, drawn) for drawn in draw_parameters(cells, _DRAWS)))

    def predict(self, model: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean quality of a model on each task, shape (tasks,), and the covariance, shape (tasks, tasks).

        Means can lie outside [0, 1].

        Args:
            model: A model of the traits, with or without cells.
        """
        tasks = np.arange(len(self.cells.tasks))
        belongs = (tasks[:, None] == self.cells.task).astype(np.float64)
        return self._predict(model, tasks, belongs / np.maximum(belongs.sum(axis=1, keepdims=True), 1))

    def predict_mean(self, model: str, columns: NDArray[np.int64]) -> tuple[float, float]:
        """Return the expected mean score of a model over some benchmarks of one task, and its variance.

        Args:
            model: A model of the traits.
            columns: The benchmarks, as indices into `cells.columns`.
        """
        shares = np.zeros((1, len(self.cells.columns)))
        shares[0, columns] = 1 / len(columns)
        mean, variance = self._predict(model, self.cells.task[columns[:1]], shares)
        return float(mean[0]), float(variance[0, 0])

    def _predict(
        self, model: str, tasks: NDArray[np.int64], shares: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and covariance of weighted means over columns.

        Args:
            model: The model.
            tasks: Task of each of the k weighted means.
            shares: Weight of each column in each mean, shape (k, columns). Zero for a task without a column.
        """
        found = [self._combine(solution, model, tasks, shares) for solution in self.solutions]
        means, covariances = np.array([mean for mean, _ in found]), np.array([covariance for _, covariance in found])
        apart, within = means - means.mean(axis=0), covariances.mean(axis=0)
        # A mixture of narrow and wide normal distributions has more of its mass near its middle than one normal distribution
        # of the same variance. So the mean standard deviation gives better intervals than the root of the mean variance.
        deviations = np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), _LEAST_VARIANCE))
        narrowed = deviations.mean(axis=0) / np.sqrt((deviations**2).mean(axis=0))
        return means.mean(axis=0), within * np.outer(narrowed, narrowed) + apart.T @ apart / len(found)

    def _combine(
        self, solution: Solution, model: str, tasks: NDArray[np.int64], shares: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and covariance as `_predict` does, for one solution."""
        cells, at, row = self.cells, solution.parameters, self.cells.traits.models.index(model)
        new = shares.sum(axis=1) == 0
        spread = np.where(new, np.exp(np.log(at.spread).mean()) if len(at.spread) else 1.0, shares @ at.spread)
        traits = np.concatenate([cells.traits.numbers[row], cells.traits.makers[row]])
        design = np.hstack([np.ones((len(tasks), 1)), shares, spread[:, None] * traits])
        own = (shares * at.own_deviation) @ (shares * at.own_deviation).T
        covariance = np.outer(spread, spread) * at.between_tasks[np.ix_(tasks, tasks)] + own
        covariance[np.diag_indices(len(tasks))] += new * at.difficulty**2
        mean = MIDDLE + design @ solution.effects
        block = solution.blocks.get(int(cells.traits.family[row]))
        if block is not None:
            column, same = cells.column[block.rows], cells.model[block.rows] == row
            related = spread[:, None] * at.spread[column] * at.between_tasks[np.ix_(tasks, cells.task[column])]
            related = related * np.where(same, 1.0, at.family)
            related += shares[:, column] * at.own_deviation[column] ** 2 * same
            mean = mean + related @ block.residual
            covariance = covariance - related @ block.inverse @ related.T
            design = design - related @ block.projected
        return mean, covariance + design @ solution.covariance @ design.T


def estimate_qualities(cells: Sequence[Cell], posterior: Posterior) -> dict[str, dict[str, Estimate]]:
    """Return the quality of each model on each task, in [0, 1].

    Args:
        cells: Mean scores, for the number of prompts.
        posterior: What they tell.
    """
    n: dict[tuple[str, str], float] = defaultdict(float)
    for cell in cells:
        n[cell.model, cell.task] += cell.n
    estimates = {}
    for model in posterior.cells.traits.models:
        means, covariance = posterior.predict(model)
        errors = np.sqrt(covariance.diagonal())
        pairs = zip(posterior.cells.tasks, _clip(means, errors).tolist(), errors.tolist(), strict=True)
        estimates[model] = {task: Estimate(mean=mean, stderr=error, n=n[model, task]) for task, mean, error in pairs}
    return estimates


def _clip(means: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of normal distributions of which everything below 0 counts as 0, and everything above 1 as 1."""
    low, high = -means / errors, (1 - means) / errors
    inside = means * (norm.cdf(high) - norm.cdf(low)) + errors * (norm.pdf(low) - norm.pdf(high))
    return np.asarray(np.clip(inside + norm.sf(high), 0.0, 1.0))
