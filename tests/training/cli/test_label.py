import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from training.data.prompts import read_prompts

Run = Callable[..., tuple[int, str, str]]
PROMPTS = [
    "write a poem about tea",
    "prove that 2 + 2 is 4",
    "fix this python function",
    "zxqv wqpl",
    "write a poem about tea",
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS), encoding="utf-8")
    return path


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def give(*answers: str) -> None:
        given = iter(answers)
        monkeypatch.setattr("click.termui.visible_prompt_func", lambda *_: next(given))

    return give


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_answers_become_labels_at_once_and_are_not_asked_again(
    run_command: Run, model_folder: Path, log: Path, answer: Callable[..., None]
) -> None:
    out = log.with_name("labels.csv")
    # The first is accepted, the second named, the third is skipped, and then the person stops.
    answer("", "no such task", "math", "s", "q")
    code, text, _ = run_command("label", log, "--out", out, "--model", model_folder)
    assert code == 0
    assert "known tasks: " in text
    labelled = rows(out)
    assert [row["task"] for row in labelled] == [labelled[0]["proposed"], "math"]
    answer("c", "c", "c", "c")
    _, text, _ = run_command("label", log, "--out", out, "--model", model_folder)
    assert len({row["prompt"] for row in rows(out)}) == len(rows(out)) == 4
    assert [row["task"] for row in rows(out)[2:]] == ["continues", "continues"]


def test_useful_prompts_come_first(run_command: Run, model_folder: Path, log: Path) -> None:
    out = log.with_name("labels.csv")
    assert run_command("label", log, "--out", out, "--model", model_folder, "--table")[0] == 0
    proposed = rows(out)
    assert [row["times"] for row in proposed if row["prompt"] == PROMPTS[0]] == ["2"]
    # Nobody knows what this means.
    assert proposed[0]["prompt"] == "zxqv wqpl"
    assert {row["task"] for row in proposed} == {""}


def test_training_skips_rows_that_nobody_has_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("prompt,task,proposed\nhello there,roleplay,roleplay\nwhat now,,qa\n", encoding="utf-8")
    found = read_prompts(path)
    assert [row.prompt for row in found.rows] == ["hello there"]
    assert found.waiting == ("what now",)
    assert found.notes == ("labels.csv: 1 rows have a proposed task that nobody has confirmed; they have no label yet",)


def test_a_log_without_anything_to_label_is_refused(run_command: Run, model_folder: Path, log: Path) -> None:
    out = log.with_name("labels.csv")
    run_command("label", log, "--out", out, "--model", model_folder, "--table")
    code, _, error = run_command("label", log, "--out", out, "--model", model_folder)
    assert code != 0
    assert "must have a prompt without a label" in error
