from pathlib import Path

import pytest

from router import Router


def test_train_writes_a_folder_and_prints_figures_beside_baselines(
    run_command, tmp_path: Path, small, small_files, encoder_folder: Path, write_csv
) -> None:
    prompts = write_csv(tmp_path / "p.csv", [*small.prompts, small.prompts[0]])
    out = tmp_path / "model"
    code, out_text, errors = run_command(
        "train", "--prompts", prompts, "--benchmark", small_files[1], "--out", out, "--encoder", encoder_folder, "--jobs", 1
    )  # fmt: skip
    assert (code, errors) == (0, "")
    lines = out_text.splitlines()
    note = "note: p.csv: 1 repeated rows dropped, the first is row 47, which repeats row 2; remove them"
    assert lines[:2] == [f"{out}: 45 prompts, 3 tasks, 3 models", note]
    for name in ("classifier", "TF-IDF + LR", "keyword rules", "majority"):
        assert any(line.startswith(name) for line in lines)
    assert any(line.startswith("math ") and "counter 0.9" in line for line in lines)
    assert Router.load(out).profiles[0].name == "coder"
    assert list((tmp_path / "cache" / "contextual-llm-router").iterdir())


def test_train_prints_what_looks_wrong_in_the_files_and_the_model_card_repeats_it(
    *, run_command, tmp_path: Path, small, encoder_folder: Path, write_csv
) -> None:
    files = {
        "--prompts": write_csv(tmp_path / "p.csv", [*small.prompts, {"prompt": "fix my loop", "task": "Coding"}]),
        "--benchmark": write_csv(tmp_path / "b.csv", [*small.benchmark, small.benchmark[0]]),
    }
    options = (part for pair in files.items() for part in pair)
    out = tmp_path / "model"
    code, out_text, errors = run_command("train", *options, "--out", out, "--encoder", encoder_folder, "--jobs", 1)
    assert (code, errors) == (0, "")
    note = "b.csv: 1 repeated rows, the first is row 11, which repeats row 2; they count as one row; remove them"
    assert f"note: {note}\n" in out_text
    assert f"- {note}\n" in (out / "report.md").read_text()
    coder = next(profile for profile in Router.load(out).profiles if profile.name == "coder")
    assert coder.quality["coding"].n == 1000


@pytest.mark.parametrize("own", [True, False])
def test_the_remedy_for_tasks_that_no_prompt_has_is_never_own_tasks(
    *, run_command, tmp_path: Path, small, encoder_folder: Path, write_csv, own: bool
) -> None:
    prompts = [row | {"task": f"my {row['task']}"} for row in small.prompts] if own else small.prompts
    benchmark = small.benchmark if own else [row | {"task": f"my {row['task']}"} for row in small.benchmark]
    files = ("--prompts", write_csv(tmp_path / "p.csv", prompts), "--benchmark", write_csv(tmp_path / "b.csv", benchmark))
    flags = ("--encoder", encoder_folder, "--jobs", 1, *(["--own-tasks"] if own else []))
    code, _, errors = run_command("train", *files, "--out", tmp_path / "model", *flags)
    assert code == 2
    assert "b.csv row 2: none of the tasks of the file is known, got " in errors
    assert "--own-tasks" not in errors
