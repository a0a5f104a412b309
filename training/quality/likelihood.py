"""Cells and parameters in, the likelihood of the scores with its gradient out, and what predictions need.

The model. The mean score of model m on benchmark c of task t is

    y = 0.5 + μ + d_c + s_c · (x_m·β + r_m,t + w_m,c) + e

- d_c is the difficulty of the benchmark, and s_c how far it spreads the models.
- x_m holds the traits of the model: price, size, date of release and maker.
- r_m,t is what the model is better on task t than its traits say. It is normal. Its covariance between two models is 1 for
  the same model, ρ for variants of one model, and 0 otherwise, times the covariance between the two tasks.
- w_m,c is what it is better on this benchmark than on others of the task, and e the error of a mean of n scores.

Given the parameters, everything is normal and has a closed form. The scores of one family form a block; μ, d and β are
shared by all blocks (mixed model equations, Henderson, 1975, Biometrics 31:423–447). The most likely parameters maximise the
marginal likelihood times a weak prior. In a small table others are nearly as likely, so several are drawn around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from training.quality.cells import CellArrays
from training.quality.parameters import Parameters, pack_gradient, start_vector, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Middle of the scale of scores, and prior standard deviation of μ.
MIDDLE, _MIDDLE_DEVIATION = 0.5, 0.25
_MAX_ITERATIONS = 100
_TOLERANCE = 1e-6
# Step of the differences that give the curvature, in prior standard deviations.
_STEP = 1e-4


class Block(NamedTuple):
    """The cells of one family.

    Attributes:
        rows: Their indices, shape (k,).
        alike: The part of their covariance that does not depend on the tasks, shape (k, k).
        inverse: Inverse of their covariance without the shared effects, shape (k, k).
        projected: `inverse` times their design, shape (k, effects).
        residual: `inverse` times what the shared effects do not explain, shape (k,).
    """

    rows: NDArray[np.int64]
    alike: NDArray[np.float64]
    inverse: NDArray[np.float64]
    projected: NDArray[np.float64]
    residual: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """The solved model for given parameters.

    Attributes:
        parameters: The parameters.
        design: How the shared effects enter each cell, shape (cells, effects): μ, then d, then β.
        prior: Prior variance of each effect.
        effects: Posterior mean of the effects.
        covariance: Posterior covariance of the effects.
        blocks: The families with cells, by family.
        loss: Negative logarithm of the marginal likelihood, up to a constant.
    """

    parameters: Parameters
    design: NDArray[np.float64]
    prior: NDArray[np.float64]
    effects: NDArray[np.float64]
    covariance: NDArray[np.float64]
    blocks: dict[int, Block]
    loss: float


def draw_parameters(cells: CellArrays, count: int) -> list[Parameters]:
    """Return parameters that fit the cells, each as likely as the others.

    They are drawn from a normal distribution around the most likely ones, with the curvature there (Laplace's method,
    Tierney and Kadane, 1986, JASA 81:82–86). The draws are the same in every call. They come in opposite pairs, so their
    mean is the most likely vector.

    Args:
        cells: The cells.
        count: Number of draws, even.
    """

    def objective(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        solution = solve(cells, unpack(vector, cells))
        gradient = pack_gradient(differentiate(cells, solution), solution.parameters)
        # The prior of each entry of the vector is the standard normal distribution.
        return solution.loss + float(vector @ vector) / 2, gradient + vector

    options = {"maxiter": _MAX_ITERATIONS, "ftol": _TOLERANCE}
    # The matrices are small: starting a second BLAS thread takes longer than the product itself.
    with threadpool_limits(1, user_api="blas"):
        mode = minimize(objective, start_vector(cells), jac=True, method="L-BFGS-B", options=options).x
        gradient = objective(mode)[1]
        curvature = np.array([objective(mode + step)[1] - gradient for step in _STEP * np.eye(len(mode))]) / _STEP
    precision, directions = np.linalg.eigh((curvature + curvature.T) / 2)
    half = np.random.default_rng(0).standard_normal((count // 2, len(mode)))
    # The scores never make a parameter less certain than the prior.
    steps = (half / np.sqrt(np.maximum(precision, 1.0))) @ directions.T
    return [unpack(mode + step, cells) for step in (*steps, *-steps)]


def solve(cells: CellArrays, parameters: Parameters) -> Solution:
    """Return the posterior of the effects, and what is left for each family."""
    design, prior = _make_design(cells, parameters)
    between, own = parameters.between_tasks, _find_own(cells, parameters)
    y = cells.mean - MIDDLE
    precision, weighted = np.diag(1 / prior), np.zeros(len(prior))
    loss, family, parts = float(np.log(prior).sum()), cells.traits.family[cells.model], []
    for name in np.unique(family).tolist():
        rows = np.flatnonzero(family == name)
        task, alike = cells.task[cells.column[rows]], _liken(cells, parameters, rows)
        covariance = alike * between[np.ix_(task, task)]
        covariance[np.diag_indices(len(rows))] += own[rows] + cells.variance[rows]
        inverse = np.asarray(np.linalg.inv(covariance), np.float64)
        projected = inverse @ design[rows]
        precision += design[rows].T @ projected
        weighted += projected.T @ y[rows]
        loss += float(np.linalg.slogdet(covariance)[1])
        parts.append((name, rows, alike, inverse, projected))
    covariance = np.asarray(np.linalg.inv(precision), np.float64)
    effects = covariance @ weighted
    blocks = {
        name: Block(rows, alike, inverse, projected, inverse @ y[rows] - projected @ effects)
        for name, rows, alike, inverse, projected in parts
    }
    loss += float(np.linalg.slogdet(precision)[1]) + sum(float(y[b.rows] @ b.residual) for b in blocks.values())
    return Solution(
        parameters=parameters,
        design=design,
        prior=prior,
        effects=effects,
        covariance=covariance,
        blocks=blocks,
        loss=loss / 2,
    )


def _liken(cells: CellArrays, parameters: Parameters, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the covariance of s · r between cells of one family as far as it does not depend on the tasks."""
    spread, same = parameters.spread[cells.column[rows]], cells.model[rows, None] == cells.model[rows]
    return np.asarray(spread[:, None] * spread * np.where(same, 1.0, parameters.family))


def _find_own(cells: CellArrays, parameters: Parameters) -> NDArray[np.float64]:
    """Return the variance of s · w of each cell."""
    return np.asarray(parameters.own_deviation[cells.column] ** 2)


def _make_design(cells: CellArrays, parameters: Parameters) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n, columns, traits = len(cells.mean), len(cells.columns), cells.traits
    described = np.hstack([traits.numbers, traits.makers])[cells.model]
    design = np.zeros((n, 1 + columns + described.shape[1]))
    design[:, 0] = 1
    design[np.arange(n), 1 + cells.column] = 1
    design[:, 1 + columns :] = parameters.spread[cells.column, None] * described
    deviations = [_MIDDLE_DEVIATION, parameters.difficulty, parameters.numbers, parameters.makers]
    counts = [1, columns, traits.numbers.shape[1], traits.makers.shape[1]]
    return design, np.repeat(deviations, counts) ** 2


def differentiate(cells: CellArrays, solution: Solution) -> Parameters:
    """Return the derivative of the loss with regard to each parameter.

    With K the covariance of all cells and α = K⁻¹y, it is ½ tr((K⁻¹ − αα') dK).
    """
    at, columns, numbers = solution.parameters, len(cells.columns), cells.traits.numbers.shape[1]
    posterior, effects, prior = solution.covariance, solution.effects, solution.prior
    by_prior = (1 / prior - (posterior.diagonal() + effects**2) / prior**2) / 2
    of_cell, between_tasks, family = _find_own(cells, at), at.between_tasks, 0.0
    between, spread, own = np.zeros_like(between_tasks), np.zeros(columns), np.zeros(columns)
    for rows, likeness, inverse, projected, residual in solution.blocks.values():
        column, task = cells.column[rows], cells.task[cells.column[rows]]
        excess = inverse - projected @ posterior @ projected.T - np.outer(residual, residual)
        alike = excess * likeness
        of_task = (task[:, None] == np.arange(len(between))).astype(np.float64)
        between += of_task.T @ alike @ of_task / 2
        related = alike * between_tasks[np.ix_(task, task)]
        family += float(related[cells.model[rows, None] != cells.model[rows]].sum()) / (2 * at.family)
        alone = excess.diagonal() * of_cell[rows]
        own += np.bincount(column, alone, columns)
        shared = projected @ posterior - np.outer(residual, effects)
        traits = (shared * solution.design[rows])[:, 1 + columns :].sum(axis=1)
        spread += np.bincount(column, related.sum(axis=1) + alone + traits, columns)
    first = 1 + columns
    return Parameters(
        difficulty=2 * at.difficulty * float(by_prior[1:first].sum()),
        level=2 * at.level * float(between.sum()),
        task=2 * at.task * float(np.trace(between)),
        benchmark=float(own.sum()) / at.benchmark,
        numbers=2 * at.numbers * float(by_prior[first : first + numbers].sum()),
        makers=2 * at.makers * float(by_prior[first + numbers :].sum()),
        family=family,
        spread=spread / at.spread,
        own=own / at.own,
        factors=2 * between @ at.factors,
        unsure=between.diagonal(),
    )
