"""The user's turns come in, the task goes out: from the first tier, the full classifier or the keyword rules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from router.classify.classifier import CONTINUES, FirstTier, TaskClassifier, split_continues
from router.classify.heads import Features
from router.classify.keywords import KeywordRules
from router.errors import RouterError
from router.types import Source, TaskPrediction, Tier, TierChoice

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A conversation is read back until less than this probability is left.
_MIN_CARRIED = 0.05
# A conversation is never read back further than this number of turns.
_MAX_TURNS = 50
# If the classifier has no label `CONTINUES`, a turn of at most this number of words ("yes, go on") counts as a follow-up.
_FOLLOW_UP_WORDS = 4
# A turn of at most this number of words that has one before it goes straight to the full classifier. The first tier often
# misses that such a turn continues the one before, and a short text is cheap to encode.
_FULL_TIER_WORDS = 8
# In an agent's session, two of five turns continue the one before (data/agent_turns.csv), among the training prompts one of
# twenty to one of ten. So the odds that a turn continues are higher there, by the ratio of the odds (Bayes' rule).
_AGENT_ODDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """The classification of one turn on its own.

    Attributes:
        own: Probability of each task, summing to 1 − `continues`.
        continues: Probability that the turn names no task but continues the one before.
        rule: Index of the task that a keyword rule names. None if no rule was asked or none matches.
        tier: The tier that classified it. None if the classifier was not used.
        features: The inputs of the full classifier. None if it was not used.
        problem: An error on the way. None if there was none.
    """

    own: NDArray[np.float64]
    continues: float
    rule: int | None = None
    tier: Tier | None = None
    features: Features | None = None
    problem: str | None = None

    def raise_odds(self, factor: float) -> _Turn:
        """Return the turn with higher odds that it continues the one before."""
        continues = factor * self.continues / (1 + (factor - 1) * self.continues)
        left = 1 - self.continues
        return self if left <= 0 else replace(self, own=self.own * ((1 - continues) / left), continues=continues)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """The predicted task of a prompt, with everything else that the classifier found out.

    Attributes:
        prediction: The task.
        features: Features of the last turn. None if the full classifier did not classify it.
        problem: An error on the way, as a plain sentence. None if there was none.
    """

    prediction: TaskPrediction
    features: Features | None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPredictor:
    """Predict tasks by the classifier, then by keyword rules if it is unsure. Thread-safe.

    Attributes:
        labels: The tasks to choose from.
        classifier: The classifier. None if none could be loaded.
        rules: The keyword rules.
    """

    labels: tuple[str, ...]
    classifier: TaskClassifier | None
    rules: KeywordRules = field(repr=False)

    def predict(self, text: str, earlier: Sequence[str] = (), *, tier: TierChoice = "auto") -> TaskPrediction:
        """Return the task of a turn; see `classify` for the arguments."""
        return self.classify(text, earlier, tier=tier).prediction

    def classify(
        self, text: str, earlier: Sequence[str] = (), *, tier: TierChoice = "auto", is_agent: bool = False
    ) -> Classification:
        """Return the classification of a turn in its conversation.

        p(task) = p(task | turn) + p(`CONTINUES` | turn) · p(task of the turn before), and so on back. The probability that
        is left before the first turn is spread evenly. Turns that cannot change the result are not classified.

        A keyword rule is asked only if the classifier is missing or unsure of a turn. Classifier and rule then count alike,
        because a prompt that is hard for one is often hard for the other (a linear opinion pool; Stone, 1961, Annals of
        Mathematical Statistics 32:1339-1342). If no rule matches either, the probabilities only hedge.

        Args:
            text: The turn.
            earlier: The user's turns before it, newest first.
            tier: The tier that answers. `auto`: the first one if it is sure.
            is_agent: Whether the turns belong to the session of an agent, where more of them continue the one before.
        """
        turns = self._classify_back((text, *earlier)[:_MAX_TURNS], tier, odds=_AGENT_ODDS if is_agent else 1.0)
        # Share of the result that reaches each turn, and the share that is left before the oldest.
        reach = np.cumprod([1.0, *(turn.continues for turn in turns)]).tolist()
        mixture = np.zeros(len(self.labels))
        for share, turn in zip(reach, turns, strict=False):
            mixture += share * turn.own
        mixture += reach[-1] / max(len(self.labels), 1)
        weights = [share * (1 - turn.continues) for share, turn in zip(reach, turns, strict=False)]
        heaviest = turns[int(np.argmax(weights))]
        winner = int(mixture.argmax()) if max(weights) > 0 else None
        confidence = float(mixture.max(initial=0.0))
        prediction = TaskPrediction(
            task=None if winner is None else self.labels[winner],
            confidence=confidence,
            probabilities=dict(zip(self.labels, mixture.tolist(), strict=True)),
            source=self._find_source(winner, confidence, heaviest),
            inherited=sum(weights[1:]),
            tier=heaviest.tier,
        )
        problem = next((turn.problem for turn in turns if turn.problem), None)
        return Classification(prediction=prediction, features=turns[0].features, problem=problem)

    def _classify_back(self, texts: Sequence[str], tier: TierChoice, *, odds: float) -> list[_Turn]:
        """Return the classified turns, newest first, up to the one before which too little probability is left."""
        turns: list[_Turn] = []
        carried = 1.0
        for before, text in enumerate(texts, start=1):
            turn = self._classify_turn(text, tier, follows=before < len(texts))
            turns.append(turn if before == len(texts) else turn.raise_odds(odds))
            carried *= turns[-1].continues
            if carried < _MIN_CARRIED:
                break
        return turns

    def _find_source(self, winner: int | None, confidence: float, heaviest: _Turn) -> Source:
        if heaviest.rule is not None:
            return "keywords" if heaviest.rule == winner else "default"
        return "classifier" if winner is not None and self._is_sure(confidence) else "default"

    def _is_sure(self, confidence: float) -> bool:
        return self.classifier is not None and confidence >= self.classifier.threshold

    def _classify_turn(self, text: str, tier: TierChoice, *, follows: bool) -> _Turn:
        """Return the classification of one turn by classifier and rules.

        Args:
            text: The turn.
            tier: The tier that answers. `auto`: the first one if it is sure.
            follows: Whether there is a turn before it.
        """
        is_short_answer = follows and len(text.split()) <= _FULL_TIER_WORDS
        turn = self._ask_classifier(text, "full" if tier == "auto" and is_short_answer else tier)
        sure = self._is_sure(self._confidence_in(turn))
        inherits = follows and not self._knows_follow_ups and (not sure or len(text.split()) <= _FOLLOW_UP_WORDS)
        rule = self._find_rule(text) if inherits or not sure else None
        if rule is None:
            return replace(turn, own=np.zeros(len(self.labels)), continues=1.0) if inherits else turn
        if sure:
            return turn
        by_rule = np.full(len(self.labels), (1 - self.rules.precision) / len(self.labels))
        by_rule[rule] += self.rules.precision
        if not turn.own.any():
            return replace(turn, own=by_rule, continues=0.0, rule=rule)
        return replace(turn, own=(by_rule + turn.own) / 2, continues=turn.continues / 2, rule=rule)

    @property
    def _knows_follow_ups(self) -> bool:
        return self.classifier is not None and CONTINUES in self.classifier.labels

    def _find_rule(self, text: str) -> int | None:
        match = self.rules.match(text)
        return self.labels.index(match[0]) if match is not None and match[0] in self.labels else None

    def _confidence_in(self, turn: _Turn) -> float:
        """Return the probability of the likeliest task if there were no turn before."""
        return float(turn.own.max(initial=0.0)) + turn.continues / max(len(self.labels), 1)

    def _ask_classifier(self, text: str, tier: TierChoice) -> _Turn:
        """Return the classification of a turn by the classifier alone. Without classifier or text, all of it continues."""
        classifier = self.classifier
        if classifier is None or not text.strip():
            return _Turn(own=np.zeros(len(self.labels)), continues=1.0)
        if classifier.first is None:
            return self._ask_full_tier(classifier, text)
        if tier != "full":
            turn = _to_turn(classifier.labels, classifier.first.probabilities(text), tier="first")
            if tier == "first" or self._is_final(classifier.first, turn):
                return turn
        try:
            return self._ask_full_tier(classifier, text)
        except RouterError as error:
            # A broken graph must not stop routing: the first tier knows the same tasks, only less well.
            turn = _to_turn(classifier.labels, classifier.first.probabilities(text), tier="first")
            return replace(turn, problem=f"the full classifier failed, so the first tier decides alone: {error}")

    def _ask_full_tier(self, classifier: TaskClassifier, text: str) -> _Turn:
        features = classifier.featurize(text)
        return replace(_to_turn(classifier.labels, classifier.probabilities(features), tier="full"), features=features)

    def _is_final(self, first: FirstTier, turn: _Turn) -> bool:
        """Return whether the answer of the first tier is used without asking the full classifier."""
        confidence = self._confidence_in(turn)
        likeliest = self.labels[int(turn.own.argmax())]
        return confidence >= first.threshold and self._is_sure(confidence) and likeliest in first.tasks


def _to_turn(labels: Sequence[str], probabilities: NDArray[np.float64], *, tier: Tier) -> _Turn:
    own, continues = split_continues(labels, probabilities[None])
    return _Turn(own=own[0], continues=float(continues[0]), tier=tier)


def narrow(prediction: TaskPrediction, tasks: Collection[str]) -> TaskPrediction:
    """Return the prediction conditioned on a group of tasks.

    If the group has no probability, it is spread evenly over the group.
    """
    inside = {task: p if task in tasks else 0.0 for task, p in prediction.probabilities.items()}
    total = sum(inside.values())
    if total <= 0:
        inside = {task: 1.0 if task in tasks else 0.0 for task in inside}
        total = sum(inside.values())
    probabilities = {task: p / total for task, p in inside.items()}
    best = max(probabilities, key=lambda task: probabilities[task])
    return replace(prediction, task=best, confidence=probabilities[best], probabilities=probabilities)
