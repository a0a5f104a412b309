"""Linear layers for several models at once: what all share, and each one's deviation from it, both shrunk to zero.

Regularised multi-task learning (Evgeniou and Pontil, 2004, KDD, doi 10.1145/1014052.1014067). A model of few prompts stays
near what all have in common; one without any gets nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from router.heads import Heads
from training.classifier import FeatureBlocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

Loss = Literal["logistic", "squared"]

_DIRECTIONS = 300
_MOST_DECOMPOSED = 10_000  # prompts, of very many a part, among which the directions are found
_SURFACE_SCALE = 0.3
_BIAS = 0.3
_LABEL_RIDGE, _LABEL_SCALE = 0.3, 3.0
_TOLERANCE = 1e-4  # of the gradient of the loss, by observation
_MAX_ITERATIONS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The features of prompts as a dense matrix, and the way back to those of the runtime.

    Attributes:
        rows: Shape (n, d), float32: embedding, words along the directions in which they differ most (latent semantic
            analysis), scaled surface features, and a constant.
        directions: Of the words, shape (BUCKETS, k), float32.
        mean: Of the surface features, and
        scale: what they are multiplied by after it is taken off.
    """

    rows: NDArray[np.float32]
    directions: NDArray[np.float32]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def unfold(self, weights: NDArray[np.float64]) -> Heads:
        """Return the heads whose outputs are `rows @ weights` for these prompts, of weights of shape (d, outputs)."""
        dim = len(weights) - self.directions.shape[1] - len(self.mean) - 1
        embedding, words, surface, bias = np.split(weights, np.cumsum([dim, self.directions.shape[1], len(self.mean)]))
        surface = surface * self.scale[:, None]
        return Heads(
            embedding=embedding.astype(np.float32),
            lexical=np.asarray(self.directions @ words, np.float32),
            surface=surface.astype(np.float32),
            bias=(bias[0] * _BIAS - self.mean @ surface).astype(np.float32),
        )


def make_design(features: FeatureBlocks, *, seed: int) -> Design:
    """Return the design of n prompts; nothing in it looks at what is to be learnt."""
    n = len(features.embedding)
    drawn = np.random.default_rng(seed).permutation(n)[:_MOST_DECOMPOSED]
    sample = features.lexical[np.sort(drawn)]
    directions = randomized_svd(sample, min(_DIRECTIONS, *sample.shape), random_state=seed)[2].T.astype(np.float32)
    mean = features.surface.mean(axis=0, dtype=np.float64)
    deviation = features.surface.std(axis=0, dtype=np.float64)
    scale = _SURFACE_SCALE / np.sqrt(len(mean)) / np.maximum(deviation, 1e-6)
    blocks = [features.embedding, features.lexical @ directions, (features.surface - mean) * scale, np.full((n, 1), _BIAS)]
    return Design(rows=np.hstack(blocks).astype(np.float32), directions=directions, mean=mean, scale=scale)


def widen(rows: NDArray[np.float32], labels: Sequence[str]) -> NDArray[np.float32]:
    """Return what to multiply rows by so that differences between labels cost weights little, shape (d, d + labels).

    Beside what the rows have, it gives them the directions that tell the labels apart (ridge regression on their
    indicators, strength `_LABEL_RIDGE`), enlarged: models differ most between kinds of prompts.

    Args:
        rows: Shape (n, d).
        labels: Of the rows, such as their tasks; "" where there is none.
    """
    names = sorted(set(labels) - {""})
    indicators = np.array([[label == name for name in names] for label in labels], np.float32).reshape(len(labels), -1)
    gram = rows.T @ rows + _LABEL_RIDGE * np.eye(rows.shape[1], dtype=np.float32)
    directions = np.linalg.solve(gram, rows.T @ (indicators - indicators.mean(axis=0)))
    return np.hstack([np.eye(rows.shape[1], dtype=np.float32), _LABEL_SCALE * directions]).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is to be learnt: of n prompts and m models, for each of `folds` its own offsets.

    Attributes:
        target: Shape (n, m); NaN where not known: in [0, 1] for the logistic loss, any for the squared one.
        offset: What is known before the prompt is looked at, shape (n, m): in logits, or in the units of the target.
        loss: Negative log-likelihood in nats, or half the squared error.
    """

    target: NDArray[np.float64]
    offset: NDArray[np.float64]
    loss: Loss

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Problem:
        """Return it for some of the prompts."""
        return Problem(target=self.target[rows], offset=self.offset[rows], loss=self.loss)

    def losses(self, moved: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the loss of each prompt and model where the offsets are moved by so much; NaN where not known."""
        eta = self.offset + moved
        if self.loss == "squared":
            return np.asarray((self.target - eta) ** 2 / 2)
        return np.asarray(np.logaddexp(0, eta) - self.target * eta)


def fit(
    rows: NDArray[np.float32],
    problem: Problem,
    shared: float,
    own: float,
    *,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return weights of shape (1 + m, d): what is shared, then each model's deviation from it.

    They minimise Σ loss + shared/2 · |w|² + own/2 · Σ_m |Δ_m|² over the known targets, which is convex.

    Args:
        rows: Shape (n, d).
        problem: Of the same prompts.
        shared: Precision of the prior of what is shared, > 0.
        own: Of each model's deviation, > 0; infinite: there are none.
        start: Where to start.
    """
    m = problem.target.shape[1]
    known = ~np.isnan(problem.target)
    target = np.where(known, problem.target, 0.0)
    # Scaled by their prior's deviation, all weights are penalised alike, which the search likes.
    scale = np.array([shared, *[own] * m])[:, None] ** -0.5
    free = np.ones(1 + m, np.bool_) if np.isfinite(own) else np.arange(1 + m) == 0

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = np.zeros((1 + m, rows.shape[1]))
        scaled[free] = flat.reshape(-1, rows.shape[1])
        weights = scaled * scale
        eta = problem.offset + rows @ (weights[0] + weights[1:]).astype(np.float32).T
        if problem.loss == "logistic":
            value, slope = np.logaddexp(0, eta) - target * eta, expit(eta) - target
        else:
            value, slope = (eta - target) ** 2 / 2, eta - target
        slope = np.where(known, slope, 0.0)
        by_model = np.asarray(slope.astype(np.float32).T @ rows, np.float64)
        gradient = np.vstack([by_model.sum(axis=0), by_model]) * scale + scaled
        return float(value[known].sum() + (scaled**2).sum() / 2), gradient[free].ravel()

    begun = np.zeros((1 + m, rows.shape[1])) if start is None else start / np.where(scale > 0, scale, np.inf)
    options = {"gtol": _TOLERANCE * max(known.sum(), 1) ** 0.5, "ftol": 1e-9, "maxiter": _MAX_ITERATIONS, "maxcor": 10}
    with threadpool_limits(1, user_api="blas"):  # products so small wait longer for a second thread than they take
        found = minimize(objective, begun[free].ravel(), jac=True, method="L-BFGS-B", options=options).x
    weights = np.zeros((1 + m, rows.shape[1]))
    weights[free] = found.reshape(-1, rows.shape[1])
    return np.asarray(weights * scale)


def fit_path(
    rows: NDArray[np.float32], problem: Problem, precisions: Sequence[tuple[float, float]]
) -> list[NDArray[np.float64]]:
    """Return the weights for each pair of precisions, shared and own, each starting where the last one ended."""
    path: list[NDArray[np.float64]] = []
    for shared, own in precisions:
        path.append(fit(rows, problem, shared, own, start=path[-1] if path else None))
    return path


def move(rows: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much the weights move the offsets of prompts, shape (n, m)."""
    return np.asarray(rows @ (weights[0] + weights[1:]).astype(np.float32).T, np.float64)
