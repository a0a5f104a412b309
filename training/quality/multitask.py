"""A design and targets of several models in, linear weights out: weights that all models share, plus a deviation of each.

Regularised multi-task learning (Evgeniou and Pontil, 2004, KDD, doi 10.1145/1014052.1014067). Both parts are shrunk to zero.
A model with few prompts stays close to the shared weights. A model without prompts has exactly those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

Loss = Literal["logistic", "squared"]

# A fit stops when its gradient is below this, times the square root of the number of observations.
_TOLERANCE = 1e-4
_MAX_ITERATIONS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """Targets of n prompts and m models, and the offsets that the weights shift.

    Attributes:
        target: Shape (n, m). In [0, 1] for the logistic loss. NaN if unknown.
        offset: Expectation before the prompt's text is used, shape (n, m). In logits for the logistic loss, otherwise in the
            unit of the target.
        loss: "logistic" is the negative log-likelihood in nats, "squared" is half the squared error.
    """

    target: NDArray[np.float64]
    offset: NDArray[np.float64]
    loss: Loss

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Regression:
        """Return the regression of some of the prompts.

        Args:
            rows: Index or mask of the prompts.
        """
        return Regression(target=self.target[rows], offset=self.offset[rows], loss=self.loss)

    def losses(self, shift: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the loss of each prompt and model, shape (n, m); NaN for unknown targets.

        Args:
            shift: Added to the offsets, shape (n, m).
        """
        eta = self.offset + shift
        if self.loss == "squared":
            return np.asarray((self.target - eta) ** 2 / 2)
        return np.asarray(np.logaddexp(0, eta) - self.target * eta)


def fit_weights(
    rows: NDArray[np.float32],
    problem: Regression,
    shared: float,
    own: float,
    *,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return weights of shape (1 + m, d): the shared ones, then each model's deviation from them.

    They minimise Σ loss + shared/2 · |w|² + own/2 · Σ_m |Δ_m|² over the known targets. The objective is convex.

    Args:
        rows: Shape (n, d).
        problem: Targets and offsets of the same prompts.
        shared: Precision of the prior of the shared weights, > 0.
        own: Precision of the prior of each model's deviation, > 0. Infinity: no deviations.
        start: Weights to start from. None: zeros.
    """
    m = problem.target.shape[1]
    known = ~np.isnan(problem.target)
    target = np.where(known, problem.target, 0.0)
    # Divided by the standard deviation of their prior, all weights have the same penalty. L-BFGS then converges faster.
    scale = np.array([shared, *[own] * m])[:, None] ** -0.5
    # An infinite precision fixes the deviations at 0. They are then left out of the optimisation.
    free = np.ones(1 + m, np.bool_) if np.isfinite(own) else np.arange(1 + m) == 0

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = np.zeros((1 + m, rows.shape[1]))
        scaled[free] = flat.reshape(-1, rows.shape[1])
        weights = scaled * scale
        # Cast the weights, or NumPy would copy the large float32 design to float64 in every step.
        eta = problem.offset + rows @ (weights[0] + weights[1:]).astype(np.float32).T
        if problem.loss == "logistic":
            value, slope = np.logaddexp(0, eta) - target * eta, expit(eta) - target
        else:
            value, slope = (eta - target) ** 2 / 2, eta - target
        slope = np.where(known, slope, 0.0)
        by_model = np.asarray(slope.astype(np.float32).T @ rows, np.float64)
        gradient = np.vstack([by_model.sum(axis=0), by_model]) * scale + scaled
        return float(value[known].sum() + (scaled**2).sum() / 2), gradient[free].ravel()

    initial = np.zeros((1 + m, rows.shape[1])) if start is None else start / np.where(scale > 0, scale, np.inf)
    options = {"gtol": _TOLERANCE * max(known.sum(), 1) ** 0.5, "ftol": 1e-9, "maxiter": _MAX_ITERATIONS, "maxcor": 10}
    # The products are small: starting a second BLAS thread takes longer than the product itself.
    with threadpool_limits(1, user_api="blas"):
        found = minimize(objective, initial[free].ravel(), jac=True, method="L-BFGS-B", options=options).x
    weights = np.zeros((1 + m, rows.shape[1]))
    weights[free] = found.reshape(-1, rows.shape[1])
    return np.asarray(weights * scale)


def fit_weights_path(
    rows: NDArray[np.float32], problem: Regression, precisions: Sequence[tuple[float, float]]
) -> list[NDArray[np.float64]]:
    """Return the weights for each pair of precisions (shared, own). Each fit starts from the weights of the pair before."""
    path: list[NDArray[np.float64]] = []
    for shared, own in precisions:
        path.append(fit_weights(rows, problem, shared, own, start=path[-1] if path else None))
    return path


def combine_weights(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of each model, shared plus its deviation, shape (m, d)."""
    return np.asarray(weights[0] + weights[1:])


def predict_shifts(rows: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much the weights shift the offset of each prompt and model, shape (n, m)."""
    return np.asarray(rows @ combine_weights(weights).astype(np.float32).T, np.float64)
