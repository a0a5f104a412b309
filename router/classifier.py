"""Turns to task probabilities: embedding and lexical features under one linear head, keyword rules where it is unsure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from router.heads import Features, Heads
from router.keywords import KeywordRules
from router.types import Encoder, Source, TaskPrediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The label of a turn that says no task by itself ("and for 40 people?"): its task is that of the turn before.
CONTINUES = "continues"
# How far back a conversation is read: until so little of the probability is left, and at most so many turns.
_LEAST_CARRIED, _MOST_TURNS = 0.05, 10
# Without such a label, a turn of so few words ("yes, go on") counts as one.
_FOLLOW_UP_WORDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskClassifier:
    """A fitted classifier. Thread-safe.

    Attributes:
        labels: The tasks, in the order of the heads' columns; `CONTINUES` may be among them.
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

    @property
    def tasks(self) -> tuple[str, ...]:
        """The labels that are tasks, in their order."""
        return tuple(label for label in self.labels if label != CONTINUES)

    def featurize(self, text: str) -> Features:
        """Return what the heads look at in a text."""
        return Features.of(text, self.encoder.encode([text])[0])

    def probabilities(self, features: Features) -> NDArray[np.float64]:
        """Return calibrated probabilities, shape (labels,), summing to one."""
        return softmax(np.asarray(self.heads.apply(features), np.float64) / self.temperature)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """What one turn says by itself.

    Attributes:
        own: Probability of each task, summing to 1 − `continues`.
        continues: Probability that the turn says none, but goes on with the one before.
        named: The task that a keyword rule names, where one was asked and fits.
        features: What the classifier looked at, where it did.
    """

    own: NDArray[np.float64]
    continues: float
    named: int | None = None
    features: Features | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read in a turn.

    Attributes:
        prediction: The task.
        features: What the classifier looked at in the turn itself; None where it did not.
    """

    prediction: TaskPrediction
    features: Features | None


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

    def predict(self, text: str, earlier: Sequence[str] = ()) -> TaskPrediction:
        """Return the task of a turn, given the user's turns before it, newest first; see `read`."""
        return self.read(text, earlier).prediction

    def read(self, text: str, earlier: Sequence[str] = ()) -> Reading:
        """Read a turn, given the user's turns before it.

        p(task) = p(task | turn) + p(`CONTINUES` | turn) · p(task of the turn before), and so on back; what is left before
        the first turn is spread evenly. No more turns are read than can matter.

        A keyword rule is asked only where the classifier is missing or unsure of a turn, and the two count alike then (a
        linear opinion pool; Stone, 1961, Annals of Mathematical Statistics 32:1339-1342): a prompt hard for the one is
        harder than most for the other. Where no rule fits either, the probabilities only hedge.

        Args:
            text: The turn.
            earlier: Those before it, newest first.
        """
        turns = (text, *earlier)[:_MOST_TURNS]
        mixture, carried = np.zeros(len(self.labels)), 1.0
        read: list[_Turn] = []
        weights: list[float] = []
        for before, turn in enumerate(turns, start=1):
            read.append(self._read(turn, follows=before < len(turns)))
            mixture += carried * read[-1].own
            weights.append(carried * (1 - read[-1].continues))
            carried *= read[-1].continues
            if carried < _LEAST_CARRIED:
                break
        mixture += carried / max(len(self.labels), 1)
        winner = int(mixture.argmax()) if max(weights) > 0 else None
        confidence = float(mixture.max(initial=0.0))
        prediction = TaskPrediction(
            task=None if winner is None else self.labels[winner],
            confidence=confidence,
            probabilities=dict(zip(self.labels, mixture.tolist(), strict=True)),
            source=self._find_source(winner, confidence, read[int(np.argmax(weights))]),
            inherited=sum(weights[1:]),
        )
        return Reading(prediction=prediction, features=read[0].features)

    def _find_source(self, winner: int | None, confidence: float, heaviest: _Turn) -> Source:
        if heaviest.named is not None:
            return "keywords" if heaviest.named == winner else "default"
        return "classifier" if winner is not None and self._is_sure(confidence) else "default"

    def _is_sure(self, confidence: float) -> bool:
        return self.classifier is not None and confidence >= self.classifier.threshold

    def _read(self, text: str, *, follows: bool) -> _Turn:
        """Read one turn; `follows` says whether it has one before it."""
        turn = self._classify(text)
        sure = self._is_sure(turn.own.max(initial=0.0) + turn.continues / max(len(self.labels), 1))
        inherits = follows and not self._tells_follow_ups and (not sure or len(text.split()) <= _FOLLOW_UP_WORDS)
        named = self._rule_for(text) if inherits or not sure else None
        if named is None:
            return replace(turn, own=np.zeros(len(self.labels)), continues=1.0) if inherits else turn
        if sure:
            return turn
        by_rule = np.full(len(self.labels), (1 - self.rules.precision) / len(self.labels))
        by_rule[named] += self.rules.precision
        if not turn.own.any():
            return replace(turn, own=by_rule, continues=0.0, named=named)
        return replace(turn, own=(by_rule + turn.own) / 2, continues=turn.continues / 2, named=named)

    @property
    def _tells_follow_ups(self) -> bool:
        return self.classifier is not None and CONTINUES in self.classifier.labels

    def _rule_for(self, text: str) -> int | None:
        match = self.rules.match(text)
        return self.labels.index(match[0]) if match is not None and match[0] in self.labels else None

    def _classify(self, text: str) -> _Turn:
        """Read a turn by the classifier alone; where there is nothing to go by, it says nothing by itself."""
        if self.classifier is None or not text.strip():
            return _Turn(own=np.zeros(len(self.labels)), continues=1.0)
        features = self.classifier.featurize(text)
        own, continues = split_continues(self.classifier.labels, self.classifier.probabilities(features)[None])
        return _Turn(own=own[0], continues=float(continues[0]), features=features)


def narrow(prediction: TaskPrediction, tasks: Collection[str]) -> TaskPrediction:
    """Condition the probabilities on a group of tasks; evenly spread where they give it none."""
    inside = {task: p if task in tasks else 0.0 for task, p in prediction.probabilities.items()}
    total = sum(inside.values())
    if total <= 0:
        inside = {task: 1.0 if task in tasks else 0.0 for task in inside}
        total = sum(inside.values())
    probabilities = {task: p / total for task, p in inside.items()}
    best = max(probabilities, key=lambda task: probabilities[task])
    return replace(prediction, task=best, confidence=probabilities[best], probabilities=probabilities)


def tell_source(prediction: TaskPrediction, *, has_classifier: bool) -> str:
    """Say why it was not the classifier that settled the task."""
    if prediction.source == "keywords":
        why = "the classifier is unsure, a keyword rule fits" if has_classifier else "there is no classifier, a rule fits"
        return f"{why}: {prediction.task}"
    why = "the classifier is unsure" if has_classifier else "there is no classifier"
    return f"{why} and no keyword rule fits: all tasks count by their probabilities"


def split_continues(
    labels: Sequence[str], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return probabilities of the tasks, shape (n, tasks), and of `CONTINUES`, shape (n,), 0 where that is no label."""
    tasks = np.array([label != CONTINUES for label in labels], np.bool_)
    return probabilities[:, tasks], probabilities[:, ~tasks].sum(axis=1)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax over the last axis, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
