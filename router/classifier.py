"""Prompt to task probabilities: embedding and lexical features under one linear head, keyword rules where it is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from router.features import hashed_ngrams, surface_features
from router.keywords import KeywordRules
from router.types import Encoder, Source, TaskPrediction

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """One linear layer, in the blocks of its input, all float32.

    Attributes:
        embedding: Shape (dim, labels).
        lexical: Shape (buckets, labels).
        surface: Shape (surface features, labels).
        bias: Shape (labels,).
    """

    embedding: NDArray[np.float32]
    lexical: NDArray[np.float32]
    surface: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, text: str, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return one logit per label, of a text and its embedding of shape (dim,)."""
        buckets, values = hashed_ngrams(text)
        logits = vector @ self.embedding + values @ self.lexical[buckets] + surface_features(text) @ self.surface
        return np.asarray(logits + self.bias, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskClassifier:
    """A fitted classifier. Thread-safe.

    Attributes:
        labels: The tasks, in the order of the heads' columns.
        encoder: The very encoder it was trained with.
        heads: The weights.
        temperature: What the logits are divided by (Guo et al., 2017, On Calibration of Modern Neural Networks).
        threshold: Confidence below which the prediction counts as unsure, in [0, 1].
    """

    labels: tuple[str, ...]
    encoder: Encoder
    heads: Heads
    temperature: float
    threshold: float

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return calibrated probabilities, shape (len(texts), labels), rows summing to one."""
        vectors = self.encoder.encode(texts)
        logits = [self.heads.logits(text, vector) for text, vector in zip(texts, vectors, strict=True)]
        return softmax(np.array(logits, np.float64).reshape(-1, len(self.labels)) / self.temperature)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOracle:
    """Classifier, then keyword rules, then "I do not know": the order in which a prompt's task is settled.

    Attributes:
        labels: The tasks to tell apart.
        classifier: None where none could be loaded.
        rules: The keyword rules.
    """

    labels: tuple[str, ...]
    classifier: TaskClassifier | None
    rules: KeywordRules = field(repr=False)

    def predict(self, text: str) -> TaskPrediction:
        """Return the task of a text.

        A rule is asked only where the classifier is missing or unsure, and the two count alike then (a linear opinion pool;
        Stone, 1961, Annals of Mathematical Statistics 32:1339-1342): a prompt hard for the one is harder than most for the
        other. Where no rule fits either, the classifier's probabilities only hedge.
        """
        known, mixture = self._classify(text)
        confidence = float(mixture.max(initial=0.0)) if known else 0.0
        guess = int(mixture.argmax()) if known else None
        sure = self.classifier is not None and known and confidence >= self.classifier.threshold
        named = None if sure else self.rule_for(text)
        if named is None:
            return self._settle(mixture, guess, "classifier" if sure else "default")
        by_rule = np.full(len(self.labels), (1 - self.rules.precision) / len(self.labels))
        by_rule[named] += self.rules.precision
        pooled = (by_rule + mixture) / 2 if known and self.classifier is not None else by_rule
        winner = int(pooled.argmax())
        return self._settle(pooled, winner, "keywords" if winner == named else "default")

    def rule_for(self, text: str) -> int | None:
        """Return the label that the keyword rules name for a text; None where none fits."""
        match = self.rules.match(text)
        return self.labels.index(match[0]) if match is not None and match[0] in self.labels else None

    def _classify(self, text: str) -> tuple[bool, NDArray[np.float64]]:
        """Return whether there was anything to go by, and the probabilities, uniform where there was not."""
        if self.classifier is None or not text.strip():
            return False, np.full(len(self.labels), 1 / max(len(self.labels), 1))
        return True, self.classifier.probabilities([text])[0]

    def _settle(self, probabilities: NDArray[np.float64], index: int | None, source: Source) -> TaskPrediction:
        return TaskPrediction(
            task=None if index is None else self.labels[index],
            confidence=float(probabilities.max(initial=0.0) if index is None else probabilities[index]),
            probabilities=dict(zip(self.labels, probabilities.tolist(), strict=True)),
            source=source,
        )


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax over the last axis, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
