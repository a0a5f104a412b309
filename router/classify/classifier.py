"""The fitted classifier: one text comes in, calibrated probabilities of the tasks go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.classify.heads import Features, Heads, multiply
from router.types import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Label of a turn that names no task itself ("and for 40 people?"). Its task is that of the turn before.
CONTINUES = "continues"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTier:
    """One linear layer on the vector of a cheap encoder. It answers if it is sure that the full classifier agrees.

    Attributes:
        encoder: The cheap encoder.
        weights: Shape (dim, labels), float32. Fitted to the calibrated probabilities of the full classifier.
        bias: Shape (labels,), float32. Fitted together with the weights.
        threshold: Lowest probability of the likeliest task at which the first tier answers, in [0, 1].
        tasks: Tasks that the first tier may answer. A task is missing if the prompt's own features help to choose a model
            for it, because only the full classifier computes them.
    """

    encoder: Encoder
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    threshold: float
    tasks: frozenset[str]

    def probabilities(self, text: str) -> NDArray[np.float64]:
        """Return calibrated probabilities, shape (labels,), which sum to one."""
        logits = multiply(self.encoder.encode([text])[0], self.weights) + self.bias
        return softmax(np.asarray(logits, np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskClassifier:
    """A fitted classifier. Thread-safe.

    Attributes:
        labels: The tasks, in the order of the columns of the heads. `CONTINUES` may be among them.
        encoder: The encoder that the heads were fitted on.
        heads: The weights.
        temperature: Divisor of the logits (Guo et al., 2017, On Calibration of Modern Neural Networks).
        threshold: A prediction with less confidence counts as unsure, in [0, 1].
        first: The first tier. None if there is none.
    """

    labels: tuple[str, ...]
    encoder: Encoder
    heads: Heads
    temperature: float
    threshold: float
    first: FirstTier | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The labels that are tasks, in their order."""
        return tuple(label for label in self.labels if label != CONTINUES)

    def featurize(self, text: str) -> Features:
        """Return the features of a text that the heads take."""
        return Features.of(text, self.encoder.encode([text])[0])

    def probabilities(self, features: Features) -> NDArray[np.float64]:
        """Return calibrated probabilities, shape (labels,), which sum to one."""
        return softmax(np.asarray(self.heads.apply(features), np.float64) / self.temperature)


def split_continues(
    labels: Sequence[str], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probabilities of the tasks, shape (n, tasks), and of `CONTINUES`, shape (n,).

    The second array is all zeros if `CONTINUES` is not a label.

    Args:
        labels: The labels, in the order of the columns.
        probabilities: Shape (n, labels).
    """
    if CONTINUES not in labels:
        return probabilities, np.zeros(len(probabilities))
    column = labels.index(CONTINUES)
    return np.concatenate([probabilities[:, :column], probabilities[:, column + 1 :]], axis=1), probabilities[:, column]


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax over the last axis, without overflow."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
