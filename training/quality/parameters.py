"""The parameters of the Gaussian model of qualities, as values with names and as one vector for the optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from training.quality.cells import CellArrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The scalar parameters in the order of the vector: the value that is expected before any score is seen, and the standard
# deviation of its logarithm (of its logit for `family`). The values are those that `data/benchmark.csv` gives.
_SCALARS = {
    "difficulty": (0.17, 1.0),
    "level": (0.06, 1.0),
    "task": (0.03, 1.0),
    "benchmark": (0.04, 1.0),
    "numbers": (0.03, 1.0),
    "makers": (0.03, 1.0),
    "family": (0.5, 1.5),
}
# Standard deviations of the logarithms of `spread` and `own`, and of the entries of `factors`.
_SPREAD, _OWN, _FACTORS = 0.4, 0.5, 0.03
# With fewer measured tasks than this, there are no factors: nothing could tell them from chance.
_MIN_TASKS, _RANK = 6, 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parameters:
    """The parameters. Standard deviations are on the scale of scores, for a benchmark with a spread of 1.

    Attributes:
        difficulty: Standard deviation of the mean score of benchmarks.
        level: Standard deviation of the level of a model on all tasks.
        task: Standard deviation of the deviation of a model on one task.
        benchmark: Standard deviation of the deviation of a model on one benchmark.
        numbers: Standard deviation of the effect of one standard deviation of price, size or date of release.
        makers: Standard deviation of the effect of a maker.
        family: Correlation between the deviations of a model and its variants, in (0, 1).
        spread: How far each benchmark spreads the models, 1 on average, shape (columns,).
        own: Factor of `benchmark` for each benchmark, shape (columns,).
        factors: Loadings of the tasks on what models are good at besides the level, shape (tasks, rank).
        unsure: Variance of a model's deviation on a task because the loadings of a rarely measured task are hardly known,
            shape (tasks,).
    """

    difficulty: float
    level: float
    task: float
    benchmark: float
    numbers: float
    makers: float
    family: float
    spread: NDArray[np.float64]
    own: NDArray[np.float64]
    factors: NDArray[np.float64]
    unsure: NDArray[np.float64]

    @property
    def between_tasks(self) -> NDArray[np.float64]:
        """Covariance of the deviations of one model on two tasks, shape (tasks, tasks)."""
        common = self.level**2 + self.factors @ self.factors.T
        return np.asarray(common + np.diag(self.task**2 + self.unsure))

    @property
    def own_deviation(self) -> NDArray[np.float64]:
        """Standard deviation of what a model scores on one benchmark beyond its task, shape (columns,)."""
        return np.asarray(self.spread * self.own * self.benchmark)


def start_vector(cells: CellArrays) -> NDArray[np.float64]:
    """Return the vector that the optimiser starts from.

    Every entry of a vector is in standard deviations from what is expected before any score is seen. So the start is 0,
    except for the factors: at zero their gradient is zero, so each starts in another direction.
    """
    task = np.arange(len(cells.tasks))[:, None]
    factors = np.cos(task * (1 + np.arange(_count_factors(cells))))
    return np.concatenate([np.zeros(len(_SCALARS) + 2 * len(cells.columns)), factors.ravel()])


def unpack(vector: NDArray[np.float64], cells: CellArrays) -> Parameters:
    """Return the parameters that a vector stands for."""
    scalars, spread, own, factors = _split(vector, cells)
    values = {}
    for (name, (value, deviation)), x in zip(_SCALARS.items(), scalars.tolist(), strict=True):
        # A correlation is in (0, 1), a standard deviation above 0.
        values[name] = expit(logit(value) + deviation * x) if name == "family" else value * np.exp(deviation * x)
    return Parameters(
        **{name: float(value) for name, value in values.items()},
        spread=np.exp(_SPREAD * spread),
        own=np.exp(_OWN * own),
        factors=_FACTORS * factors.reshape(len(cells.tasks), -1),
        unsure=_count_factors(cells) * _FACTORS**2 / (1 + _count_models(cells)),
    )


def pack_gradient(slopes: Parameters, at: Parameters) -> NDArray[np.float64]:
    """Return the gradient with regard to the vector.

    Args:
        slopes: Derivative with regard to each parameter.
        at: The parameters.
    """
    chain = [
        deviation * getattr(slopes, name) * (at.family * (1 - at.family) if name == "family" else getattr(at, name))
        for name, (_, deviation) in _SCALARS.items()
    ]
    return np.concatenate(
        [chain, _SPREAD * slopes.spread * at.spread, _OWN * slopes.own * at.own, _FACTORS * slopes.factors.ravel()]
    )


def _count_factors(cells: CellArrays) -> int:
    return _RANK if len(np.unique(cells.task)) >= _MIN_TASKS else 0


def _count_models(cells: CellArrays) -> NDArray[np.int64]:
    """Return how many models were measured on each task."""
    pairs = np.unique(np.stack([cells.task[cells.column], cells.model]), axis=1)
    return np.bincount(pairs[0], minlength=len(cells.tasks))


def _split(vector: NDArray[np.float64], cells: CellArrays) -> list[NDArray[np.float64]]:
    n, columns = len(_SCALARS), len(cells.columns)
    return np.split(vector, [n, n + columns, n + 2 * columns])
