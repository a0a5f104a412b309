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
from training.quality.likelihood import MIDDLE, Solution, fit_parameters, solve
from training.quality.traits import Traits

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Variances that few models show are uncertain themselves. A t distribution with models − 1 degrees of freedom has
# (models − 1) / (models − 3) times the variance. This is the most that is added.
_MOST_WIDENED = 3.0


def estimate_qualities(cells: Sequence[Cell], tasks: Sequence[str], traits: Traits) -> dict[str, dict[str, Estimate]]:
    """Return the quality of each model on each task, in [0, 1].

    Args:
        cells: Mean scores.
        tasks: The tasks to estimate.
        traits: The models to estimate.
    """
    posterior = Posterior.of(CellArrays.of(cells, tasks, traits))
    n: dict[tuple[str, str], float] = defaultdict(float)
    for cell in cells:
        n[cell.model, cell.task] += cell.n
    estimates = {}
    for model in traits.models:
        means, covariance = posterior.predict(model)
        errors = np.sqrt(covariance.diagonal())
        pairs = zip(tasks, _clip(means, errors).tolist(), errors.tolist(), strict=True)
        estimates[model] = {task: Estimate(mean=mean, stderr=error, n=n[model, task]) for task, mean, error in pairs}
    return estimates


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """What is known about the qualities after the scores were seen.

    The quality of a model on a task is its expected score on the average benchmark of the task.

    Attributes:
        cells: The scores.
        solution: The solved model.
    """

    cells: CellArrays
    solution: Solution

    @classmethod
    def of(cls, cells: CellArrays) -> Posterior:
        """Fit the parameters to the cells, and return the posterior."""
        models = len(np.unique(cells.model))
        widened = min(_MOST_WIDENED, (models - 1) / (models - 3)) if models > 3 else _MOST_WIDENED  # noqa: PLR2004
        return cls(cells=cells, solution=solve(cells, fit_parameters(cells).widen(widened)))

    def predict(self, model: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean quality of a model on each task, shape (tasks,), and the covariance, shape (tasks, tasks).

        Means can lie outside [0, 1].

        Args:
            model: A model of the traits, with or without cells.
        """
        shares, spread = self._weigh_columns()
        return self._combine(model, np.arange(len(self.cells.tasks)), shares, spread, new=shares.sum(axis=1) == 0)

    def predict_mean(self, model: str, columns: NDArray[np.int64]) -> tuple[float, float]:
        """Return the expected mean score of a model over some benchmarks of one task, and its variance.

        Args:
            model: A model of the traits.
            columns: The benchmarks, as indices into `cells.columns`.
        """
        shares = np.zeros((1, len(self.cells.columns)))
        shares[0, columns] = 1 / len(columns)
        spread = shares @ self.solution.parameters.spread
        mean, variance = self._combine(model, self.cells.task[columns[:1]], shares, spread, new=np.zeros(1, np.bool_))
        return float(mean[0]), float(variance[0, 0])

    def _combine(
        self,
        model: str,
        tasks: NDArray[np.int64],
        shares: NDArray[np.float64],
        spread: NDArray[np.float64],
        *,
        new: NDArray[np.bool_],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and covariance of weighted means over columns.

        Args:
            model: The model.
            tasks: Task of each of the k weighted means.
            shares: Weight of each column in each mean, shape (k, columns).
            spread: Spread of each mean, shape (k,).
            new: Which means are of tasks without a column.
        """
        cells, solution = self.cells, self.solution
        at, row = solution.parameters, cells.traits.models.index(model)
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

    def _weigh_columns(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weight of each column in its task, shape (tasks, columns), and the spread of each task."""
        belongs = (np.arange(len(self.cells.tasks))[:, None] == self.cells.task).astype(np.float64)
        count = belongs.sum(axis=1, keepdims=True)
        shares = belongs / np.maximum(count, 1)
        spreads = self.solution.parameters.spread
        usual = float(np.exp(np.log(spreads).mean())) if len(spreads) else 1.0
        return shares, np.where(count[:, 0] > 0, shares @ spreads, usual)


def _clip(means: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of normal distributions of which everything below 0 counts as 0, and everything above 1 as 1."""
    low, high = -means / errors, (1 - means) / errors
    inside = means * (norm.cdf(high) - norm.cdf(low)) + errors * (norm.pdf(low) - norm.pdf(high))
    return np.asarray(np.clip(inside + norm.sf(high), 0.0, 1.0))
