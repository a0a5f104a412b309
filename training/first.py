"""Fit the first tier: one linear layer on the draft's vectors that says what the full classifier would say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from router.artifacts import FirstTierRecord
from router.classifier import softmax
from training.classifier import FeatureBlocks, FittedClassifier, head_logits, spread_continues

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What may be lost against the full classifier on every prompt, as share of prompts told right, and how sure that has to be.
MOST_LOST, CONFIDENCE = 0.005, 0.9
# On fewer prompts a single one is more than that.
LEAST_JUDGED = 200
# Share of texts that ask for nothing of which it may be sure.
MOST_STRAYS = 0.05
_STRENGTH, _TOLERANCE, _MAX_ITERATIONS = 1e-2, 1e-5, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A linear layer: `weights` of shape (dim, labels) and `bias` of shape (labels,), both float32."""

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def tell(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, shape (n, labels), for vectors of shape (n, dim)."""
        return softmax(np.asarray(vectors @ self.weights + self.bias, np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedFirst:
    """A first tier: the layer, and what it was worth on prompts held out."""

    layer: Linear
    record: FirstTierRecord


def fit_first(
    vectors: NDArray[np.float32],
    features: FeatureBlocks,
    fitted: FittedClassifier,
    targets: NDArray[np.int64],
    strays: NDArray[np.float32],
) -> FittedFirst | None:
    """Fit a first tier to a fitted classifier, or find that none is worth having.

    Args:
        vectors: The draft's, of the prompts that the classifier was fitted on, then of texts without request: shape
            (n, dim).
        features: What the classifier looks at in the same n texts.
        fitted: The classifier.
        targets: Shape (judged,): places in `fitted.tasks` of those prompts that it was judged on, and that the draft has
            not seen; −1: it has.
        strays: The draft's vectors of other texts that ask for nothing, shape (any, dim).
    """
    kept = targets >= 0
    if kept.sum() < LEAST_JUDGED:
        return None
    told = softmax(head_logits(fitted.heads, features) / fitted.temperature)
    folds, mixed = fitted.folds[fitted.judged], np.empty_like(fitted.probabilities)
    everything = np.arange(len(vectors))
    for fold in np.unique(folds):
        held_out = fitted.judged[folds == fold]
        rows = np.setdiff1d(everything, held_out)
        layer = fit_linear(vectors[rows], told[rows])
        mixed[folds == fold] = spread_continues(fitted.labels, layer.tell(vectors[held_out]))
    layer = fit_linear(vectors, told)
    record = choose_threshold(
        mixed[kept],
        fitted.probabilities[kept],
        targets[kept],
        strays=spread_continues(fitted.labels, layer.tell(strays)).max(axis=1, initial=0.0),
        least=fitted.threshold,
    )
    return None if record is None else FittedFirst(layer=layer, record=record)


def fit_linear(vectors: NDArray[np.float32], told: NDArray[np.float64], *, strength: float = _STRENGTH) -> Linear:
    """Fit a multinomial logistic regression to probabilities: the least cross-entropy plus `strength`/2 · |weights|².

    Args:
        vectors: Shape (n, dim); each column counts by its own standard deviation.
        told: Shape (n, labels).
        strength: Of regularisation.
    """
    scale = np.maximum(vectors.std(axis=0), 1e-6)
    design = np.asarray(vectors / scale, np.float32)
    (n, dim), labels = design.shape, told.shape[1]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = flat[: dim * labels].reshape(dim, labels), flat[dim * labels :]
        logits = np.asarray(design @ weights.astype(np.float32), np.float64) + bias
        probabilities = softmax(logits)
        excess = (probabilities - told) / n
        value = -float((told * np.log(np.maximum(probabilities, 1e-12))).sum()) / n + strength / 2 * float(
            (weights**2).sum()
        )
        slope = np.asarray(design.T @ excess.astype(np.float32), np.float64) + strength * weights
        return value, np.concatenate([slope.ravel(), excess.sum(axis=0)])

    start = np.concatenate([np.zeros(dim * labels), np.log(told.mean(axis=0))])
    flat = minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": _TOLERANCE, "maxiter": _MAX_ITERATIONS}).x
    weights = flat[: dim * labels].reshape(dim, labels) / scale[:, None]
    return Linear(weights=weights.astype(np.float32), bias=flat[dim * labels :].astype(np.float32))


def choose_threshold(
    first: NDArray[np.float64],
    full: NDArray[np.float64],
    targets: NDArray[np.int64],
    *,
    strays: NDArray[np.float64],
    least: float = 0.0,
) -> FirstTierRecord | None:
    """Return the lowest threshold, in steps of 0.01, that loses and answers no more than may be; None: there is none.

    `MOST_LOST` of the accuracy may be lost, with `CONFIDENCE` (normal approximation of the mean difference),
    for the lowest of many that seem to do is a lucky one; and `MOST_STRAYS` of the texts that ask for nothing answered.

    Args:
        first: Probabilities of the first tier, held out, shape (n, tasks), and
        full: those of the full classifier.
        targets: Shape (n,).
        strays: How sure the first tier is of texts that ask for nothing, shape (any,).
        least: No threshold below.
    """
    confidence = first.max(axis=1)
    won = (full.argmax(axis=1) == targets).astype(np.int64) - (first.argmax(axis=1) == targets)
    for percent in range(math.ceil(least * 100), 101):
        answered, astray = confidence >= percent / 100, strays >= percent / 100
        if astray.sum() > MOST_STRAYS * len(strays):
            continue
        lost, error = float((won * answered).mean()), float((won * answered).std() / math.sqrt(len(targets)))
        if answered.any() and lost + NormalDist().inv_cdf(CONFIDENCE) * error <= MOST_LOST:
            return FirstTierRecord(
                threshold=percent / 100, n=len(targets), share=round(float(answered.mean()), 4), lost=round(lost, 4)
            )
    return None
