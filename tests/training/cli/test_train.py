from pathlib import Path

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
    assert lines[:2] == [f"{out}: 45 prompts, 3 tasks, 3 models", "note: 1 repeated rows dropped"]
    for name in ("classifier", "TF-IDF + LR", "keyword rules", "majority"):
        assert any(line.startswith(name) for line in lines)
    assert any(line.startswith("math ") and "counter 0.9" in line for line in lines)
    assert Router.load(out).profiles[0].name == "coder"
    assert list((tmp_path / "cache" / "contextual-llm-router").iterdir())
