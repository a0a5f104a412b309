from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from router.classify.classifier import CONTINUES
from router.classify.keywords import KeywordRules
from router.classify.predictor import TaskPredictor, narrow
from router.errors import EncoderError
from tests.router.fakes import LABELS, classifier, first_tier

RULES = KeywordRules(precision=0.75, phrases={"writing": ["poem"], "cooking": ["recipe"]})
TAUGHT = {"prove it": (0.1, 0.8, 0.1), "a poem?": (0.4, 0.4, 0.2), "hm": (0.5, 0.3, 0.2), "recipe": (0.5, 0.3, 0.2)}
PREDICTOR = TaskPredictor(labels=LABELS, classifier=classifier(TAUGHT), rules=RULES)
RULES_ONLY = TaskPredictor(labels=LABELS, classifier=None, rules=RULES)


def test_a_sure_classifier_decides() -> None:
    prediction = PREDICTOR.predict("prove it")
    assert (prediction.task, prediction.source, prediction.unsure) == ("math", "classifier", False)
    assert prediction.confidence == pytest.approx(0.8)
    assert prediction.probabilities == pytest.approx({"coding": 0.1, "math": 0.8, "writing": 0.1})


def test_confidence_at_the_threshold_is_sure() -> None:
    even = TaskPredictor(labels=LABELS, classifier=classifier({}, threshold=0.3333), rules=RULES)
    assert even.predict("never seen").source == "classifier"


def test_an_unsure_classifier_and_a_rule_count_alike() -> None:
    prediction = PREDICTOR.predict("a poem?")
    assert (prediction.task, prediction.source) == ("writing", "keywords")
    # The rule says 1/12, 1/12, 10/12, the classifier 0.4, 0.4, 0.2.
    assert prediction.probabilities == pytest.approx({"coding": 0.2417, "math": 0.2417, "writing": 0.5167}, abs=1e-4)
    assert prediction.confidence == pytest.approx(0.5167, abs=1e-4)


@pytest.mark.parametrize(
    ("probabilities", "task", "source"),
    [
        ((0.2, 0.61, 0.19), "math", "classifier"),  # sure
        ((0.2, 0.59, 0.21), "writing", "keywords"),
        ((0.2, 0.21, 0.59), "writing", "keywords"),  # the rule agrees
    ],
)
def test_a_rule_is_asked_only_if_the_classifier_is_unsure(
    probabilities: tuple[float, float, float], task: str, source: str
) -> None:
    predictor = TaskPredictor(labels=LABELS, classifier=classifier({"poem": probabilities}, threshold=0.6), rules=RULES)
    prediction = predictor.predict("poem")
    assert (prediction.task, prediction.source) == (task, source)


def test_a_rule_of_low_precision_does_not_outweigh_the_classifier() -> None:
    poor = KeywordRules(precision=0.1, phrases=RULES.phrases)
    predictor = TaskPredictor(labels=LABELS, classifier=classifier({"poem": (0.2, 0.59, 0.21)}, threshold=0.6), rules=poor)
    prediction = predictor.predict("poem")
    assert (prediction.task, prediction.source) == ("math", "default")


@pytest.mark.parametrize("text", ["hm", "recipe"])  # no rule; a rule for a task that is not among the labels
def test_without_a_rule_an_unsure_classifier_keeps_its_best_guess_as_default(text: str) -> None:
    prediction = PREDICTOR.predict(text)
    assert (prediction.task, prediction.source, prediction.unsure) == ("coding", "default", True)
    assert prediction.probabilities == pytest.approx({"coding": 0.5, "math": 0.3, "writing": 0.2})


def test_without_a_classifier_the_rest_of_a_rule_is_spread_evenly() -> None:
    prediction = RULES_ONLY.predict("a poem")
    assert (prediction.task, prediction.source) == ("writing", "keywords")
    assert prediction.probabilities == pytest.approx({"coding": 1 / 12, "math": 1 / 12, "writing": 10 / 12})


@pytest.mark.parametrize(
    ("predictor", "text"), [(RULES_ONLY, "hm"), (RULES_ONLY, ""), (PREDICTOR, ""), (PREDICTOR, " \n\t\u3000")]
)
def test_a_prompt_without_any_evidence_has_no_task_and_even_shares(predictor: TaskPredictor, text: str) -> None:
    prediction = predictor.predict(text)
    assert (prediction.task, prediction.source) == (None, "default")
    assert list(prediction.probabilities.values()) == pytest.approx([1 / 3] * 3)
    assert prediction.confidence == pytest.approx(1 / 3)


TURNS = {
    "prove it": (0.1, 0.8, 0.1, 0.0001),
    "and for nine?": (0.1, 0.1, 0.1, 0.7),
    "a song": (0.05, 0.05, 0.9, 0.0001),
    "yes": (0.02, 0.02, 0.02, 0.94),
}
CONVERSATION = TaskPredictor(
    labels=LABELS, classifier=classifier(TURNS, labels=(*LABELS, CONTINUES), threshold=0.5), rules=RULES
)


def test_a_follow_up_takes_as_much_from_the_turn_before_as_it_probably_continues_it() -> None:
    prediction = CONVERSATION.predict("and for nine?", ["prove it"])
    # 0.1 + 0.7 · (0.1, 0.8, 0.1)
    assert prediction.probabilities == pytest.approx({"coding": 0.17, "math": 0.66, "writing": 0.17}, abs=1e-3)
    assert (prediction.task, prediction.source) == ("math", "classifier")
    assert prediction.inherited == pytest.approx(0.7, abs=1e-3)


def test_a_turn_with_its_own_task_ignores_the_turn_before() -> None:
    prediction = CONVERSATION.predict("a song", ["prove it"])
    assert (prediction.task, prediction.inherited) == ("writing", 0.0)
    assert prediction.probabilities["writing"] == pytest.approx(0.9, abs=1e-3)


def test_follow_ups_are_followed_back_to_the_turn_that_names_the_task() -> None:
    prediction = CONVERSATION.predict("yes", ["and for nine?", "yes", "prove it", "a song"])
    assert (prediction.task, prediction.source) == ("math", "classifier")
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_a_follow_up_without_a_turn_before_is_unsure() -> None:
    prediction = CONVERSATION.predict("yes")
    assert (prediction.source, prediction.unsure) == ("default", True)
    assert list(prediction.probabilities.values()) == pytest.approx([1 / 3] * 3)


def test_a_rule_counts_half_if_a_turn_seems_to_be_a_follow_up() -> None:
    taught = classifier({"poem": (0.05, 0.05, 0.1, 0.8)} | TURNS, labels=(*LABELS, CONTINUES), threshold=0.5)
    prediction = TaskPredictor(labels=LABELS, classifier=taught, rules=RULES).predict("poem", ["prove it"])
    # The rule says 1/12, 1/12, 10/12; half of it, half of 0.05, 0.05, 0.1, and 0.4 of 0.1, 0.8, 0.1.
    assert prediction.probabilities == pytest.approx({"coding": 0.1067, "math": 0.3867, "writing": 0.5067}, abs=1e-3)
    assert (prediction.task, prediction.source) == ("writing", "keywords")


def test_a_long_conversation_is_read_only_a_few_turns_back() -> None:
    prediction = CONVERSATION.predict("yes", ["yes"] * 5000)
    assert prediction.unsure
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


QUICK = first_tier({"prove it": (0.05, 0.9, 0.05), "hm": (0.6, 0.3, 0.1), "a poem?": (0.1, 0.1, 0.8)})
TIERED = TaskPredictor(labels=LABELS, classifier=classifier(TAUGHT, first=QUICK), rules=RULES)


def test_the_first_tier_answers_if_it_is_sure() -> None:
    prediction = TIERED.predict("prove it")
    assert (prediction.task, prediction.source, prediction.tier) == ("math", "classifier", "first")
    assert prediction.confidence == pytest.approx(0.9)
    assert TIERED.classify("prove it").features is None


def test_the_full_classifier_answers_if_the_first_tier_is_unsure() -> None:
    classification = TIERED.classify("hm")
    assert (classification.prediction.tier, classification.problem) == ("full", None)
    assert classification.prediction.confidence == pytest.approx(0.5)
    assert classification.features is not None


def test_a_caller_can_ask_for_the_full_tier() -> None:
    prediction = TIERED.predict("prove it", tier="full")
    assert (prediction.task, prediction.tier) == ("math", "full")
    assert prediction.confidence == pytest.approx(0.8)


def test_a_caller_can_ask_for_the_first_tier_even_if_it_is_unsure() -> None:
    assert TIERED.predict("hm").tier == "full"
    assert TIERED.predict("hm", tier="first").tier == "first"
    assert TIERED.predict("hm", ["prove it"], tier="first").tier == "first"


@pytest.mark.parametrize(("threshold", "tier"), [(0.8999, "first"), (0.9001, "full")])
def test_at_the_threshold_the_answer_of_the_first_tier_is_used(threshold: float, tier: str) -> None:
    first = first_tier({"prove it": (0.05, 0.9, 0.05)}, threshold=threshold)
    predictor = TaskPredictor(labels=LABELS, classifier=classifier(TAUGHT, first=first), rules=RULES)
    assert predictor.predict("prove it").tier == tier


def test_an_unsure_prediction_never_comes_from_the_first_tier() -> None:
    first = first_tier({"prove it": (0.25, 0.5, 0.25)}, threshold=0.4)
    predictor = TaskPredictor(labels=LABELS, classifier=classifier(TAUGHT, first=first, threshold=0.6), rules=RULES)
    assert predictor.predict("prove it").tier == "full"


def test_a_task_whose_prompts_shift_quality_is_left_to_the_full_classifier() -> None:
    first = first_tier({"prove it": (0.05, 0.9, 0.05), "a poem?": (0.1, 0.1, 0.8)}, tasks={"writing", "coding"})
    predictor = TaskPredictor(labels=LABELS, classifier=classifier(TAUGHT, first=first), rules=RULES)
    assert [predictor.predict(text).tier for text in ("prove it", "a poem?")] == ["full", "first"]


def test_each_turn_has_its_own_tier_and_that_of_the_heaviest_turn_is_reported() -> None:
    labels = (*LABELS, CONTINUES)
    first = first_tier({"prove it": (0.02, 0.9, 0.02, 0.06)}, labels=labels)
    taught = {"go on": (0.02, 0.02, 0.01, 0.95)}
    predictor = TaskPredictor(labels=LABELS, classifier=classifier(taught, labels=labels, first=first), rules=RULES)
    prediction = predictor.predict("go on", ["prove it"])
    assert (prediction.task, prediction.tier) == ("math", "first")
    assert prediction.inherited > 0.5


def test_a_short_follow_up_goes_straight_to_the_full_classifier() -> None:
    few, more = "write a poem, then", "write a poem, then tell me what it is about"
    first = first_tier(dict.fromkeys((few, more), (0.05, 0.05, 0.9)))
    predictor = TaskPredictor(labels=LABELS, classifier=classifier(TAUGHT, first=first, threshold=0.1), rules=RULES)
    assert [predictor.predict(text).tier for text in (few, more)] == ["first", "first"]
    assert [predictor.predict(text, ["prove it"]).tier for text in (few, more)] == ["full", "first"]


class BrokenEncoder:
    """An encoder whose graph cannot be opened."""

    name, dim = "broken", 3

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        raise EncoderError(f"the graph is no graph, asked for {len(texts)} text")


def test_if_the_full_classifier_fails_the_first_tier_decides_and_reports_it() -> None:
    broken = replace(classifier(TAUGHT, first=QUICK), encoder=BrokenEncoder())
    predictor = TaskPredictor(labels=LABELS, classifier=broken, rules=RULES)
    assert predictor.classify("prove it").problem is None
    classification = predictor.classify("hm")
    assert (classification.prediction.task, classification.prediction.tier) == ("coding", "first")
    assert (
        classification.problem
        == "the full classifier failed, so the first tier decides alone: the graph is no graph, asked for 1 text"
    )
    assert predictor.classify("prove it", tier="full").problem == classification.problem


def test_without_a_first_tier_an_error_of_the_full_classifier_is_raised() -> None:
    broken = replace(classifier(TAUGHT), encoder=BrokenEncoder())
    with pytest.raises(EncoderError, match="no graph"):
        TaskPredictor(labels=LABELS, classifier=broken, rules=RULES).classify("hm")


def test_a_prediction_is_conditioned_on_a_group_of_tasks() -> None:
    narrowed = narrow(PREDICTOR.predict("prove it"), {"coding", "writing"})
    assert narrowed.probabilities == pytest.approx({"coding": 0.5, "math": 0.0, "writing": 0.5})
    assert (narrowed.task, narrowed.confidence) == ("coding", pytest.approx(0.5))


def test_a_group_without_probability_gets_even_shares() -> None:
    prediction = replace(PREDICTOR.predict("prove it"), probabilities={"coding": 0.0, "math": 1.0, "writing": 0.0})
    narrowed = narrow(prediction, {"coding", "writing"})
    assert (narrowed.task, narrowed.probabilities) == ("coding", {"coding": 0.5, "math": 0.0, "writing": 0.5})
