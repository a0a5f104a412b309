import json

import pytest

from router.model_folder.manifest import HeadsRecord, TaskEvidence
from router.types import TaskPrediction
from tests.training.evaluation.rows import make_rows
from training.evaluation.evaluate import Evaluation, evaluate
from training.evaluation.report import rank_confusions, table_evidence, to_json, to_markdown


@pytest.fixture
def evaluation() -> Evaluation:
    prediction = TaskPrediction(task="qa", confidence=0.6, probabilities={"qa": 0.6, "math": 0.4}, source="default")
    return evaluate([prediction] * 4, make_rows("a/qa", "b/math", "c/math", "d/coding"), seed=7)


def test_confusions_are_ranked_by_their_number_of_prompts(evaluation: Evaluation) -> None:
    assert rank_confusions(evaluation) == [(2, 1.0, "math", "qa"), (1, 1.0, "coding", "qa")]


def test_markdown_has_a_section_for_each_table(evaluation: Evaluation) -> None:
    lines = to_markdown(evaluation, "prompts.csv").split("\n")
    assert lines[:3] == ["# Evaluation: prompts.csv", "", "n = 4, seed 7, 95 % bootstrap intervals."]
    assert [line for line in lines if line.startswith("##")] == [
        "## Tasks",
        "## Most frequent confusions",
        "## Confusion matrix",
        "## Calibration",
        "## Risk and coverage",
    ]
    assert "| default | 4 | 100% | 0.250 |" in lines
    assert "| math | qa | 2 | 100% |" in lines
    assert "| math |  | 2 |  |  |" in lines  # columns: math, qa, coding, none
    assert lines[-1] == ""


def test_json_has_every_figure(evaluation: Evaluation) -> None:
    figures = json.loads(to_json(evaluation, "prompts.csv"))
    assert (figures["prompts"], figures["n"], figures["seed"]) == ("prompts.csv", 4, 7)
    assert figures["qualities"][0]["accuracy"]["value"] == 0.25
    assert figures["deciders"] == {"default": {"n": 4, "confidence": 0.6, "accuracy": 0.25}}


def test_evidence_has_a_row_per_task_and_says_if_a_target_is_unknown() -> None:
    found = TaskEvidence(n=120.4, gain=0.02, low=0.01, high=0.03, kept=True)
    assert table_evidence(HeadsRecord(models=["a"], quality={"qa": found}, cost={}))[2:] == [
        "| qa | 120 | 0.020 [0.010, 0.030] | yes | unknown | no |"
    ]
