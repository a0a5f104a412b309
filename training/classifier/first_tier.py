"""A fitted classifier and a draft encoder in, a first tier that answers for the classifier out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from router.classify.classifier import softmax
from router.classify.draft import DraftEncoder
from router.model_folder.manifest import FirstTierRecord
from training.classifier.calibrate import spread_continues
from training.classifier.features import FeatureBlocks
from training.classifier.fit import FittedClassifier
from training.classifier.linear import head_logits
from training.classifier.outliers import make_outliers
from training.classifier.soft_labels import LinearLayer, fit_linear

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Accuracy that the first tier may lose against the full classifier, as a share of all prompts. The loss must be lower than
# this with the given confidence. With twice as much the first tier would answer more, and lose as much on prompts of other
# people as on the held-out ones (ADR 13).
MOST_LOST, CONFIDENCE = 0.01, 0.9

# With fewer held-out prompts, three errors would already exceed `MOST_LOST`.
FEWEST_HELD_OUT = 200

# Largest share of outliers that the first tier may answer.
MOST_OUTLIERS = 0.05

# Seed of outliers that neither the classifier nor the draft has seen. Their own seeds are small numbers.
_UNSEEN_OUTLIERS_SEED = 1_000_000

# Target of a held-out prompt that the draft was distilled from.
_SEEN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedFirstTier:
    """A fitted first tier.

    Attributes:
        layer: The linear layer on the draft's vectors.
        record: The threshold, and the share and the loss on held-out prompts.
    """

    layer: LinearLayer
    record: FirstTierRecord


def build_first_tier(
    draft: DraftEncoder | None,
    texts: Sequence[str],
    tasks: Sequence[str],
    features: FeatureBlocks,
    fitted: FittedClassifier,
    *,
    seen: NDArray[np.bool_],
) -> FittedFirstTier | None:
    """Encode texts with the draft and fit a first tier to the classifier. None if there is no draft or it is not useful.

    Args:
        draft: The draft encoder. None: the encoder folder has none.
        texts: The prompts that the classifier was fitted on, then the outliers.
        tasks: Label of each prompt.
        features: Features of the same texts.
        fitted: The classifier.
        seen: Whether the draft was distilled from a prompt, shape (len(tasks),). The evaluation leaves such prompts out.
    """
    if draft is None:
        return None
    targets = np.array([_SEEN if seen[i] else fitted.tasks.index(tasks[i]) for i in fitted.held_out])
    outliers = make_outliers(len(tasks), seed=_UNSEEN_OUTLIERS_SEED)
    return fit_first_tier(draft.encode(texts), features, fitted, targets, draft.encode(outliers))


def fit_first_tier(
    vectors: NDArray[np.float32],
    features: FeatureBlocks,
    fitted: FittedClassifier,
    targets: NDArray[np.int64],
    outliers: NDArray[np.float32],
) -> FittedFirstTier | None:
    """Fit a first tier to a fitted classifier. None if it is not useful, or cannot be evaluated.

    Args:
        vectors: The draft's vectors of n texts, shape (n, dim): the prompts of the classifier's fit, then outliers.
        features: The classifier's features of the same n texts.
        fitted: The classifier.
        targets: Place in `fitted.tasks` of each held-out prompt's task, shape (held_out,). −1 if the draft has seen it.
        outliers: The draft's vectors of other outliers, shape (any, dim).
    """
    unseen = targets != _SEEN
    if unseen.sum() < FEWEST_HELD_OUT:
        return None
    teacher = softmax(head_logits(fitted.heads, features) / fitted.temperature)
    layer = fit_linear(vectors, teacher)
    record = choose_first_tier_threshold(
        _predict_held_out(vectors, teacher, fitted)[unseen],
        fitted.probabilities[unseen],
        targets[unseen],
        outliers=spread_continues(fitted.labels, layer.probabilities(outliers)).max(axis=1, initial=0.0),
        lowest=fitted.threshold,
    )
    return None if record is None else FittedFirstTier(layer=layer, record=record)


def _predict_held_out(
    vectors: NDArray[np.float32], teacher: NDArray[np.float64], fitted: FittedClassifier
) -> NDArray[np.float64]:
    """Return the first tier's probabilities of held-out prompts, shape (held_out, tasks), with the classifier's folds."""
    folds, predicted = fitted.folds[fitted.held_out], np.empty_like(fitted.probabilities)
    everything = np.arange(len(vectors))
    for fold in np.unique(folds):
        held_out = fitted.held_out[folds == fold]
        rows = np.setdiff1d(everything, held_out)
        layer = fit_linear(vectors[rows], teacher[rows])
        predicted[folds == fold] = spread_continues(fitted.labels, layer.probabilities(vectors[held_out]))
    return predicted


def choose_first_tier_threshold(
    first: NDArray[np.float64],
    full: NDArray[np.float64],
    targets: NDArray[np.int64],
    *,
    outliers: NDArray[np.float64],
    lowest: float = 0.0,
) -> FirstTierRecord | None:
    """Return the lowest threshold, in steps of 0.01, at which the first tier loses little accuracy. None if there is none.

    Two conditions hold at the threshold. The loss of accuracy is at most `MOST_LOST` with confidence `CONFIDENCE`, by the
    normal approximation of the mean difference. And at most `MOST_OUTLIERS` of the outliers are answered.

    Args:
        first: Held-out probabilities of the first tier, shape (n, tasks).
        full: Held-out probabilities of the full classifier, shape (n, tasks).
        targets: Number of each prompt's task, shape (n,).
        outliers: Confidence of the first tier for outliers, any number of them.
        lowest: No lower threshold is considered.
    """
    confidence = first.max(axis=1)
    # +1: only the full classifier is right, −1: only the first tier is right, 0: they agree.
    difference = (full.argmax(axis=1) == targets).astype(np.int64) - (first.argmax(axis=1) == targets)
    for percent in range(math.ceil(lowest * 100), 101):
        answered, answered_outliers = confidence >= percent / 100, outliers >= percent / 100
        if answered_outliers.sum() > MOST_OUTLIERS * len(outliers):
            continue
        losses = difference * answered
        lost, error = float(losses.mean()), float(losses.std() / math.sqrt(len(targets)))
        # A bound instead of the mean: of the many thresholds tried, the lowest with a small mean is often a lucky one.
        if answered.any() and lost + NormalDist().inv_cdf(CONFIDENCE) * error <= MOST_LOST:
            return FirstTierRecord(
                threshold=percent / 100, n=len(targets), share=round(float(answered.mean()), 4), lost=round(lost, 4)
            )
    return None
