import json
from pathlib import Path

from router.model_folder.load import load_model_folder


def test_export_writes_the_profiles_as_json(run_command, model_folder: Path, tmp_path: Path) -> None:
    code, output, _ = run_command("export", "--model", model_folder, "--out", tmp_path / "p.json")
    document = json.loads((tmp_path / "p.json").read_text())
    profiles = load_model_folder(model_folder).profiles
    assert (code, output) == (0, f"{tmp_path / 'p.json'}: {len(profiles)} models\n")
    assert [model["name"] for model in document["models"]] == [profile.name for profile in profiles]
    assert document["source"]["learnt_from"][1]["name"] == "benchmark.csv"
