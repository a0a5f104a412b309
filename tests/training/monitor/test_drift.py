import csv
from dataclasses import replace
from pathlib import Path

import pytest

from router.errors import ModelFolderError
from router.model_folder.load import load_model_folder
from tests.training.monitor.samples import log
from training.data.table import DatasetError
from training.monitor.drift import check_drift
from training.monitor.to_label import write_prompts_to_label


def test_prompts_of_one_kind_are_drift_from_the_shipped_reference(model_folder: Path) -> None:
    repeated = ["", "what is 1 times 4, and why?"]
    checked = check_drift(
        load_model_folder(model_folder), log(*(f"what is {i} times {i + 3}, and why?" for i in range(40)), *repeated)
    )
    assert (checked.logged, checked.distinct) == (42, 40)
    assert checked.drift.relabel
    assert len(checked.drift.grown_tasks) == 1


def test_a_log_may_be_the_reference(model_folder: Path, tmp_path: Path) -> None:
    texts = [f"translate word number {i} into Greek" for i in range(60)]
    (tmp_path / "then.txt").write_text("\n".join(texts[:30]))
    checked = check_drift(load_model_folder(model_folder), log(*texts[30:]), reference=tmp_path / "then.txt")
    assert checked.drift.n_embeddings == 30
    assert not checked.drift.relabel


def test_too_few_prompts_are_refused(model_folder: Path) -> None:
    with pytest.raises(DatasetError, match="at least 20 different prompts with a task of their own, got 1; collect more"):
        check_drift(load_model_folder(model_folder), log(*["write a poem about tea"] * 30))


def test_a_folder_without_a_classifier_is_refused(model_folder: Path) -> None:
    bare = replace(load_model_folder(model_folder), classifier=None, problems=("the encoder is missing",))
    with pytest.raises(ModelFolderError, match="drift needs a classifier, got none: the encoder is missing"):
        check_drift(bare, log("any"))


def test_nonsense_is_to_be_labelled_and_written_as_labelled_prompts(model_folder: Path, tmp_path: Path) -> None:
    checked = check_drift(
        load_model_folder(model_folder), log("=cmd|' /C calc'!A0", *(f"zxqv {i} wvut {i * 7}" for i in range(40)))
    )
    write_prompts_to_label(tmp_path / "label.csv", checked.to_label)
    with (tmp_path / "label.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(checked.to_label) > 0
    assert set(rows[0]) == {"prompt", "task"}
    assert not any(row["prompt"].startswith("=") for row in rows)
