import json
import sys
from pathlib import Path

import pytest

from router import Router
from training.datasets import read_benchmark


def test_train_writes_a_folder_and_tells_figures_beside_baselines(
    run_command, tmp_path: Path, small, small_files, encoder_folder: Path, write_csv
) -> None:
    prompts = write_csv(tmp_path / "p.csv", [*small.prompts, small.prompts[0]])
    out = tmp_path / "model"
    code, told, errors = run_command(
        "train", "--prompts", prompts, "--benchmark", small_files[1], "--out", out, "--encoder", encoder_folder, "--jobs", 1
    )  # fmt: skip
    assert (code, errors) == (0, "")
    lines = told.splitlines()
    assert lines[:2] == [f"{out}: 45 prompts, 3 tasks, 3 models", "note: 1 repeated rows dropped"]
    for name in ("classifier", "TF-IDF + LR", "keyword rules", "majority"):
        assert any(line.startswith(name) for line in lines)
    assert any(line.startswith("math ") and "counter 0.9" in line for line in lines)
    assert Router.load(out).profiles[0].name == "coder"
    assert list((tmp_path / "cache" / "contextual-llm-router").iterdir())


@pytest.mark.parametrize(
    ("by", "told"),
    [
        (None, []),
        ("task", ["task                 n  precision             recall", "coding              15 "]),
        (
            "source",
            [
                "source                         n         router  embedding + LR    TF-IDF + LR",
                "                              45 ",
            ],
        ),
    ],
)
def test_evaluate_prints_a_table(run_command, trained, small_files, by: str | None, told: list[str]) -> None:
    more = ("--by", by) if by else ()
    code, out, errors = run_command(
        "evaluate", "--prompts", small_files[0], "--model", trained[0], "--train-on", small_files[0], *more
    )
    assert (code, errors) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "prompts.csv: n 45, seed 0, 95 % bootstrap intervals"
    names = ["router", "embedding + LR", "TF-IDF + LR", "keyword rules", "majority"]
    assert [line.split("  ")[0] for line in lines[2:7]] == names
    assert "0.333 [" in lines[6]
    assert lines[7].startswith("router: among two ")
    assert lines[8].startswith("settled by: ")
    assert [start for start in told if not any(line.startswith(start) for line in lines[9:])] == []
    assert bool(told) == (len(lines) > 9)


def test_evaluate_prints_json_and_lenient_accuracy_where_tasks_could_be_defended(
    run_command, trained, small, tmp_path, write_csv
) -> None:
    prompts = write_csv(tmp_path / "p.csv", [row | {"also": "coding|math|translation"} for row in small.prompts])
    _, table, _ = run_command("evaluate", "--prompts", prompts, "--model", trained[0])
    assert "lenient accuracy" in table
    code, told, errors = run_command("evaluate", "--prompts", prompts, "--model", trained[0], "--json", "--seed", 5)
    assert (code, errors) == (0, "")
    said = json.loads(told)
    assert (said["seed"], said["prompts"]) == (5, "p.csv")
    (router,) = said["qualities"]
    assert (router["name"], router["n"], router["lenient"]["value"]) == ("router", 45, 1.0)
    assert router["accuracy"]["low"] <= router["accuracy"]["value"] <= router["accuracy"]["high"]


def test_evaluate_reads_conversations_and_tells_what_the_context_is_worth(run_command, trained, root: Path) -> None:
    conversations = root / "data" / "conversations.csv"
    code, out, _ = run_command("evaluate", "--model", trained[0], "--conversations", conversations)
    assert code == 0
    assert "without context" in out
    assert [line.split()[:2] for line in out.splitlines()[-3:]] == [
        ["first", "turn"],
        ["follow-up", "118"],
        ["short", "follow-up"],
    ]


@pytest.mark.parametrize("given", [[], ["--prompts", "a.csv", "--conversations", "b.csv"]], ids=["neither", "both"])
def test_evaluate_wants_prompts_or_conversations(run_command, given: list[str]) -> None:
    code, _, err = run_command("evaluate", *given)
    assert (code, "give one of --prompts, --conversations and --benchmark" in err) == (2, True)


def test_evaluate_writes_json_markdown_and_a_picture(run_command, trained, small_files, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report"
    code, told, errors = run_command("evaluate", "--prompts", small_files[0], "--model", trained[0], "--out", out)
    assert (code, errors) == (0, "")
    paths = [out / f"evaluation.{ending}" for ending in ("json", "md", "png")]
    assert told.splitlines()[-3:] == [str(path) for path in paths]
    assert sorted(out.iterdir()) == paths
    said = json.loads(paths[0].read_text(encoding="utf-8"))
    assert [sum(row) for row in said["confusion"]] == [task["n"] for task in said["tasks"]] == [15, 15, 15]
    report = paths[1].read_text(encoding="utf-8")
    assert "# Evaluation: prompts.csv" in report
    for task in said["tasks"]:
        assert f"| {task['task']} | 15 | {task['precision']['value']:.3f} [" in report
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_check_data_tells_the_mix_and_writes_the_rows_to_look_at(
    run_command, tmp_path: Path, small, encoder_folder: Path, write_csv
) -> None:
    first = small.prompts[0] | {"kind": "bugs", "style": "typed|two"}
    prompts = write_csv(tmp_path / "p.csv", [*small.prompts, first, first | {"task": "math"}])
    out = tmp_path / "look.csv"
    code, told, errors = run_command("check-data", prompts, "--out", out, "--encoder", encoder_folder, "--kinds")
    assert (code, errors) == (0, "")
    lines = told.splitlines()
    assert lines[0] == f"{prompts}: 47 prompts"
    for start in (
        "coding              16 ",
        "thin: ethics has 0 prompts",
        "typed      ",
        "coding, 2 kinds: not named 15, bugs 1",
    ):
        assert any(line.startswith(start) for line in lines), start
    assert [line.split()[-1] for line in lines if line.startswith(("duplicate", "conflicting labels"))] == ["1", "1"]
    rows = out.read_text(encoding="utf-8").splitlines()
    assert rows[1].startswith("duplicate,47,coding,,1.000,2,")
    assert rows[2].startswith("conflicting labels,48,math,,1.000,2,")
    assert lines[-1].startswith(f"{out}: ")


def test_check_data_of_clean_and_few_prompts_finds_nothing(
    run_command, tmp_path: Path, small, encoder_folder: Path, write_csv
) -> None:
    prompts = write_csv(tmp_path / "p.csv", small.prompts[:3])
    code, told, _ = run_command("check-data", prompts, "--encoder", encoder_folder)
    assert (code, told.splitlines()[-1]) == (0, "nothing to look at")


def test_published_makes_the_repositorys_benchmark(run_command, tmp_path: Path, root: Path) -> None:
    folder, out = root / "data" / "published", tmp_path / "b.csv"
    code, told, _ = run_command(
        "published", "--figures", folder / "figures.csv", "--models", folder / "models.csv", "--out", out
    )
    assert (code, told) == (0, f"{out}: {len(read_benchmark(out).results)} rows\n")
    assert out.read_bytes() == (root / "data" / "benchmark.csv").read_bytes()


WRONG = {
    "no such prompts": (2, "evaluate --prompts {none}", "cannot be read: No such file"),
    "bad prompts": (2, "train --prompts {b} --benchmark {b} --out {new} --encoder {e}", "columns ['prompt'] are missing"),
    "no encoder": (2, "train --prompts {p} --benchmark {b} --out {new} --encoder {none}", "no encoder folder"),
    "out is a file": (2, "train --prompts {p} --benchmark {b} --out {p} --encoder {e}", "is not a model folder"),
    "out is below a file": (2, "train --prompts {p} --benchmark {b} --out {p}/new --encoder {e} --jobs 1", "{p}"),
    "no model folder": (4, "evaluate --prompts {p} --model {none}", "is no folder"),
    "a broken model folder": (4, "evaluate --prompts {p} --model {e}", "lacks manifest.json"),
    "unknown breakdown": (2, "evaluate --prompts {p} --by mood", "'mood' is not one of 'task', 'source'"),
    "no such figures": (2, "published --figures {none} --models {none} --out {new}", "cannot be read"),
    "published into no folder": (2, "published --figures {figures} --models {models} --out {none}/b.csv", "b.csv"),
    "unknown reference": (2, "published --figures {figures} --models {models} --out {new} --reference hal", "'hal'"),
    "an encoder that exists": (2, "encoder any --out {e}", "exists already"),
    "unknown option": (2, "train --nonsense", "No such option"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_told_on_standard_error_with_its_exit_code(
    run_command, tmp_path: Path, root: Path, small_files, encoder_folder: Path, case: str
) -> None:
    expected, command, told = WRONG[case]
    places = {
        "p": small_files[0], "b": small_files[1], "e": encoder_folder, "none": tmp_path / "none", "new": tmp_path / "new",
        "figures": root / "data" / "published" / "figures.csv", "models": root / "data" / "published" / "models.csv",
    }  # fmt: skip
    code, out, errors = run_command(*(part.format(**places) for part in command.split()))
    assert code == expected
    assert told.format(**places) in errors
    assert out == ""
    assert "Traceback" not in errors
    assert not (tmp_path / "new").exists()


def test_a_missing_extra_is_told_with_the_command_that_installs_it(
    run_command, small_files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "training.pipeline", None)
    code, _, errors = run_command("evaluate", "--prompts", small_files[0])
    assert code == 2
    assert errors.rstrip().endswith("pip install 'contextual-llm-router[train,plots]'")
