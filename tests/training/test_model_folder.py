import shutil
from pathlib import Path

import pytest

from router.model_folder.load import load_model_folder
from tests.training.files import read_files
from training import model_folder as writing
from training.data.table import DatasetError


def test_an_older_model_folder_is_replaced(tmp_path: Path, trained, train_small) -> None:
    out = Path(shutil.copytree(trained[0], tmp_path / "model"))
    train_small(out, encoder=out / "encoder", seed=1)  # the encoder of the old folder works too
    assert load_model_folder(out).manifest.seed == 1
    assert load_model_folder(trained[0]).manifest.seed == 0
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("kind", ["a file", "a folder with another file", "a folder that only looks alike", "a nested file"])
def test_other_files_and_folders_are_never_replaced(tmp_path: Path, train_small, kind: str) -> None:
    out = tmp_path / "out"
    precious = {
        "a file": out,
        "a folder with another file": out / "thesis.tex",
        "a folder that only looks alike": out / "report.md",
        "a nested file": out / "encoder" / "notes" / "a.txt",
    }[kind]
    precious.parent.mkdir(parents=True, exist_ok=True)
    precious.write_text("precious")
    with pytest.raises(DatasetError, match=r"is not a model folder .*; name a new folder"):
        train_small(out)
    assert precious.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(DatasetError, match="lies below a file; name a folder"):
        writing.check_replaceable(tmp_path / "file" / "out")


@pytest.mark.parametrize("step", ["load", "rename"])
def test_a_failure_while_the_folder_is_written_keeps_the_old_one(
    tmp_path: Path, trained, train_small, monkeypatch, step
) -> None:
    out = Path(shutil.copytree(trained[0], tmp_path / "model"))
    rename = Path.rename

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    def fail_on_new(path: Path, target: Path) -> Path:
        return fail() if path.name == "new" else rename(path, target)

    if step == "load":
        monkeypatch.setattr(writing, "load_model_folder", fail)
    else:
        monkeypatch.setattr(Path, "rename", fail_on_new)
    with pytest.raises(OSError, match="disk full"):
        train_small(out)
    assert list(tmp_path.iterdir()) == [out]
    assert read_files(out) == read_files(trained[0])
