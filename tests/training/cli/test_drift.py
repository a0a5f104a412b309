import json
import re
import shutil
from pathlib import Path


def test_drift_advises_when_to_label(run_command, log: Path, model_folder: Path, tmp_path: Path) -> None:
    code, output, _ = run_command("drift", "--model", model_folder, "--prompts", log, "--out", tmp_path / "label.csv")
    assert code == 0
    assert output.startswith("Label some of today's prompts and train again: ")
    assert "more of translation" in output.splitlines()[0]
    assert re.search(r"compared with 4,\d{3} in training, seed 0", output)
    assert re.search(r"  translation +[45]\.\d% -> \d\d\.\d%, p < 0\.001", output)
    again = run_command("drift", "--model", model_folder, "--prompts", log, "--reference", log)[1]
    assert again.startswith("No drift: the prompts look like those of the training (p ")
    figures = json.loads(run_command("drift", "--model", model_folder, "--prompts", log, "--json")[1])
    assert figures["relabel"] is True


def test_a_missing_log_is_reported(run_command, model_folder: Path) -> None:
    code, _, error = run_command("drift", "--model", model_folder, "--prompts", "nowhere.txt")
    assert code == 2
    assert "nowhere.txt cannot be read" in error


def test_drift_works_with_a_copied_folder_but_not_an_altered_one(
    run_command, log: Path, model_folder: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(model_folder, tmp_path / "copy")
    assert run_command("drift", "--model", copied, "--prompts", log)[0] == 0
    (copied / "reference.safetensors").write_bytes(b"altered")
    code, _, error = run_command("drift", "--model", copied, "--prompts", log)
    assert code == 4
    assert "reference.safetensors is damaged or altered" in error
