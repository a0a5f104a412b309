"""Texts and labels in, the task classifier of the router as an estimator of scikit-learn out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, assert_all_finite, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from router.classify.classifier import TaskClassifier as FittedTaskClassifier
from router.classify.encoder import OnnxEncoder
from router.classify.heads import Features
from router.model_folder.load import find_model_folder
from training.classifier.engine import LocalEngine
from training.classifier.features import featurize
from training.classifier.fit import fit_classifier
from training.classifier.folds import FOLDS
from training.classifier.known_vectors import read_vectors
from training.classifier.outliers import make_outliers
from training.encoder.folder import suited_to
from training.encoder.seen import was_seen

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEWEST_CLASSES = 2


class TaskClassifier(ClassifierMixin, BaseEstimator):
    """The classifier of `llm-router-train train`, with embeddings, words and calibrated probabilities.

    It is fitted as the pipeline fits it, without the first tier and the keyword rules.

    Args:
        encoder: Encoder folder. None: that of the shipped model folder.
        random_state: Seed of the cross-validation and of the texts without a request, as in scikit-learn.
        n_jobs: Number of processes. None: one. -1: one for each processor.

    Attributes:
        classes_: The labels, in ascending order.
        classifier_: The same classifier for a router: `Router(profiles, estimator.classifier_)`.

    >>> rooms = [f"book a room for {name} at {hour}" for name in ("Ann", "Bo") for hour in (9, 10, 11)]
    >>> proofs = [f"prove that {n} is {kind}" for n in (7, 13, 29) for kind in ("prime", "odd")]
    >>> classifier = TaskClassifier().fit(rooms + proofs, ["booking"] * 6 + ["math"] * 6)
    >>> classifier.predict(["book a desk for Eve at 4", "prove that 2 is even"]).tolist()
    ['booking', 'math']
    """

    def __init__(self, *, encoder: str | Path | None = None, random_state: Any = 0, n_jobs: int | None = None) -> None:
        self.encoder, self.random_state, self.n_jobs = encoder, random_state, n_jobs

    def fit(self, X: Iterable[str], y: Sequence[Any]) -> Self:  # noqa: N803 - the name is scikit-learn's
        """Fit the classifier.

        Args:
            X: n texts.
            y: Their labels. Each label needs at least five texts.

        Raises:
            ValueError: If `X` has something else than texts, or there are too few texts or labels.
        """
        texts = self._read_texts(X, reset=True)
        labels = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        check_consistent_length(texts, labels)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        # Numbers of two digits or more as text would be in another order than `classes_`.
        names = [f"{target:09d}" for target in targets]
        source, tasks = self._find_encoder(), tuple(str(label) for label in self.classes_)
        _check_counts(texts, [tasks[target] for target in targets])
        seed, jobs = int(check_random_state(self.random_state).randint(2**31)), self.n_jobs or 1
        with suited_to(source, texts, tasks) as suited:
            encoder = OnnxEncoder.load(suited)
        engine, known = LocalEngine(jobs), read_vectors(source.parent)
        features, outliers = (
            featurize(some, encoder, encode=engine.encode, known=known)
            for some in (texts, make_outliers(len(texts), seed=seed))
        )
        seen = was_seen(texts, encoder.record.tuning)
        # A text that occurs twice stays on one side of each split.
        fitted = fit_classifier(features, names, texts, seen=seen, outliers=outliers, seed=seed, jobs=jobs, engine=engine)
        self.classifier_ = FittedTaskClassifier(
            labels=tasks,
            encoder=encoder,
            heads=fitted.heads,
            temperature=fitted.temperature,
            threshold=fitted.threshold,
        )
        return self

    def predict_proba(self, X: Iterable[str]) -> NDArray[np.float64]:  # noqa: N803 - the name is scikit-learn's
        """Return calibrated probabilities, shape (n, classes), in the order of `classes_`."""
        check_is_fitted(self)
        texts, classifier = self._read_texts(X, reset=False), self.classifier_
        vectors = LocalEngine(self.n_jobs or 1).encode(texts, classifier.encoder)
        features = (Features.of(text, vector) for text, vector in zip(texts, vectors, strict=True))
        return np.stack([classifier.probabilities(each) for each in features])

    def predict(self, X: Iterable[str]) -> NDArray[Any]:  # noqa: N803 - the name is scikit-learn's
        """Return the likeliest label of each text."""
        probabilities = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels

    def _find_encoder(self) -> Path:
        return find_model_folder() / "encoder" if self.encoder is None else Path(self.encoder)

    def _read_texts(self, X: Iterable[str], *, reset: bool) -> list[str]:  # noqa: N803 - the name is scikit-learn's
        """Return the texts. `reset` says whether they are those to fit on."""
        del reset
        if isinstance(X, str) or not isinstance(X, Iterable):
            raise ValueError(f"X must be a list of texts, got {type(X).__name__}; write [text] for one")
        texts = list(X)
        if wrong := next((type(text).__name__ for text in texts if not isinstance(text, str)), None):
            raise ValueError(f"X must be a list of texts, got one with a {wrong}; pass one column of texts")
        if not texts:
            raise ValueError("X must have at least one text, got 0 sample(s)")
        return [str(text) for text in texts]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


def _check_counts(texts: Sequence[str], labels: Sequence[str]) -> None:
    """Raise a `ValueError` if the texts are too few to hold some of each label out."""
    counts = Counter(labels)
    if len(counts) < _FEWEST_CLASSES:
        raise ValueError(f"y must have at least {_FEWEST_CLASSES} classes, got {len(counts)} class; add another label")
    if scarce := {label: n for label, n in counts.items() if n < FOLDS}:
        raise ValueError(f"each label must have at least {FOLDS} texts, got {scarce}; add texts or drop the label")
    if (n_different := len(set(texts))) < FOLDS:
        raise ValueError(f"X must have at least {FOLDS} different texts, got {n_different}; add others")
