import numpy as np
import pytest

from router.keywords import KeywordRules
from router.types import TaskPrediction, Tier
from training.datasets import LabelledPrompt
from training.evaluate import (
    bootstrap,
    by_task,
    calibration_error,
    cross_validated,
    evaluate,
    f1_scores,
    judge,
    predict_by_keywords,
    predict_by_tfidf,
    predict_majority,
)

RULES = KeywordRules(precision=0.5, phrases={"math": ["solve"], "coding": ["regex"]})


def rows(*pairs: str) -> list[LabelledPrompt]:
    """Make rows of `prompt/task` or `prompt/task/also`."""
    parts = [pair.split("/") for pair in pairs]
    return [LabelledPrompt(prompt=part[0], task=part[1], also=tuple(part[2:])) for part in parts]


def test_f1_by_hand() -> None:
    # Task 0: TP 1, FP 0, FN 1. Task 1: TP 1, FP 1, FN 1. Task 2 does not occur. A guess of 3 is of no task.
    scores = f1_scores(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 3]), 3)
    assert scores.tolist() == pytest.approx([2 / 3, 1 / 2])


def test_calibration_error_by_hand() -> None:
    # The last of 15 bins: 3 of 5 prompts, mean 2.9/3, right 2/3, gap 0.3. That of 0.55: 2 of 5, all right, gap 0.45.
    confidence, right = np.array([0.95, 0.95, 0.55, 0.55, 1.0]), np.array([True, False, True, True, True])
    assert calibration_error(confidence, right) == pytest.approx(0.36)
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0


def test_judgement_by_hand_and_lenient_accepts_what_could_be_defended() -> None:
    quality = judge("x", ["qa", "math", "qa", None], rows("a/qa", "b/qa/math", "c/math", "d/math/qa"))
    assert quality.n == 4
    assert quality.accuracy.value == 0.25
    assert quality.lenient is not None
    assert quality.lenient.value == 0.5
    # qa: TP 1, FP 1, FN 1 → 1/2. math: TP 0 → 0.
    assert quality.macro_f1.value == pytest.approx(0.25)


def test_there_is_no_lenient_accuracy_where_no_row_names_another_task() -> None:
    assert judge("x", ["qa"], rows("a/qa")).lenient is None


def test_an_interval_contains_its_value_and_repeats_with_its_seed() -> None:
    right = np.arange(50) % 5 > 0

    def statistic(sample: np.ndarray) -> float:
        return float(right[sample].mean())

    interval = bootstrap(statistic, 50, seed=3)
    assert interval.value == 0.8
    # The standard error of 0.8 over 50 is 0.057: 1.96 of them either side.
    assert interval.low == pytest.approx(0.69, abs=0.03)
    assert interval.high == pytest.approx(0.91, abs=0.03)
    assert interval == bootstrap(statistic, 50, seed=3)
    assert str(interval) == f"0.800 [{interval.low:.3f}, {interval.high:.3f}]"


def test_precision_and_recall_by_task_by_hand() -> None:
    math, qa = by_task(["qa", "qa", "math", None], rows("a/qa", "b/math", "c/math", "d/math"))
    assert (math.task, math.n, math.precision.value) == ("math", 3, 1.0)
    assert math.recall.value == pytest.approx(1 / 3)
    assert math.f1.value == pytest.approx(1 / 2)
    assert (qa.task, qa.n, qa.precision.value, qa.recall.value) == ("qa", 1, 0.5, 1.0)
    assert 0 <= math.recall.low < math.recall.value < math.recall.high <= 1
    (never,) = by_task([None], rows("a/qa"))
    assert (never.precision.value, never.recall.value, never.f1.value) == (0, 0, 0)


def told(task: str | None, confidence: float, second: str, source: str = "classifier") -> TaskPrediction:
    """Predict a task; `second` has what is left."""
    probabilities = {"math": 0.0, "qa": 0.0, "coding": 0.0} | {second: 1 - confidence}
    if task is not None:
        probabilities[task] = confidence
    tier: Tier | None = "full" if source == "classifier" else None
    return TaskPrediction(task=task, confidence=confidence, probabilities=probabilities, source=source, tier=tier)


def test_an_evaluation_by_hand() -> None:
    predictions = [
        told("qa", 0.95, "math"),
        told("math", 0.9, "qa"),
        told("coding", 0.6, "math", "keywords"),
        told(None, 1 / 3, "qa", "default"),
    ]
    found = evaluate(predictions, rows("a/qa", "b/qa", "c/math", "d/math"), baselines={"all qa": ["qa"] * 4}, seed=7)
    assert (found.n, found.seed) == (4, 7)
    assert [(quality.name, quality.accuracy.value) for quality in found.qualities] == [("router", 0.25), ("all qa", 0.5)]
    assert found.top2.value == 0.75
    assert found.guessable == ["qa", "math", "coding", "none"]
    assert found.confusion == [[1, 1, 0, 0], [0, 0, 1, 1]]
    # Each in a bin of its own; the first is right.
    assert found.calibration_error.value == pytest.approx((0.05 + 0.9 + 0.6 + 1 / 3) / 4)
    assert [share.accuracy for share in found.calibration] == [0, 0, 0, 1]
    assert [(share.n, share.accuracy) for share in found.risk_coverage] == [
        (1, 1.0),
        (2, 0.5),
        (3, pytest.approx(1 / 3)),
        (4, 0.25),
    ]
    assert [share.confidence for share in found.risk_coverage] == pytest.approx([0.95, 0.9, 0.6, 1 / 3])
    assert {by: (share.n, share.accuracy) for by, share in found.deciders.items()} == {
        "full tier": (2, 0.5),
        "keywords": (1, 0.0),
        "default": (1, 0.0),
    }


def test_the_majority_and_the_rules_are_baselines() -> None:
    train = rows("a/qa", "b/qa", "c/math")
    assert predict_majority(train, rows("x/math", "y/math")) == ["qa", "qa"]
    assert predict_by_keywords(RULES, train, rows("solve it/math", "hello/math", "a regex/qa")) == ["math", "qa", "coding"]


def test_tfidf_tells_tasks_apart_by_words() -> None:
    train = rows("solve it/math", "solve this/math", "a regex/coding", "the regex/coding")
    assert predict_by_tfidf(train, rows("solve/math", "regex/coding")) == ["math", "coding"]


@pytest.mark.parametrize(
    "train",
    [rows("今日は/qa", "さようなら/qa", "翻訳して/translation", "英語で/translation"), rows("one word/qa", "one more/qa")],
    ids=["no word occurs twice", "one task only"],
)
def test_tfidf_falls_back_to_the_majority_where_it_cannot_be_fitted(train: list[LabelledPrompt]) -> None:
    assert predict_by_tfidf(train, rows("x/qa")) == ["qa"]


def test_a_baseline_is_never_trained_on_the_fold_it_predicts() -> None:
    given = rows(*(f"{i}/qa" for i in range(9)))
    folds = np.array([0, 1, 2] * 3)
    seen: list[tuple[set[str], set[str]]] = []

    def predict(train: list[LabelledPrompt], test: list[LabelledPrompt]) -> list[str]:
        seen.append(({row.prompt for row in train}, {row.prompt for row in test}))
        return [f"guess {row.prompt}" for row in test]

    assert cross_validated(predict, given, folds) == [f"guess {i}" for i in range(9)]
    assert [held_out for _, held_out in seen] == [{"0", "3", "6"}, {"1", "4", "7"}, {"2", "5", "8"}]
    assert all(kept | held_out == set("012345678") and not kept & held_out for kept, held_out in seen)
