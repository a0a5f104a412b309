import numpy as np
import pytest

from router.classifier import CONTINUES, TaskOracle, softmax
from router.keywords import KeywordRules
from tests.router.fakes import LABELS, classifier

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
