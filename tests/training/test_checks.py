import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from training.checks import (
    Finding,
    can_be_judged,
    contrast_sets,
    find_mislabelled,
    find_near_duplicates,
    find_repeats,
    find_thin,
    looks_typed,
    measure_mix,
    write_findings,
)
from training.classifier import FittedClassifier, featurize, fit_classifier, lexical_matrix
from training.datasets import LabelledPrompt


def row(prompt: str, task: str = "qa", **fields: object) -> LabelledPrompt:
    return LabelledPrompt(prompt=prompt, task=task, **{"group": prompt} | fields)  # type: ignore[arg-type]


def told(found: list[Finding]) -> list[tuple[str, str, str | None]]:
    return [(finding.problem, finding.row.prompt, finding.other.prompt if finding.other else None) for finding in found]


def test_the_same_text_is_a_duplicate_or_a_conflict_whatever_its_case_and_spaces() -> None:
    rows = [row("Tell me"), row("tell  me\n"), row("TELL ME", "math"), row("tell them")]
    assert told(find_repeats(rows)) == [
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
    rows = [row(text) for text in TEXTS]
    (found,) = find_near_duplicates(rows, GRAMS)
    assert (found.problem, found.row, found.other) == ("near-duplicate", rows[1], rows[0])
    assert found.strength > 0.9
    rows[1] = row(TEXTS[1], "math")
    assert told(find_near_duplicates(rows, GRAMS)) == [("near-duplicate of another task", TEXTS[1], TEXTS[0])]


def test_what_is_in_one_group_may_be_alike() -> None:
    assert find_near_duplicates([row(text, group="g") for text in TEXTS], GRAMS) == []


@pytest.mark.parametrize("block_rows", [1, 3])
def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch, block_rows: int) -> None:
    monkeypatch.setattr("training.checks._BLOCK_ROWS", block_rows)
    assert len(find_near_duplicates([row(text) for text in TEXTS], GRAMS)) == 1


def test_planted_wrong_labels_are_found_with_the_right_one_suggested(small, encoder_folder: Path) -> None:
    from router.encoder import OnnxEncoder

    rows = [row(part["prompt"], part["task"]) for part in [*small.prompts, *small.others]]
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


def test_labels_that_agree_with_the_classifier_are_left_alone() -> None:
    rows = [row(str(i), ("math", "qa")[i % 2]) for i in range(40)]
    sure = np.array([[0.9, 0.1], [0.1, 0.9]] * 20)
    nothing = {
        "heads": None,
        "cs": {},
        "mixture": {},
        "temperature": 1.0,
        "threshold": 0.0,
        "judged": np.arange(40),
        "parts": {},
        "folds": np.zeros(40, np.int64),
        "tasks": ("math", "qa"),
        "follow_ups": (),
    }
    fitted = FittedClassifier(labels=("math", "qa"), probabilities=sure, **nothing)  # type: ignore[arg-type]
    assert find_mislabelled(rows, fitted) == []
    rows[3] = row("3", "math")
    assert [(finding.row.prompt, finding.suggested) for finding in find_mislabelled(rows, fitted)] == [("3", "qa")]


def test_thin_tasks_and_missing_ones_are_told() -> None:
    assert find_thin([row(str(i)) for i in range(50)] + [row("x", "math")], ("qa", "math", "ethics")) == {
        "math": 1,
        "ethics": 0,
    }


@pytest.mark.parametrize(
    ("rows", "can"),
    [
        ([row(f"{task}{i}", task) for task in ("qa", "math") for i in range(5)], True),
        ([row(f"{task}{i}", task) for task in ("qa", "math") for i in range(4)], False),
        ([row(str(i)) for i in range(20)], False),
        ([row(f"{task}{i}", task, group=str(i % 4)) for task in ("qa", "math") for i in range(5)], False),
    ],
)
def test_rows_can_be_judged_where_each_task_and_enough_groups_can_be_held_out(rows: list[LabelledPrompt], can: bool) -> None:
    assert can_be_judged(rows) == can


def test_a_contrast_set_asks_for_three_tasks_or_more() -> None:
    rows = [row(f"{group}{task}", task, group=group) for group in "ab" for task in ("qa", "math")]
    assert contrast_sets([*rows, row("aw", "writing", group="a")]) == [[rows[0], rows[1], row("aw", "writing", group="a")]]


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("what is it", True),
        ("What is it", True),
        ("What is it?", False),
        ("What is it:", False),
        ("说明一下", True),
        ("说明。", False),
    ],
)
def test_typing_is_told_by_a_small_letter_or_a_missing_sign(text: str, typed: bool) -> None:
    assert looks_typed(text) == typed


def test_the_mix_is_read_off_the_text_where_nothing_is_declared() -> None:
    rows = [row("what is it"), row("Tell me. " + "word " * 60), row("Was ist das?", language="de"), row("what is it then")]
    shares = {share.name: (share.count, share.n, share.declared) for share in measure_mix(rows)}
    assert shares == {
        "typed": (3, 4, False),
        "pasted": (1, 4, False),
        "languages other than en": (1, 4, True),
        "under 8 words": (3, 4, False),
        "over 400 words": (0, 4, False),
        "in contrast sets": (0, 4, True),
        "same first 3 words, at worst (qa)": (2, 4, False),
    }


def test_what_is_declared_counts_instead() -> None:
    rows = [row("Tidy.", marks=("typed", "two")), row("typed", marks=("tidy",)), row("x" * 400, marks=("pasted", "context"))]
    shares = {share.name: (share.count, share.declared) for share in measure_mix(rows)}
    assert shares["typed"] == shares["pasted"] == shares["context"] == shares["two"] == (1, True)


def test_findings_are_written_safe_for_a_spreadsheet(tmp_path: Path) -> None:
    found = [
        Finding(problem="duplicate", row=row("=1+1", row=7), other=row("=1+1", row=3)),
        Finding(problem="likely mislabelled", row=row("a\nb", row=9), suggested="math", strength=0.98765),
    ]
    write_findings(tmp_path / "look.csv", found)
    with (tmp_path / "look.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream))[1:] == [
            ["duplicate", "7", "qa", "", "1.000", "3", "'=1+1", "'=1+1"],
            ["likely mislabelled", "9", "qa", "math", "0.988", "", "a\nb", ""],
        ]
