"""Turns to task probabilities: a cheap first tier, the full classifier where that is unsure, then keyword rules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from router.errors import RouterError
from router.heads import Features, Heads, multiply
from router.keywords import KeywordRules
from router.types import Encoder, Source, TaskPrediction, Tier, TierChoice

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The label of a turn that says no task by itself ("and for 40 people?"): its task is that of the turn before.
CONTINUES = "continues"
# How far back a conversation is read: until so little of the probability is left, and at most so many turns.
_LEAST_CARRIED, _MOST_TURNS = 0.05, 10
# Without such a label, a turn of so few words ("yes, go on") counts as one.
_FOLLOW_UP_WORDS = 4
# A turn of so few words that has one before it may go on with that, which the first tier hears less well; and the encoder
# reads it in no time.
_LEFT_TO_FULL_WORDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTier:
    """What answers for the classifier where it is sure to agree: one linear layer on a cheap encoder's vector.

    Attributes:
        encoder: The cheap encoder.
        weights: Shape (dim, labels), float32, and
        bias: shape (labels,), fitted to the classifier's own calibrated probabilities.
        threshold: Probability of the likeliest task from which its answer stands, in [0, 1].
        tasks: The tasks whose answer may stand: not those where models are told apart by more than the task.
    """

    encoder: Encoder
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    threshold: float
    tasks: frozenset[str]

    def probabilities(self, text: str) -> NDArray[np.float64]:
        """Return calibrated probabilities, shape (labels,), summing to one."""
        logits = multiply(self.encoder.encode([text])[0], self.weights) + self.bias
        return softmax(np.asarray(logits, np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskClassifier:
    """A fitted classifier. Thread-safe.

    Attributes:
        labels: The tasks, in the order of the heads' columns; `CONTINUES` may be among them.
        encoder: The very encoder it was trained with.
        heads: The weights.
        temperature: What the logits are divided by (Guo et al., 2017, On Calibration of Modern Neural Networks).
        threshold: Confidence below which the prediction counts as unsure, in [0, 1].
        first: The first tier; None: there is none.
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
        tier: Who read it; None: nobody had to.
        features: What the full classifier looked at, where it did.
        problem: What failed meanwhile.
    """

    own: NDArray[np.float64]
    continues: float
    named: int | None = None
    tier: Tier | None = None
    features: Features | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read in a turn.

    Attributes:
        prediction: The task.
        features: What the full classifier looked at in the turn itself; None where it did not.
        problem: What failed meanwhile, in a plain sentence; None: nothing.
    """

    prediction: TaskPrediction
    features: Features | None
    problem: str | None = None


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

    def predict(self, text: str, earlier: Sequence[str] = (), *, tier: TierChoice = "auto") -> TaskPrediction:
        """Return the task of a turn, given the user's turns before it, newest first; see `read`."""
        return self.read(text, earlier, tier=tier).prediction

    def read(self, text: str, earlier: Sequence[str] = (), *, tier: TierChoice = "auto") -> Reading:
        """Read a turn, given the user's turns before it.

        p(task) = p(task | turn) + p(`CONTINUES` | turn) · p(task of the turn before), and so on back; what is left before
        the first turn is spread evenly. No more turns are read than can matter.

        A keyword rule is asked only where the classifier is missing or unsure of a turn, and the two count alike then (a
        linear opinion pool; Stone, 1961, Annals of Mathematical Statistics 32:1339-1342): a prompt hard for the one is
        harder than most for the other. Where no rule fits either, the probabilities only hedge.

        Args:
            text: The turn.
            earlier: Those before it, newest first.
            tier: `full`: the first tier is not asked.
        """
        turns = (text, *earlier)[:_MOST_TURNS]
        mixture, carried = np.zeros(len(self.labels)), 1.0
        read: list[_Turn] = []
        weights: list[float] = []
        for before, turn in enumerate(turns, start=1):
            read.append(self._read(turn, tier, follows=before < len(turns)))
            mixture += carried * read[-1].own
            weights.append(carried * (1 - read[-1].continues))
            carried *= read[-1].continues
            if carried < _LEAST_CARRIED:
                break
        mixture += carried / max(len(self.labels), 1)
        winner = int(mixture.argmax()) if max(weights) > 0 else None
        confidence = float(mixture.max(initial=0.0))
        heaviest = read[int(np.argmax(weights))]
        prediction = TaskPrediction(
            task=None if winner is None else self.labels[winner],
            confidence=confidence,
            probabilities=dict(zip(self.labels, mixture.tolist(), strict=True)),
            source=self._find_source(winner, confidence, heaviest),
            inherited=sum(weights[1:]),
            tier=heaviest.tier,
        )
        problem = next((turn.problem for turn in read if turn.problem), None)
        return Reading(prediction=prediction, features=read[0].features, problem=problem)

    def _find_source(self, winner: int | None, confidence: float, heaviest: _Turn) -> Source:
        if heaviest.named is not None:
            return "keywords" if heaviest.named == winner else "default"
        return "classifier" if winner is not None and self._is_sure(confidence) else "default"

    def _is_sure(self, confidence: float) -> bool:
        return self.classifier is not None and confidence >= self.classifier.threshold

    def _read(self, text: str, tier: TierChoice, *, follows: bool) -> _Turn:
        """Read one turn; `follows` says whether it has one before it."""
        turn = self._classify(text, "full" if follows and len(text.split()) <= _LEFT_TO_FULL_WORDS else tier)
        sure = self._is_sure(self._confidence_in(turn))
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

    def _confidence_in(self, turn: _Turn) -> float:
        """Return the probability of the likeliest task if no turn stood before."""
        return float(turn.own.max(initial=0.0)) + turn.continues / max(len(self.labels), 1)

    def _classify(self, text: str, tier: TierChoice) -> _Turn:
        """Read a turn by the classifier alone; where there is nothing to go by, it says nothing by itself."""
        classifier = self.classifier
        if classifier is None or not text.strip():
            return _Turn(own=np.zeros(len(self.labels)), continues=1.0)
        if classifier.first is None:
            return self._classify_fully(classifier, text)
        if tier == "auto":
            turn = _to_turn(classifier.labels, classifier.first.probabilities(text), tier="first")
            if self._stands(classifier.first, turn):
                return turn
        try:
            return self._classify_fully(classifier, text)
        except RouterError as error:
            turn = _to_turn(classifier.labels, classifier.first.probabilities(text), tier="first")
            return replace(turn, problem=f"the first tier alone decides, the full classifier failed: {error}")

    def _classify_fully(self, classifier: TaskClassifier, text: str) -> _Turn:
        features = classifier.featurize(text)
        return replace(_to_turn(classifier.labels, classifier.probabilities(features), tier="full"), features=features)

    def _stands(self, first: FirstTier, turn: _Turn) -> bool:
        confidence = self._confidence_in(turn)
        likeliest = self.labels[int(turn.own.argmax())]
        return confidence >= first.threshold and self._is_sure(confidence) and likeliest in first.tasks


def _to_turn(labels: Sequence[str], probabilities: NDArray[np.float64], *, tier: Tier) -> _Turn:
    own, continues = split_continues(labels, probabilities[None])
    return _Turn(own=own[0], continues=float(continues[0]), tier=tier)


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
    if CONTINUES not in labels:
        return probabilities, np.zeros(len(probabilities))
    place = labels.index(CONTINUES)
    return np.concatenate([probabilities[:, :place], probabilities[:, place + 1 :]], axis=1), probabilities[:, place]


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax over the last axis, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
