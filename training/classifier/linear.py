"""One part of the features in, logistic regressions on it out, as heads that the runtime reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
# tuning, so stronger regularisation would have a lower log-loss. But it hides a label that is new to the encoder and has
# few prompts, and the accuracy of the other labels is the same (`benchmarks/new_label.py`).
CS: Mapping[Part, tuple[float, ...]] = {"embedding": (10.0, 30.0), "words": (1.0, 3.0, 10.0, 30.0)}

# A label with fewer prompts than the median weighs as much as the median, but each prompt at most so much.
_MOST_WEIGHT = 5.0

# Standard deviation of the scaled surface features. It is small because the n-gram rows beside them have length one.
_SURFACE_SCALE = 0.05

# A bucket that occurs only once in the training prompts cannot generalise, and it makes the fit slow.
_MIN_OCCURRENCES = 2

# Logit of a label that does not occur among the training rows: its probability is practically 0.
_UNSEEN_LOGIT = -30.0

_TOLERANCE, _MAX_ITERATIONS = 1e-4, 5000

# Both solvers reach the same optimum. On 30,000 sparse columns Newton's method takes less than half of the time.
SOLVERS: Mapping[Part, str] = {"embedding": "lbfgs", "words": "newton-cg"}

# Turns the weights, shape (columns, labels), and the intercepts, shape (labels,), of a design matrix into heads.
_ToHeads = Callable[["NDArray[np.float64]", "NDArray[np.float64]"], Heads]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The features of one part as a matrix.

    Attributes:
        part: The part.
        matrix: Shape (n, columns), float32, dense or sparse.
        to_heads: Turns weights and intercepts of the columns into heads.
    """

    part: Part
    matrix: NDArray[np.float32] | sparse.csr_matrix
    to_heads: _ToHeads


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fitted logistic regression on a design matrix.

    Attributes:
        weights: Shape (columns, labels). Zero for a label that did not occur.
        bias: Shape (labels,).
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, matrix: NDArray[np.float32] | sparse.csr_matrix) -> NDArray[np.float64]:
        """Return the logits of rows of the design matrix, shape (rows, labels)."""
        return np.asarray(matrix @ self.weights + self.bias, np.float64)


def make_design(features: FeatureBlocks, part: Part) -> Design:
    """Return the features of one part as a matrix.

    Args:
        features: Features of n texts.
        part: The part.
    """
    return _embedding_design(features) if part == "embedding" else _words_design(features)


def fit_rows(
    matrix: NDArray[np.float32] | sparse.csr_matrix,
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
    cs: Sequence[float],
    n_labels: int,
    *,
    solver: str,
) -> list[Fit]:
    """Fit one logistic regression for each C on some rows of a matrix. If only one label occurs in them, it is certain.

    Args:
        matrix: Shape (n, columns).
        rows: Numbers of the rows to fit on.
        targets: Number of the label of each of the n texts, shape (n,).
        cs: Inverse strengths of regularisation, ascending. Each fit starts from the previous solution, which saves time.
        n_labels: Number of labels. Some of them may be missing from the rows.
        solver: The solver of scikit-learn.
    """
    matrix, targets = matrix[rows], targets[rows]
    seen = np.unique(targets)
    if len(seen) == 1:  # scikit-learn refuses to fit a single class
        return [certain(int(seen[0]), matrix.shape[1], n_labels)] * len(cs)
    model = LogisticRegression(solver=solver, tol=_TOLERANCE, max_iter=_MAX_ITERATIONS, warm_start=True)
    path, weights_of_rows = [], weigh_rare(targets)
    for c in cs:
        model.set_params(C=c).fit(matrix, targets, sample_weight=weights_of_rows)
        path.append(widen(model.coef_, model.intercept_, model.classes_, n_labels))
    return path


def certain(label: int, columns: int, n_labels: int) -> Fit:
    """Return the fit on rows that all have one label.

    Args:
        label: The label.
        columns: Number of columns of the design matrix.
        n_labels: Number of labels.
    """
    bias = np.where(np.arange(n_labels) == label, 0.0, _UNSEEN_LOGIT)
    return Fit(weights=np.zeros((columns, n_labels)), bias=bias)


def widen(coef: NDArray[np.float64], intercept: NDArray[np.float64], labels: NDArray[np.int64], n_labels: int) -> Fit:
    """Return a fit of some labels as one of all labels. The others get zero weights and a very low intercept.

    Args:
        coef: Coefficients as scikit-learn has them, shape (labels, columns). Of two labels only the second has a row.
        intercept: Intercepts of the same labels.
        labels: The labels of the fit, ascending. Two or more.
        n_labels: Number of all labels.
    """
    weights = np.zeros((coef.shape[1], n_labels))
    bias = np.full(n_labels, _UNSEEN_LOGIT)
    fitted = labels[-len(coef) :]
    bias[labels] = 0.0
    weights[:, fitted], bias[fitted] = coef.T, intercept
    return Fit(weights=weights, bias=bias)


def weigh_rare(targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weight of each row: more than 1 if its label is rare."""
    counts = np.bincount(targets)
    typical = float(np.median(counts[counts > 0]))
    return np.clip(typical / np.maximum(counts, 1), 1.0, _MOST_WEIGHT)[targets]


def fit_path(
    features: FeatureBlocks, targets: NDArray[np.int64], cs: Sequence[float], n_labels: int, part: Part
) -> list[Heads]:
    """Fit one logistic regression on one part of the features for each C. The other part's blocks of the heads are zero.

    Args:
        features: Features of n texts.
        targets: Number of each text's label, shape (n,).
        cs: Inverse strengths of regularisation, ascending.
        n_labels: Number of labels. Some of them may be missing from `targets`.
        part: The part to fit on.
    """
    design = make_design(features, part)
    fits = fit_rows(design.matrix, np.arange(len(targets)), targets, cs, n_labels, solver=SOLVERS[part])
    return [design.to_heads(fit.weights, fit.bias) for fit in fits]


def head_logits(heads: Heads, features: FeatureBlocks) -> NDArray[np.float64]:
    """Return the logits of n texts, shape (n, labels)."""
    summed = features.embedding @ heads.embedding + features.lexical @ heads.lexical + features.surface @ heads.surface
    return np.asarray(summed + heads.bias, np.float64)


def mix_heads(heads: Mapping[Part, Heads], mixture: Mapping[Part, float]) -> Heads:
    """Return one linear layer whose logits are the weighted sum of the parts' logits."""

    def mixed(block: str) -> NDArray[np.float32]:
        return np.asarray(sum(mixture[part] * getattr(heads[part], block) for part in PARTS), np.float32)

    return Heads(embedding=mixed("embedding"), lexical=mixed("lexical"), surface=mixed("surface"), bias=mixed("bias"))


def _embedding_design(features: FeatureBlocks) -> Design:
    """Return the embeddings as they are."""

    def to_heads(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> Heads:
        return Heads(
            embedding=weights.astype(np.float32),
            lexical=np.zeros((BUCKETS, len(bias)), np.float32),
            surface=np.zeros((len(SURFACE), len(bias)), np.float32),
            bias=bias.astype(np.float32),
        )

    return Design(part="embedding", matrix=features.embedding, to_heads=to_heads)


def _words_design(features: FeatureBlocks) -> Design:
    """Return frequent buckets and scaled surface features.

    `to_heads` undoes the scaling, so the heads take surface features as the runtime computes them.
    """
    kept = np.flatnonzero(np.asarray((features.lexical > 0).sum(axis=0)).ravel() >= _MIN_OCCURRENCES)
    mean, std = features.surface.mean(axis=0), np.maximum(features.surface.std(axis=0), 1e-6)
    scaled = (features.surface - mean) / std * _SURFACE_SCALE
    dim = features.embedding.shape[1]

    def to_heads(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> Heads:
        surface = weights[len(kept) :] * (_SURFACE_SCALE / std)[:, None]
        lexical = np.zeros((BUCKETS, len(bias)), np.float32)
        lexical[kept] = weights[: len(kept)]
        return Heads(
            embedding=np.zeros((dim, len(bias)), np.float32),
            lexical=lexical,
            surface=surface.astype(np.float32),
            bias=(bias - mean @ surface).astype(np.float32),
        )

    matrix = sparse.hstack([features.lexical[:, kept], sparse.csr_matrix(scaled)], format="csr").astype(np.float32)
    return Design(part="words", matrix=matrix, to_heads=to_heads)
