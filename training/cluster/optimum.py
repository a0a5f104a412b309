"""Sums over the shards in, the optimum of a logistic regression out, the same as scikit-learn's."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from training.classifier.engine import FitJob
from training.classifier.linear import Fit, certain, weigh_rare, widen
from training.cluster.shard import Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Length of the mean gradient at which a fit ends. Probabilities are then within 1e-5 of the optimum. With 1e-4, the
# tolerance of the fits on one machine, the result would depend on rounding (ADR 17).
_TOLERANCE = 1e-8
_MAX_ITERATIONS = 1000
# A sum is a multiple of the sum of weights times 2^-46. Whole numbers of 64 bits then leave room for a mean of 2^16.
_PLACES = 46


class Sums(Protocol):
    """Asks all shards and adds their answers."""

    def __call__(
        self, problem: Problem, point: NDArray[np.float64], direction: NDArray[np.float64] | None = None
    ) -> NDArray[np.int64]:
        """Return the sum of `Shard.evaluate` over the shards. With a direction, return that of `Shard.multiply`."""
        ...


def fit_sums(sums: Sums, number: int, job: FitJob, targets: NDArray[np.int64], n_labels: int, *, columns: int) -> list[Fit]:
    """Fit one logistic regression for each C on rows that lie in shards. It is `fit_rows` for such rows.

    Args:
        sums: Sums over the shards.
        number: Tells this problem from others on the same shards.
        job: The rows and the inverse strengths of regularisation.
        targets: Number of the label of each of the n texts, shape (n,).
        n_labels: Number of labels. Some of them may be missing from the rows.
        columns: Number of columns of the part's design matrix.
    """
    labels = np.unique(targets[job.rows])
    if len(labels) == 1:
        return [certain(int(labels[0]), columns, n_labels)] * len(job.cs)
    weights = np.zeros(len(targets))
    weights[job.rows] = weigh_rare(targets[job.rows])
    unit = 2.0 ** (math.ceil(math.log2(weights.sum())) - _PLACES)
    problem = Problem(number=number, part=job.part, weights=weights, labels=labels, unit=unit)
    point = np.zeros((columns + 1) * problem.outputs)
    path = []
    for c in job.cs:
        # Each fit starts from the previous solution, which saves time.
        point = _Objective(sums, problem, c).minimise(point)
        found = point.reshape(columns + 1, -1).T
        path.append(widen(found[:, :-1], found[:, -1], labels, n_labels))
    return path


class _Objective:
    """The weighted mean log-loss plus |weights|² / (2 · c · sum of the rows' weights). Intercepts are free."""

    def __init__(self, sums: Sums, problem: Problem, c: float) -> None:
        total = float(problem.weights.sum())
        self._sums, self._problem = sums, problem
        self._unit, self._ridge = problem.unit / total, 1 / (c * total)

    def minimise(self, start: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the point with the lowest value. The objective is convex, so the start matters for the time only.

        Newton's method with conjugate gradients (Steihaug, 1983, SIAM J. Numer. Anal. 20:626-637). It needs only the sums.
        """
        options = {"gtol": _TOLERANCE, "maxiter": _MAX_ITERATIONS}
        found = minimize(self._evaluate, start, jac=True, hessp=self._multiply, method="trust-ncg", options=options)
        # It also ends if rounding hides any further decrease, mostly between once and ten times the tolerance.
        if found.nit >= _MAX_ITERATIONS:
            length = float(np.linalg.norm(found.jac))
            message = f"a fit must reach a gradient of {_TOLERANCE:g}, got {length:g} after {found.nit} steps"
            warnings.warn(message, ConvergenceWarning, stacklevel=2)
        return np.asarray(found.x, np.float64)

    def _evaluate(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        mean = self._sums(self._problem, point) * self._unit
        penalised = self._penalised(point)
        return float(mean[-1] + self._ridge / 2 * (penalised @ penalised)), mean[:-1] + self._ridge * penalised

    def _multiply(self, point: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
        # The sums are whole multiples of one unit, so the direction gets length one for them.
        length = float(np.linalg.norm(direction)) or 1.0
        product = self._sums(self._problem, point, direction / length) * (self._unit * length)
        return np.asarray(product + self._ridge * self._penalised(direction), np.float64)

    def _penalised(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a point with intercepts of 0."""
        penalised = point.copy()
        penalised[-self._problem.outputs :] = 0
        return penalised
