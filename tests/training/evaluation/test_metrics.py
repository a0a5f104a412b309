import numpy as np
import pytest

from tests.training.evaluation.rows import make_rows
from training.evaluation.metrics import calibration_error, f1_scores, score_by_task, score_predictions


def test_f1_by_hand() -> None:
    # Task 0: TP 1, FP 0, FN 1. Task 1: TP 1, FP 1, FN 1. Task 2 does not occur. A prediction of 3 is no task.
    scores = f1_scores(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 3]), 3)
    assert scores.tolist() == pytest.approx([2 / 3, 1 / 2])


def test_calibration_error_by_hand() -> None:
    # Last of 15 bins: 3 of 5 prompts, mean 2.9/3, accuracy 2/3, gap 0.3. Bin of 0.55: 2 of 5, accuracy 1, gap 0.45.
    confidence, right = np.array([0.95, 0.95, 0.55, 0.55, 1.0]), np.array([True, False, True, True, True])
    assert calibration_error(confidence, right) == pytest.approx(0.36)
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0


def test_lenient_accuracy_accepts_the_other_tasks_of_a_row() -> None:
    quality = score_predictions("x", ["qa", "math", "qa", None], make_rows("a/qa", "b/qa/math", "c/math", "d/math/qa"))
    assert quality.n == 4
    assert quality.accuracy.value == 0.25
    assert quality.lenient is not None
    assert quality.lenient.value == 0.5
    # qa: TP 1, FP 1, FN 1 → 1/2. math: TP 0 → 0.
    assert quality.macro_f1.value == pytest.approx(0.25)


def test_there_is_no_lenient_accuracy_if_no_row_names_another_task() -> None:
    assert score_predictions("x", ["qa"], make_rows("a/qa")).lenient is None


def test_precision_and_recall_by_task_by_hand() -> None:
    math, qa = score_by_task(["qa", "qa", "math", None], make_rows("a/qa", "b/math", "c/math", "d/math"))
    assert (math.task, math.n, math.precision.value) == ("math", 3, 1.0)
    assert math.recall.value == pytest.approx(1 / 3)
    assert math.f1.value == pytest.approx(1 / 2)
    assert (qa.task, qa.n, qa.precision.value, qa.recall.value) == ("qa", 1, 0.5, 1.0)
    assert 0 <= math.recall.low < math.recall.value < math.recall.high <= 1
    (never,) = score_by_task([None], make_rows("a/qa"))
    assert (never.precision.value, never.recall.value, never.f1.value) == (0, 0, 0)
