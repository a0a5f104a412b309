import pytest

from router.types import TaskPrediction, Tier
from tests.training.evaluation.rows import make_rows
from training.evaluation.evaluate import evaluate


def predict(task: str | None, confidence: float, second: str, source: str = "classifier") -> TaskPrediction:
    """Make a prediction; the task `second` has the rest of the probability."""
    probabilities = {"math": 0.0, "qa": 0.0, "coding": 0.0} | {second: 1 - confidence}
    if task is not None:
        probabilities[task] = confidence
    tier: Tier | None = "full" if source == "classifier" else None
    return TaskPrediction(task=task, confidence=confidence, probabilities=probabilities, source=source, tier=tier)


def test_an_evaluation_by_hand() -> None:
    predictions = [
        predict("qa", 0.95, "math"),
        predict("math", 0.9, "qa"),
        predict("coding", 0.6, "math", "keywords"),
        predict(None, 1 / 3, "qa", "default"),
    ]
    found = evaluate(predictions, make_rows("a/qa", "b/qa", "c/math", "d/math"), baselines={"all qa": ["qa"] * 4}, seed=7)
    assert (found.n, found.seed) == (4, 7)
    assert [(quality.name, quality.accuracy.value) for quality in found.qualities] == [("router", 0.25), ("all qa", 0.5)]
    assert found.top2.value == 0.75
    assert found.guessable == ["qa", "math", "coding", "none"]
    assert found.confusion == [[1, 1, 0, 0], [0, 0, 1, 1]]
    # Each prediction is in its own bin. Only the first is right.
    assert found.calibration_error.value == pytest.approx((0.05 + 0.9 + 0.6 + 1 / 3) / 4)
    assert [part.accuracy for part in found.calibration] == [0, 0, 0, 1]
    assert [(part.n, part.accuracy) for part in found.risk_coverage] == [
        (1, 1.0),
        (2, 0.5),
        (3, pytest.approx(1 / 3)),
        (4, 0.25),
    ]
    assert [part.confidence for part in found.risk_coverage] == pytest.approx([0.95, 0.9, 0.6, 1 / 3])
    assert {decider: (part.n, part.accuracy) for decider, part in found.deciders.items()} == {
        "full tier": (2, 0.5),
        "keywords": (1, 0.0),
        "default": (1, 0.0),
    }
