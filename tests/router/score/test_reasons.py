import math
from dataclasses import replace

from router import Preference, TaskPrediction
from router.classify.predictor import Classification
from router.score.reasons import (
    describe_classification,
    describe_cooling,
    describe_focus,
    describe_source,
    describe_too_long,
    describe_unclaimed,
    describe_unknown,
    describe_unknown_parts,
)
from tests.router.fakes import model, score

SURE = TaskPrediction(task="math", confidence=0.9, probabilities={"math": 0.9, "coding": 0.1}, source="classifier")
KNOWN = {"big": score("big", 0.9, 0.01, latency_s=2.0), "small": score("small", 0.5, 0.001, latency_s=1.0)}


def classification(prediction: TaskPrediction, problem: str | None = None) -> Classification:
    return Classification(prediction=prediction, features=None, problem=problem)


def test_a_sure_classifier_needs_no_reason() -> None:
    assert describe_classification(classification(SURE), has_classifier=True) == []
    assert describe_source(SURE, has_classifier=True) == []


def test_the_source_of_an_unsure_prediction_is_described() -> None:
    rule, default = replace(SURE, source="keywords"), replace(SURE, source="default")
    hedge = "no keyword rule matches, so all tasks count by their probabilities"
    assert describe_source(rule, has_classifier=True) == ["the classifier is unsure and a keyword rule matches: math"]
    assert describe_source(rule, has_classifier=False) == ["there is no classifier and a keyword rule matches: math"]
    assert describe_source(default, has_classifier=True) == [f"the classifier is unsure and {hedge}"]
    assert describe_source(default, has_classifier=False) == [f"there is no classifier and {hedge}"]


def test_a_follow_up_and_a_problem_come_before_the_source() -> None:
    prediction = replace(SURE, inherited=0.51, source="default")
    first, second, third = describe_classification(classification(prediction, "the graph is gone"), has_classifier=True)
    assert (first, second) == ("the last turn names no task by itself, so an earlier turn decides", "the graph is gone")
    assert third.startswith("the classifier is unsure")
    assert describe_classification(classification(replace(SURE, inherited=0.5)), has_classifier=True) == []


def test_a_focus_and_models_that_cool_down_are_described() -> None:
    assert describe_focus("creative") == "focus 'creative': only its tasks count"
    assert describe_cooling(["a", "b"], every=False) == "these models cool down after failures and rank last: a, b"
    assert describe_cooling(["a"], every=True) == "every model cools down after failures, so the ranking ignores that"


def test_a_prompt_that_exceeds_every_window_is_described() -> None:
    profiles = [model("a", context_window=1000), model("b", context_window=1000)]
    reason = "about 501 tokens exceed every context window, so the models with the largest one stay candidates"
    assert describe_too_long(profiles, 500) == []  # with 500 tokens for the answer
    assert describe_too_long(profiles, 501) == [reason]
    assert describe_too_long([*profiles, model("open")], 501) == []


def test_unknown_parts_and_unclaimed_capabilities_are_named() -> None:
    assert describe_unknown_parts(()) == []
    assert describe_unknown_parts(("aura", "hologram")) == ["content parts of unknown type exclude no model: aura, hologram"]
    claim = "no profile has audio, video among its capabilities, so add it to those of models that can"
    assert describe_unclaimed({"video", "audio"}) == claim


def test_known_figures_need_no_reason() -> None:
    assert describe_unknown(KNOWN, Preference(usd_per_point=0.001, seconds_per_point=1.0)) == []


def test_assumed_costs_and_latencies_are_listed() -> None:
    scores = KNOWN | {
        "z": score("z", 0.5, 0.0055, latency_s=1.5, assumed=frozenset({"cost_usd", "latency_s"})),
        "a": score("a", 0.5, 0.0055, latency_s=1.5, assumed=frozenset({"cost_usd"})),
    }
    cost = "expected cost of these models is unknown, so the median of the others is used: a, z"
    latency = "expected latency of these models is unknown, so the median of the others is used: z"
    assert describe_unknown(scores, Preference()) == [cost]
    assert describe_unknown(scores, Preference(seconds_per_point=1.0)) == [cost, latency]


def test_a_latency_that_is_unknown_for_all_is_described_if_time_counts() -> None:
    scores = {"a": score("a", 0.5, 0.01)}
    reason = "the latency of every candidate is unknown, so time does not count"
    assert describe_unknown(scores, Preference()) == []
    assert describe_unknown(scores, Preference(seconds_per_point=1.0)) == [reason]


def test_a_reference_that_is_missing_or_keeps_every_prompt_is_described() -> None:
    missing = "gone may not be chosen, so the loss is bounded against the best model that may"
    assert describe_unknown(KNOWN, Preference(reference="gone", tolerance=0.1)) == [missing]
    kept = "no switch to a cheaper model was shown to lose so little, so big answers"
    assert describe_unknown(KNOWN, Preference(reference="big", tolerance=-math.inf)) == [kept]
    assert describe_unknown(KNOWN, Preference(reference="big", tolerance=0.1)) == []
