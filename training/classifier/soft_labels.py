"""Vectors and a teacher's probabilities in, a linear layer that predicts these probabilities out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from router.classify.classifier import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STRENGTH, _TOLERANCE, _MAX_ITERATIONS = 1e-2, 1e-5, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearLayer:
    """A linear layer with a softmax.

    Attributes:
        weights: Shape (dim, labels), float32.
        bias: Shape (labels,), float32.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, shape (n, labels), for vectors of shape (n, dim)."""
        return softmax(np.asarray(vectors @ self.weights + self.bias, np.float64))


def fit_linear(vectors: NDArray[np.float32], teacher: NDArray[np.float64], *, strength: float = _STRENGTH) -> LinearLayer:
    """Fit a multinomial logistic regression to probabilities instead of labels.

    It minimises the mean cross-entropy plus `strength`/2 · |weights|².

    Args:
        vectors: Shape (n, dim). Each column is divided by its standard deviation before the fit, so its unit is irrelevant.
        teacher: Probabilities to predict, shape (n, labels).
        strength: Strength of the regularisation.
    """
    scale = np.maximum(vectors.std(axis=0), 1e-6)
    design = np.asarray(vectors / scale, np.float32)
    (n, dim), labels = design.shape, teacher.shape[1]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = flat[: dim * labels].reshape(dim, labels), flat[dim * labels :]
        # Both products with the design matrix are in float32, because they take nearly all of the time.
        logits = np.asarray(design @ weights.astype(np.float32), np.float64) + bias
        probabilities = softmax(logits)
        excess = (probabilities - teacher) / n
        value = -float((teacher * np.log(np.maximum(probabilities, 1e-12))).sum()) / n + strength / 2 * float(
            (weights**2).sum()
        )
        slope = np.asarray(design.T @ excess.astype(np.float32), np.float64) + strength * weights
        return value, np.concatenate([slope.ravel(), excess.sum(axis=0)])

    # The first bias predicts the mean probabilities, so that only the differences between texts are left to learn.
    start = np.concatenate([np.zeros(dim * labels), np.log(teacher.mean(axis=0))])
    flat = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": _TOLERANCE, "maxiter": _MAX_ITERATIONS}).x
    weights = flat[: dim * labels].reshape(dim, labels) / scale[:, None]
    return LinearLayer(weights=weights.astype(np.float32), bias=flat[dim * labels :].astype(np.float32))
