from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from router.classifier import CONTINUES, TaskOracle, softmax
from router.errors import EncoderError
from router.keywords import KeywordRules
from tests.router.fakes import LABELS, classifier, first_tier

RULES = KeywordRules(precision=0.75, phrases={"writing": ["poem"], "cooking": ["recipe"]})
TAUGHT = {"prove it": (0.1, 0.8, 0.1), "a poem?": (0.4, 0.4, 0.2), "hm": (0.5, 0.3, 0.2), "recipe": (0.5, 0.3, 0.2)}
ORACLE = TaskOracle(labels=LABELS, classifier=classifier(TAUGHT), rules=RULES)
ALONE = TaskOracle(labels=LABELS, classifier=None, rules=RULES)


def test_softmax_of_logs_gives_the_shares_back() -> None:
    assert softmax(np.log([[1.0, 2.0, 5.0]]))[0] == pytest.approx([0.125, 0.25, 0.625])


def test_softmax_does_not_overflow() -> None:
    assert softmax(np.array([1e4, 0.0, -1e4])).tolist() == [1.0, 0.0, 0.0]
    assert softmax(np.array([-1e4, -1e4])).tolist() == [0.5, 0.5]


def test_temperature_divides_the_logits() -> None:
    # the square roots of 0.1, 0.8, 0.1 over their sum: 0.3162, 0.8944, 0.3162 over 1.5269
    warm = classifier(TAUGHT, temperature=2)
    assert warm.probabilities(warm.featurize("prove it")) == pytest.approx([0.2071, 0.5858, 0.2071], abs=1e-4)


def test_a_sure_classifier_decides() -> None:
    prediction = ORACLE.predict("prove it")
    assert (prediction.task, prediction.source, prediction.unsure) == ("math", "classifier", False)
    assert prediction.confidence == pytest.approx(0.8)
    assert prediction.probabilities == pytest.approx({"coding": 0.1, "math": 0.8, "writing": 0.1})


def test_confidence_at_the_threshold_is_sure() -> None:
    even = TaskOracle(labels=LABELS, classifier=classifier({}, threshold=0.3333), rules=RULES)
    assert even.predict("never seen").source == "classifier"


def test_an_unsure_classifier_and_a_rule_count_alike() -> None:
    prediction = ORACLE.predict("a poem?")
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
def test_a_rule_is_asked_only_where_the_classifier_is_unsure(
    probabilities: tuple[float, float, float], task: str, source: str
) -> None:
    oracle = TaskOracle(labels=LABELS, classifier=classifier({"poem": probabilities}, threshold=0.6), rules=RULES)
    prediction = oracle.predict("poem")
    assert (prediction.task, prediction.source) == (task, source)


def test_a_rule_of_little_precision_does_not_outweigh_the_guess() -> None:
    poor = KeywordRules(precision=0.1, phrases=RULES.phrases)
    oracle = TaskOracle(labels=LABELS, classifier=classifier({"poem": (0.2, 0.59, 0.21)}, threshold=0.6), rules=poor)
    prediction = oracle.predict("poem")
    assert (prediction.task, prediction.source) == ("math", "default")


@pytest.mark.parametrize("text", ["hm", "recipe"])  # no rule; a rule for a task that nobody asked to tell apart
def test_an_unsure_classifier_without_a_rule_keeps_its_best_guess_as_default(text: str) -> None:
    prediction = ORACLE.predict(text)
    assert (prediction.task, prediction.source, prediction.unsure) == ("coding", "default", True)
    assert prediction.probabilities == pytest.approx({"coding": 0.5, "math": 0.3, "writing": 0.2})


def test_without_a_classifier_a_rule_is_mixed_with_even_shares() -> None:
    prediction = ALONE.predict("a poem")
    assert (prediction.task, prediction.source) == ("writing", "keywords")
    assert prediction.probabilities == pytest.approx({"coding": 1 / 12, "math": 1 / 12, "writing": 10 / 12})


@pytest.mark.parametrize(("oracle", "text"), [(ALONE, "hm"), (ALONE, ""), (ORACLE, ""), (ORACLE, " \n\t\u3000")])
def test_nothing_to_go_by_gives_no_task_and_even_shares(oracle: TaskOracle, text: str) -> None:
    prediction = oracle.predict(text)
    assert (prediction.task, prediction.source) == (None, "default")
    assert list(prediction.probabilities.values()) == pytest.approx([1 / 3] * 3)
    assert prediction.confidence == pytest.approx(1 / 3)


TURNS = {
    "prove it": (0.1, 0.8, 0.1, 0.0001),
    "and for nine?": (0.1, 0.1, 0.1, 0.7),
    "a song": (0.05, 0.05, 0.9, 0.0001),
    "yes": (0.02, 0.02, 0.02, 0.94),
}
SPEAKER = TaskOracle(labels=LABELS, classifier=classifier(TURNS, labels=(*LABELS, CONTINUES), threshold=0.5), rules=RULES)


def test_a_turn_that_goes_on_takes_as_much_from_the_turn_before_as_it_goes_on() -> None:
    prediction = SPEAKER.predict("and for nine?", ["prove it"])
    # 0.1 + 0.7 · (0.1, 0.8, 0.1)
    assert prediction.probabilities == pytest.approx({"coding": 0.17, "math": 0.66, "writing": 0.17}, abs=1e-3)
    assert (prediction.task, prediction.source) == ("math", "classifier")
    assert prediction.inherited == pytest.approx(0.7, abs=1e-3)


def test_a_turn_of_its_own_task_does_not_look_back() -> None:
    prediction = SPEAKER.predict("a song", ["prove it"])
    assert (prediction.task, prediction.inherited) == ("writing", 0.0)
    assert prediction.probabilities["writing"] == pytest.approx(0.9, abs=1e-3)


def test_turns_that_go_on_are_followed_back_to_the_one_that_says_the_task() -> None:
    prediction = SPEAKER.predict("yes", ["and for nine?", "yes", "prove it", "a song"])
    assert (prediction.task, prediction.source) == ("math", "classifier")
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_a_turn_that_goes_on_with_nothing_is_unsure() -> None:
    prediction = SPEAKER.predict("yes")
    assert (prediction.source, prediction.unsure) == ("default", True)
    assert list(prediction.probabilities.values()) == pytest.approx([1 / 3] * 3)


def test_a_rule_speaks_for_half_where_a_turn_seems_to_go_on() -> None:
    taught = classifier({"poem": (0.05, 0.05, 0.1, 0.8)} | TURNS, labels=(*LABELS, CONTINUES), threshold=0.5)
    prediction = TaskOracle(labels=LABELS, classifier=taught, rules=RULES).predict("poem", ["prove it"])
    # The rule says 1/12, 1/12, 10/12; half of it, half of 0.05, 0.05, 0.1, and 0.4 of 0.1, 0.8, 0.1.
    assert prediction.probabilities == pytest.approx({"coding": 0.1067, "math": 0.3867, "writing": 0.5067}, abs=1e-3)
    assert (prediction.task, prediction.source) == ("writing", "keywords")


def test_a_conversation_of_thousands_of_turns_is_read_a_few_turns_back() -> None:
    prediction = SPEAKER.predict("yes", ["yes"] * 5000)
    assert prediction.unsure
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


QUICK = first_tier({"prove it": (0.05, 0.9, 0.05), "hm": (0.6, 0.3, 0.1), "a poem?": (0.1, 0.1, 0.8)})
TIERED = TaskOracle(labels=LABELS, classifier=classifier(TAUGHT, first=QUICK), rules=RULES)


def test_the_first_tier_answers_where_it_is_sure() -> None:
    prediction = TIERED.predict("prove it")
    assert (prediction.task, prediction.source, prediction.tier) == ("math", "classifier", "first")
    assert prediction.confidence == pytest.approx(0.9)
    assert TIERED.read("prove it").features is None


def test_the_full_classifier_reads_what_the_first_tier_is_not_sure_of() -> None:
    reading = TIERED.read("hm")
    assert (reading.prediction.tier, reading.problem) == ("full", None)
    assert reading.prediction.confidence == pytest.approx(0.5)
    assert reading.features is not None


def test_asked_for_the_full_tier_answers() -> None:
    prediction = TIERED.predict("prove it", tier="full")
    assert (prediction.task, prediction.tier) == ("math", "full")
    assert prediction.confidence == pytest.approx(0.8)


@pytest.mark.parametrize(("threshold", "tier"), [(0.8999, "first"), (0.9001, "full")])
def test_at_the_threshold_the_first_tiers_answer_stands(threshold: float, tier: str) -> None:
    first = first_tier({"prove it": (0.05, 0.9, 0.05)}, threshold=threshold)
    oracle = TaskOracle(labels=LABELS, classifier=classifier(TAUGHT, first=first), rules=RULES)
    assert oracle.predict("prove it").tier == tier


def test_what_counts_as_unsure_is_never_left_to_the_first_tier() -> None:
    first = first_tier({"prove it": (0.25, 0.5, 0.25)}, threshold=0.4)
    oracle = TaskOracle(labels=LABELS, classifier=classifier(TAUGHT, first=first, threshold=0.6), rules=RULES)
    assert oracle.predict("prove it").tier == "full"


def test_a_task_whose_models_are_told_apart_by_the_prompt_is_left_to_the_full_classifier() -> None:
    first = first_tier({"prove it": (0.05, 0.9, 0.05), "a poem?": (0.1, 0.1, 0.8)}, tasks={"writing", "coding"})
    oracle = TaskOracle(labels=LABELS, classifier=classifier(TAUGHT, first=first), rules=RULES)
    assert [oracle.predict(text).tier for text in ("prove it", "a poem?")] == ["full", "first"]


def test_in_a_conversation_each_turn_has_its_tier_and_the_heaviest_is_told() -> None:
    labels = (*LABELS, CONTINUES)
    first = first_tier({"prove it": (0.02, 0.9, 0.02, 0.06)}, labels=labels)
    taught = {"go on": (0.02, 0.02, 0.01, 0.95)}
    oracle = TaskOracle(labels=LABELS, classifier=classifier(taught, labels=labels, first=first), rules=RULES)
    prediction = oracle.predict("go on", ["prove it"])
    assert (prediction.task, prediction.tier) == ("math", "first")
    assert prediction.inherited > 0.5


def test_a_few_words_after_another_turn_are_left_to_the_full_classifier() -> None:
    few, more = "write a poem, then", "write a poem, then tell me what it is about"
    first = first_tier(dict.fromkeys((few, more), (0.05, 0.05, 0.9)))
    oracle = TaskOracle(labels=LABELS, classifier=classifier(TAUGHT, first=first, threshold=0.1), rules=RULES)
    assert [oracle.predict(text).tier for text in (few, more)] == ["first", "first"]
    assert [oracle.predict(text, ["prove it"]).tier for text in (few, more)] == ["full", "first"]


class BrokenEncoder:
    """Cannot be opened."""

    name, dim = "broken", 3

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        raise EncoderError(f"the graph is no graph, asked for {len(texts)} text")


def test_where_the_full_classifier_fails_the_first_tier_decides_and_says_so() -> None:
    broken = replace(classifier(TAUGHT, first=QUICK), encoder=BrokenEncoder())
    oracle = TaskOracle(labels=LABELS, classifier=broken, rules=RULES)
    assert oracle.read("prove it").problem is None
    reading = oracle.read("hm")
    assert (reading.prediction.task, reading.prediction.tier) == ("coding", "first")
    assert (
        reading.problem
        == "the first tier alone decides, the full classifier failed: the graph is no graph, asked for 1 text"
    )
    assert oracle.read("prove it", tier="full").problem == reading.problem


def test_without_a_first_tier_the_full_classifier_has_to_work() -> None:
    broken = replace(classifier(TAUGHT), encoder=BrokenEncoder())
    with pytest.raises(EncoderError, match="no graph"):
        TaskOracle(labels=LABELS, classifier=broken, rules=RULES).read("hm")
