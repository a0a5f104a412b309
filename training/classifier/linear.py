"""One part of the features in, logistic regressions on it out, as heads that the runtime reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from router.classify.features import BUCKETS, SURFACE
from router.classify.heads import Heads
from training.classifier.features import FeatureBlocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A part of the features. `words` are n-grams and surface features.
Part = Literal["embedding", "words"]
PARTS: tuple[Part, ...] = ("embedding", "words")

# Inverse strengths of regularisation to choose from, for each part. A tuned encoder already separates the prompts of its
# tuning, so it needs the strongest regularisation. For an untuned encoder and for words the best value lies inside the
# range, from 200 to 13,000 prompts.
CS: Mapping[Part, tuple[float, ...]] = {"embedding": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0), "words": (1.0, 3.0, 10.0, 30.0)}

# Standard deviation of the scaled surface features. It is small because the n-gram rows beside them have length one.
_SURFACE_SCALE = 0.05

# A bucket that occurs only once in the training prompts cannot generalise, and it makes the fit slow.
_MIN_OCCURRENCES = 2

# Logit of a label that does not occur among the training rows: its probability is practically 0.
_UNSEEN_LOGIT = -30.0

_TOLERANCE, _MAX_ITERATIONS = 1e-4, 5000

# Turns the weights, shape (columns, labels), and the intercepts, shape (labels,), of a design matrix into heads.
_ToHeads = Callable[["NDArray[np.float64]", "NDArray[np.float64]"], Heads]


def fit_path(
    features: FeatureBlocks, targets: NDArray[np.int64], cs: Sequence[float], n_labels: int, part: Part
) -> list[Heads]:
    """Fit one logistic regression on one part of the features for each C. The other part's blocks of the heads are zero.

    Args:
        features: Features of n texts.
        targets: Number of each text's label, shape (n,).
        cs: Inverse strengths of regularisation, ascending. Each fit starts from the previous solution, which saves time.
        n_labels: Number of labels. Some of them may be missing from `targets`.
        part: The part to fit on.
    """
    design, to_heads = (_embedding_design if part == "embedding" else _words_design)(features)
    model = LogisticRegression(tol=_TOLERANCE, max_iter=_MAX_ITERATIONS, warm_start=True)
    path = []
    for c in cs:
        model.set_params(C=c).fit(design, targets)
        path.append(to_heads(*_weights(model, n_labels)))
    return path


def predict_path(
    train: FeatureBlocks, targets: NDArray[np.int64], test: FeatureBlocks, n_labels: int, part: Part
) -> NDArray[np.float64]:
    """Return the logits of held-out texts for each C of a part, shape (len(CS[part]), n, labels).

    If only one label occurs in training, it is certain for every text.

    Args:
        train: Features of the training texts.
        targets: Number of each training text's label.
        test: Features of the n held-out texts.
        n_labels: Number of labels.
        part: The part to fit on.
    """
    seen = np.unique(targets)
    if len(seen) == 1:  # scikit-learn refuses to fit a single class
        alone = np.where(np.arange(n_labels) == seen[0], 0.0, _UNSEEN_LOGIT)
        return np.broadcast_to(alone, (len(CS[part]), test.embedding.shape[0], n_labels))
    return np.array([head_logits(heads, test) for heads in fit_path(train, targets, CS[part], n_labels, part)])


def head_logits(heads: Heads, features: FeatureBlocks) -> NDArray[np.float64]:
    """Return the logits of n texts, shape (n, labels)."""
    summed = features.embedding @ heads.embedding + features.lexical @ heads.lexical + features.surface @ heads.surface
    return np.asarray(summed + heads.bias, np.float64)


def mix_heads(heads: Mapping[Part, Heads], mixture: Mapping[Part, float]) -> Heads:
    """Return one linear layer whose logits are the weighted sum of the parts' logits."""

    def mixed(block: str) -> NDArray[np.float32]:
        return np.asarray(sum(mixture[part] * getattr(heads[part], block) for part in PARTS), np.float32)

    return Heads(embedding=mixed("embedding"), lexical=mixed("lexical"), surface=mixed("surface"), bias=mixed("bias"))


def _weights(model: LogisticRegression, n_labels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scikit-learn's coefficients, shape (columns, labels), and intercepts, shape (labels,).

    A label that the model has not seen gets zero weights and a very low intercept.
    """
    weights = np.zeros((model.coef_.shape[1], n_labels))
    bias = np.full(n_labels, _UNSEEN_LOGIT)
    if len(model.classes_) == 2:  # noqa: PLR2004 - scikit-learn keeps one row for two classes: the logit of the second
        weights[:, model.classes_[1]] = model.coef_[0]
        bias[model.classes_] = (0.0, model.intercept_[0])
    else:
        weights[:, model.classes_], bias[model.classes_] = model.coef_.T, model.intercept_
    return weights, bias


def _embedding_design(features: FeatureBlocks) -> tuple[NDArray[np.float32], _ToHeads]:
    """Return the embeddings as design matrix, and the function that turns its weights into heads."""

    def to_heads(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> Heads:
        return Heads(
            embedding=weights.astype(np.float32),
            lexical=np.zeros((BUCKETS, len(bias)), np.float32),
            surface=np.zeros((len(SURFACE), len(bias)), np.float32),
            bias=bias.astype(np.float32),
        )

    return features.embedding, to_heads


def _words_design(features: FeatureBlocks) -> tuple[sparse.csr_matrix, _ToHeads]:
    """Return frequent buckets and scaled surface features as design matrix, and the function that turns weights into heads.

    The function undoes the scaling, so the heads take surface features as the runtime computes them.
    """
    kept = np.flatnonzero(np.asarray((features.lexical > 0).sum(axis=0)).ravel() >= _MIN_OCCURRENCES)
    mean, std = features.surface.mean(axis=0), np.maximum(features.surface.std(axis=0), 1e-6)
    scaled = (features.surface - mean) / std * _SURFACE_SCALE

    def to_heads(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> Heads:
        surface = weights[len(kept) :] * (_SURFACE_SCALE / std)[:, None]
        lexical = np.zeros((BUCKETS, len(bias)), np.float32)
        lexical[kept] = weights[: len(kept)]
        return Heads(
            embedding=np.zeros((features.embedding.shape[1], len(bias)), np.float32),
            lexical=lexical,
            surface=surface.astype(np.float32),
            bias=(bias - mean @ surface).astype(np.float32),
        )

    return sparse.hstack([features.lexical[:, kept], sparse.csr_matrix(scaled)], format="csr").astype(np.float32), to_heads
