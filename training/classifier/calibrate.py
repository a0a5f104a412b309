"""Held-out logits in, weights of the parts, temperature and threshold out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from router.classify.classifier import softmax, split_continues
from training.classifier.linear import PARTS, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Bounds of a part's scale, which is its weight divided by the temperature.
_SCALES = (0.025, 20.0)

# A confidence is too low if at most this share of the predictions below it is right.
_POOR_ACCURACY = 1 / 3

# Assumed share of texts without a request when the threshold is chosen.
_OUTLIER_SHARE = 0.01


def spread_continues(labels: Sequence[str], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of the tasks, shape (n, tasks), as the router gives them for a first turn.

    A first turn continues nothing. So the probability of `CONTINUES` is divided evenly among the tasks.

    Args:
        labels: The labels. `CONTINUES` may be among them.
        probabilities: Probabilities of the labels, shape (n, labels).
    """
    own, continues = split_continues(labels, probabilities)
    return np.asarray(own + continues[:, None] / own.shape[1], np.float64)


def fit_mixture(logits: Mapping[Part, NDArray[np.float64]], targets: NDArray[np.int64]) -> tuple[dict[Part, float], float]:
    """Return the weights of the parts and the temperature that minimise the log-loss of the mixed logits.

    The weights are positive and sum to one.

    Args:
        logits: Held-out logits of each part, shape (n, labels).
        targets: Number of each row's label, shape (n,).
    """
    stacked = np.stack([logits[part] for part in PARTS])
    right = stacked[:, np.arange(len(targets)), targets]

    def loss(scales: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        probabilities = softmax(np.tensordot(scales, stacked, axes=1))
        slope = (probabilities * stacked).sum(axis=2) - right
        return log_loss(probabilities, targets), slope.mean(axis=1)

    bounds = [_SCALES] * len(PARTS)  # convex in the scales: any start finds the one minimum
    scales = minimize(loss, np.full(len(PARTS), 1 / len(PARTS)), jac=True, bounds=bounds, method="L-BFGS-B").x
    total = float(scales.sum())
    return {part: float(scale / total) for part, scale in zip(PARTS, scales, strict=True)}, 1 / total


def fit_temperature(logits: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Return the T in [0.05, 20] that minimises the log-loss of softmax(logits / T) (Guo et al., 2017, section 4.2)."""

    def loss(log_t: float) -> float:
        return log_loss(softmax(logits / np.exp(log_t)), targets)

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def log_loss(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Return the mean of −log p(target). Probabilities below 1e-12 count as 1e-12."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(targets)), targets], 1e-12)).mean())


def choose_unsure_threshold(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    outliers: NDArray[np.float64],
    continues: NDArray[np.float64] | None = None,
) -> float:
    """Return the confidence below which a prediction is at least twice as likely wrong as right.

    This is the highest threshold, in steps of 0.01, below which at most a third of the held-out predictions is right. It is
    a point of the risk-coverage curve (El-Yaniv and Wiener, 2010, JMLR 11:1605-1641). If there is none, return 0.

    Args:
        confidence: Held-out, calibrated confidence in the predictions for n prompts, shape (n,).
        right: Whether each prediction is right, shape (n,).
        outliers: Confidence in the predictions for outliers, any number of them. All of these predictions count as wrong.
            Together they weigh as much as `_OUTLIER_SHARE` of the n prompts.
        continues: Probability that each prompt continues the turn before it, shape (n,). It counts less by that, because its
            confidence is low although the classifier may know the task. None: 0.
    """
    own = np.ones(len(right)) if continues is None else 1 - continues
    outlier_weight = _OUTLIER_SHARE * own.sum() / max(len(outliers), 1)
    weights = np.concatenate([own, np.full(len(outliers), outlier_weight)])
    confidence = np.concatenate([confidence, outliers])
    right = np.concatenate([right, np.zeros(len(outliers), np.bool_)])
    candidates = np.round(np.arange(0.01, 1.0, 0.01), 2)
    poor = [
        t
        for t in candidates
        if (below := confidence < t).any() and np.average(right[below], weights=weights[below]) <= _POOR_ACCURACY
    ]
    return float(max(poor, default=0.0))
