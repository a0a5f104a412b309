"""Mean scores by model and task in, a level for each model and each task out: quality = model level + task level.

Profiles shrink measured means towards these levels. A task without scores gets the level alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from router.types import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A standard deviation of 1 on a scale from 0 to 1 is almost no prior. It only keeps the fit solvable when levels cannot be
# separated, for example with one model, or with models that share no task.
WEAK_VARIANCE = 1.0
# Models usually differ by 0.15, and so do tasks. This prior counts as much as one more model or task.
_USUAL_VARIANCE = 0.15**2
# Upper end of the bisection for τ². Scores in [0, 1] cannot vary more.
_MAX_BETWEEN = 1.0
_BISECTION_WIDTH = 1e-9
# A fixed number of rounds needs no convergence test.
_EM_ROUNDS = 100


class Measurement(NamedTuple):
    """A measured mean score.

    Attributes:
        mean: Mean score. After a benchmark's difficulty is subtracted, it can lie outside [0, 1].
        variance: Squared standard error of the mean.
        n: Number of prompts.
    """

    mean: float
    variance: float
    n: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The additive part of quality: the level of a model plus the level of a task.

    Attributes:
        models: Model names, in the order of the first deviations.
        tasks: Task names, in the order of the other deviations.
        coefficients: The mean, then the deviations, shape (1 + models + tasks,).
        covariance: Covariance of the coefficients.
        between: Variance τ² of the true qualities around model level + task level.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    between: float

    def predict(self, model: str, task: str) -> tuple[float, float]:
        """Return the level of a model on a task and its squared standard error."""
        row = _design_row(self.models, self.tasks, model, task)
        return float(row @ self.coefficients), float(row @ self.covariance @ row)


def estimate_quality(measured: Measurement | None, level: tuple[float, float], between: float) -> Estimate:
    """Return a measured mean, shrunk towards its level.

    Args:
        measured: The measured mean. None if the model has no score on the task.
        level: The level and its squared standard error.
        between: Variance τ² of the true qualities around their levels.
    """
    expected, uncertainty = level
    if measured is None:
        return Estimate(mean=_clip(expected), stderr=float(np.sqrt(between + uncertainty)), n=0)
    mean, variance, n = measured
    trust = between / (between + variance)
    return Estimate(
        mean=_clip(trust * mean + (1 - trust) * expected),
        stderr=float(np.sqrt(trust * variance + (1 - trust) ** 2 * uncertainty)),
        n=n,
    )


def fit_levels(measured: Mapping[tuple[str, str], Measurement], *, models: Sequence[str], tasks: Sequence[str]) -> Levels:
    """Fit τ², then the mean and the deviation of each model and task from it.

    τ² follows from the moment equation of Fay and Herriot: τ² ≥ 0 solves Σ (y − a_m − b_t)² / (τ² + v) = cells − free
    coefficients. The left side falls with τ², so bisection finds it. The deviations are random effects N(0, σ²), with one σ²
    for models and one for tasks. Expectation-maximisation estimates both (Laird and Ware, 1982, Biometrics 38:963–974):
    σ² ← mean of deviation² + its squared standard error.

    Args:
        measured: The measured mean of each (model, task) pair.
        models: All models.
        tasks: All tasks. A task without a measurement gets the average level.
    """
    of_models, of_tasks = slice(1, 1 + len(models)), slice(1 + len(models), None)
    prior = np.full(1 + len(models) + len(tasks), WEAK_VARIANCE)
    # The mean is not shrunk. Only without any measurement it needs a prior to be solvable.
    prior[0] = np.inf if measured else WEAK_VARIANCE
    design = np.array([_design_row(models, tasks, model, task) for model, task in measured]).reshape(-1, len(prior))
    y, v, _ = np.array(list(measured.values())).reshape(-1, 3).T
    between = _fit_between(design, y, v, prior)
    coefficients, covariance = solve_least_squares(design, y, v + between, prior)
    for _ in range(_EM_ROUNDS):
        for part in (of_models, of_tasks):
            moments = coefficients[part] ** 2 + covariance.diagonal()[part]
            # The usual variance counts as one more deviation. So two similar models cannot push the estimate to 0.
            prior[part] = (moments.sum() + _USUAL_VARIANCE) / (len(moments) + 1)
        coefficients, covariance = solve_least_squares(design, y, v + between, prior)
    if not measured:
        # Nothing is known, so every level is the middle of the scale.
        coefficients[0] = 0.5
    return Levels(
        models=tuple(models), tasks=tuple(tasks), coefficients=coefficients, covariance=covariance, between=between
    )


def _fit_between(
    design: NDArray[np.float64], y: NDArray[np.float64], v: NDArray[np.float64], prior: NDArray[np.float64]
) -> float:
    """Return τ²: 0 if noise explains all of the scatter around the levels."""
    freedom = len(y) - (int(np.linalg.matrix_rank(design)) if len(y) else 0)
    if freedom <= 0:
        # Too few measurements to separate τ² from noise. With τ² = mean v a measurement and its level count about equally.
        return float(np.mean(v)) if len(v) else 0.0

    def excess(between: float) -> float:
        coefficients, _ = solve_least_squares(design, y, v + between, prior)
        return float(((y - design @ coefficients) ** 2 / (v + between)).sum()) - freedom

    low, high = 0.0, _MAX_BETWEEN
    if excess(low) <= 0:
        return 0.0
    while high - low > _BISECTION_WIDTH:
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def solve_least_squares(
    design: NDArray[np.float64], y: NDArray[np.float64], variance: NDArray[np.float64], prior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coefficients of weighted least squares and their covariance.

    Args:
        design: Shape (n, d).
        y: Observations, shape (n,).
        variance: Variance of each observation, shape (n,).
        prior: Prior variance of each coefficient around 0, shape (d,). Infinity means no prior.
    """
    covariance = np.linalg.inv(design.T @ (design / variance[:, None]) + np.diag(1 / prior))
    return np.asarray(covariance @ (design.T @ (y / variance))), np.asarray(covariance, np.float64)


def _design_row(models: Sequence[str], tasks: Sequence[str], model: str, task: str) -> NDArray[np.float64]:
    row = np.zeros(1 + len(models) + len(tasks))
    row[[0, 1 + models.index(model), 1 + len(models) + tasks.index(task)]] = 1
    return row


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
