import sys
from pathlib import Path

import pytest

WRONG = {
    "no such prompts": (2, "evaluate --prompts {none}", "cannot be read: No such file"),
    "bad prompts": (2, "train --prompts {b} --benchmark {b} --out {new} --encoder {e}", "columns ['prompt'] are missing"),
    "no encoder": (2, "train --prompts {p} --benchmark {b} --out {new} --encoder {none}", "is not an encoder folder"),
    "out is a file": (2, "train --prompts {p} --benchmark {b} --out {p} --encoder {e}", "is not a model folder"),
    "out is below a file": (2, "train --prompts {p} --benchmark {b} --out {p}/new --encoder {e} --jobs 1", "{p}"),
    "no model folder": (4, "evaluate --prompts {p} --model {none}", "is not a folder"),
    "a broken model folder": (4, "evaluate --prompts {p} --model {e}", "lacks manifest.json"),
    "unknown breakdown": (2, "evaluate --prompts {p} --by mood", "'mood' is not one of 'task', 'source'"),
    "no such figures": (2, "published --figures {none} --models {none} --out {new}", "cannot be read"),
    "published into no folder": (2, "published --figures {figures} --models {models} --out {none}/b.csv", "b.csv"),
    "unknown reference": (2, "published --figures {figures} --models {models} --out {new} --reference hal", "'hal'"),
    "an encoder that exists": (2, "encoder any --out {e}", "exists already"),
    "unknown option": (2, "train --nonsense", "No such option"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_reported_on_standard_error_with_its_exit_code(
    run_command, tmp_path: Path, root: Path, small_files, encoder_folder: Path, case: str
) -> None:
    expected, command, message = WRONG[case]
    places = {
        "p": small_files[0], "b": small_files[1], "e": encoder_folder, "none": tmp_path / "none", "new": tmp_path / "new",
        "figures": root / "data" / "published" / "figures.csv", "models": root / "data" / "published" / "models.csv",
    }  # fmt: skip
    code, out, errors = run_command(*(part.format(**places) for part in command.split()))
    assert code == expected
    assert message.format(**places) in errors
    assert out == ""
    assert "Traceback" not in errors
    assert not (tmp_path / "new").exists()


def test_a_missing_extra_is_reported_with_the_command_that_installs_it(
    run_command, small_files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "training.evaluation.folder", None)
    code, _, errors = run_command("evaluate", "--prompts", small_files[0])
    assert code == 2
    assert errors.rstrip().endswith("pip install 'contextual-llm-router[train,plots]'")
