"""`diff`, `drift`, `export` and `evaluate --benchmark`, as a user runs them."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from router.artifacts import load_artifact
from tests.training.synthetic import make_benchmark


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.txt"
    path.write_text(
        "\n".join([*(f"translate word {i} into Greek" for i in range(30)), "prove that 2 is prime", "hm"]) + "\n"
    )
    return path


def test_diff_tells_what_a_new_folder_changes(
    *, run_command, log: Path, trained, train_small, small, write_csv, tmp_path: Path
) -> None:
    more = [
        {"model": "newcomer", "task": task, "score": 0.99, "benchmark": "made up", "n": 1000}
        for task in ("coding", "math", "translation")
    ]
    train_small(tmp_path / "new", benchmark=write_csv(tmp_path / "b.csv", [*small.benchmark, *more]))
    code, told, _ = run_command(
        "diff", trained[0], tmp_path / "new", "--prompts", log, "--prefer", "quality", "--out", tmp_path / "c.csv"
    )
    assert code == 0
    assert told.startswith("32 prompts (32 different), seed 0; 95 % bootstrap intervals\nmodels added: newcomer\n")
    assert "another model for 100.0% [100.0%, 100.0%], another task for 0.0% [0.0%, 0.0%]" in told
    assert re.search(r"expected quality 0\.\d+ → 0\.9\d+ \(\+0\.\d+ \[", told)
    assert "the 20 prompts that change most" in told
    assert len(re.findall(r"^row \d+, \+0\.\d+: ", told, re.MULTILINE)) == 20
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["new_model"] for row in csv.DictReader(stream)} == {"newcomer"}
    assert "c.csv: 32 prompts" in told


def test_diff_of_a_folder_with_itself_changes_nothing(run_command, log: Path, trained) -> None:
    code, told, _ = run_command("diff", trained[0], trained[0], "--prompts", log, "--json")
    figures = json.loads(told)
    assert (code, figures["n"], figures["moved"]["value"], figures["moves"]) == (0, 32, 0, [])


def test_drift_tells_when_to_label(run_command, log: Path, model_folder: Path, tmp_path: Path) -> None:
    code, told, _ = run_command("drift", "--model", model_folder, "--prompts", log, "--out", tmp_path / "label.csv")
    assert code == 0
    assert told.startswith("Label some of today's prompts and train again: ")
    assert "more of translation" in told.splitlines()[0]
    assert "against 1,439 in training, seed 0" in told
    assert re.search(r"  translation +4\.\d% → \d\d\.\d%, p < 0\.001", told)
    again = run_command("drift", "--model", model_folder, "--prompts", log, "--reference", log)[1]
    assert again.startswith("No drift: prompts look like those of the training (p ")
    figures = json.loads(run_command("drift", "--model", model_folder, "--prompts", log, "--json")[1])
    assert figures["relabel"] is True


def test_a_log_that_is_missing_is_told(run_command, model_folder: Path) -> None:
    code, _, error = run_command("drift", "--model", model_folder, "--prompts", "nowhere.txt")
    assert code == 2
    assert "nowhere.txt cannot be read" in error


def test_export_writes_profiles_for_others(run_command, model_folder: Path, tmp_path: Path) -> None:
    code, told, _ = run_command("export", "--model", model_folder, "--out", tmp_path / "p.json")
    document = json.loads((tmp_path / "p.json").read_text())
    profiles = load_artifact(model_folder).profiles
    assert (code, told) == (0, f"{tmp_path / 'p.json'}: {len(profiles)} models\n")
    assert [model["name"] for model in document["models"]] == [profile.name for profile in profiles]
    assert document["source"]["learnt_from"][1]["name"] == "benchmark.csv"


@pytest.fixture
def benchmark(tmp_path: Path, write_csv) -> Path:
    made = make_benchmark(80)
    rows = [
        {"model": row.model, "prompt": row.prompt, "task": row.task, "score": row.score, "cost_usd": row.cost_usd}
        for row in made.benchmark.results
    ]
    return write_csv(tmp_path / "benchmark.csv", rows)


def test_evaluate_says_whether_routing_pays(run_command, benchmark: Path, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    code, told, _ = run_command("evaluate", "--benchmark", benchmark, "--model", model_folder, "--out", out)
    assert code == 0
    assert told.startswith(("Do not route: strong alone", "Routing "))
    for name in ("router", "zero router", "task table", "kNN-40", "ridge", "round robin", "random", "oracle"):
        assert re.search(rf"^{name} +0\.\d+ \[", told, re.MULTILINE)
    assert "n = 80, left out 0, seed 0; intervals: 95 %." in told
    assert "the folder lacks middle, strong, weak." in told.replace("\n", " ")
    names = {"routing.json", "routing.md", "routing.html"} | {
        f"routing-{name}.png" for name in ("curve", "differences", "regret", "dials")
    }
    assert {path.name for path in out.iterdir()} == names
    figures = json.loads((out / "routing.json").read_text())
    assert figures["n"] == 80
    assert figures["verdict"]["sentence"] in told.replace("\n", " ")


def test_evaluate_takes_one_kind_of_file(run_command, benchmark: Path) -> None:
    for arguments in (["--benchmark", benchmark, "--prompts", benchmark], [], ["--benchmark", benchmark, "--by", "task"]):
        code, _, error = run_command("evaluate", *arguments)
        assert code == 2
        assert "--benchmark" in error or "--by" in error


def test_without_matplotlib_pictures_are_refused_before_the_work(
    run_command, benchmark: Path, monkeypatch, tmp_path: Path
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, error = run_command("evaluate", "--benchmark", benchmark, "--out", tmp_path / "report")
    assert (code, (tmp_path / "report").exists()) == (2, False)
    assert "pip install 'contextual-llm-router[train,plots]'" in error


def test_a_folder_can_be_copied_and_still_tells_drift(run_command, log: Path, model_folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(model_folder, tmp_path / "copy")
    assert run_command("drift", "--model", copied, "--prompts", log)[0] == 0
    (copied / "reference.safetensors").write_bytes(b"altered")
    code, _, error = run_command("drift", "--model", copied, "--prompts", log)
    assert code == 4
    assert "reference.safetensors is damaged or altered" in error
