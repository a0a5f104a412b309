import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.rows import make_row
from training.classifier.features import featurize, lexical_matrix
from training.classifier.fit import FittedClassifier, fit_classifier
from training.data.prompts import LabelledPrompt
from training.evaluation.labels import (
    Finding,
    can_cross_validate,
    find_mislabelled,
    find_near_duplicates,
    find_repeats,
    find_thin,
    write_findings,
)


def list_findings(found: list[Finding]) -> list[tuple[str, str, str | None]]:
    return [(finding.problem, finding.row.prompt, finding.other.prompt if finding.other else None) for finding in found]


def test_a_repeated_text_is_a_duplicate_or_a_conflict_in_any_case_and_spacing() -> None:
    rows = [make_row("Tell me"), make_row("tell  me\n"), make_row("TELL ME", "math"), make_row("tell them")]
    assert list_findings(find_repeats(rows)) == [
        ("duplicate", "tell  me\n", "Tell me"),
        ("conflicting labels", "TELL ME", "Tell me"),
    ]


TEXTS = [
    "how tall is a giraffe when it is born and how tall a year later",
    "How tall is a giraffe when it is born, and how tall a year later?",
    "สรุปบทความนี้ให้หน่อย",
    "เหงาจัง คุยเป็นเพื่อนหน่อย",
]
GRAMS = lexical_matrix(TEXTS)


def test_near_duplicates_share_nearly_all_their_words() -> None:
    rows = [make_row(text) for text in TEXTS]
    (found,) = find_near_duplicates(rows, GRAMS)
    assert (found.problem, found.row, found.other) == ("near-duplicate", rows[1], rows[0])
    assert found.strength > 0.9
    rows[1] = make_row(TEXTS[1], "math")
    assert list_findings(find_near_duplicates(rows, GRAMS)) == [("near-duplicate of another task", TEXTS[1], TEXTS[0])]


def test_near_duplicates_within_one_group_are_allowed() -> None:
    assert find_near_duplicates([make_row(text, group="g") for text in TEXTS], GRAMS) == []


@pytest.mark.parametrize("block_rows", [1, 3])
def test_the_size_of_blocks_does_not_change_the_findings(monkeypatch: pytest.MonkeyPatch, block_rows: int) -> None:
    monkeypatch.setattr("training.evaluation.labels._BLOCK_ROWS", block_rows)
    assert len(find_near_duplicates([make_row(text) for text in TEXTS], GRAMS)) == 1


def test_planted_wrong_labels_are_found_and_the_right_one_is_suggested(small, encoder_folder: Path) -> None:
    from router.classify.encoder import OnnxEncoder

    rows = [make_row(part["prompt"], part["task"]) for part in [*small.prompts, *small.others]]
    planted = {2: "math", 20: "translation", 33: "coding"}
    wrong = [dataclasses.replace(r, task=planted.get(i, r.task)) for i, r in enumerate(rows)]
    features = featurize([r.prompt for r in wrong], OnnxEncoder.load(encoder_folder))
    fitted = fit_classifier(features, [r.task for r in wrong], [r.group for r in wrong], jobs=1)
    found = find_mislabelled(wrong, fitted)
    worst = found[0]
    assert worst.row.prompt in {rows[i].prompt for i in planted}
    assert worst.suggested == next(r.task for r in rows if r.prompt == worst.row.prompt)
    assert worst.strength > 0.9
    assert len(found) <= 6


def test_only_labels_that_contradict_the_classifier_are_reported() -> None:
    rows = [make_row(str(i), ("math", "qa")[i % 2]) for i in range(40)]
    sure = np.array([[0.9, 0.1], [0.1, 0.9]] * 20)
    nothing = {
        "heads": None,
        "cs": {},
        "mixture": {},
        "temperature": 1.0,
        "threshold": 0.0,
        "held_out": np.arange(40),
        "parts": {},
        "folds": np.zeros(40, np.int64),
        "tasks": ("math", "qa"),
        "follow_ups": (),
    }
    fitted = FittedClassifier(labels=("math", "qa"), probabilities=sure, **nothing)  # type: ignore[arg-type]
    assert find_mislabelled(rows, fitted) == []
    rows[3] = make_row("3", "math")
    assert [(finding.row.prompt, finding.suggested) for finding in find_mislabelled(rows, fitted)] == [("3", "qa")]


def test_thin_and_missing_tasks_are_reported() -> None:
    assert find_thin([make_row(str(i)) for i in range(50)] + [make_row("x", "math")], ("qa", "math", "ethics")) == {
        "math": 1,
        "ethics": 0,
    }


@pytest.mark.parametrize(
    ("rows", "enough"),
    [
        ([make_row(f"{task}{i}", task) for task in ("qa", "math") for i in range(5)], True),
        ([make_row(f"{task}{i}", task) for task in ("qa", "math") for i in range(4)], False),
        ([make_row(str(i)) for i in range(20)], False),
        ([make_row(f"{task}{i}", task, group=str(i % 4)) for task in ("qa", "math") for i in range(5)], False),
    ],
)
def test_cross_validation_needs_prompts_of_each_task_and_groups_for_each_fold(
    rows: list[LabelledPrompt], enough: bool
) -> None:
    assert can_cross_validate(rows) == enough


def test_findings_are_written_safe_for_a_spreadsheet(tmp_path: Path) -> None:
    found = [
        Finding(problem="duplicate", row=make_row("=1+1", row=7), other=make_row("=1+1", row=3)),
        Finding(problem="likely mislabelled", row=make_row("a\nb", row=9), suggested="math", strength=0.98765),
    ]
    write_findings(tmp_path / "look.csv", found)
    with (tmp_path / "look.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream))[1:] == [
            ["duplicate", "7", "qa", "", "1.000", "3", "'=1+1", "'=1+1"],
            ["likely mislabelled", "9", "qa", "math", "0.988", "", "a\nb", ""],
        ]
