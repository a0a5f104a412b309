import json
import re
import sys
from pathlib import Path

import pytest

from tests.training.synthetic import make_benchmark


@pytest.mark.parametrize(
    ("by", "expected"),
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
def test_evaluate_prints_a_table(run_command, trained, small_files, by: str | None, expected: list[str]) -> None:
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
    assert [start for start in expected if not any(line.startswith(start) for line in lines[9:])] == []
    assert bool(expected) == (len(lines) > 9)


def test_evaluate_prints_json_and_lenient_accuracy_if_other_tasks_are_accepted(
    run_command, trained, small, tmp_path, write_csv
) -> None:
    prompts = write_csv(tmp_path / "p.csv", [row | {"also": "coding|math|translation"} for row in small.prompts])
    _, table, _ = run_command("evaluate", "--prompts", prompts, "--model", trained[0])
    assert "lenient accuracy" in table
    code, output, errors = run_command("evaluate", "--prompts", prompts, "--model", trained[0], "--json", "--seed", 5)
    assert (code, errors) == (0, "")
    figures = json.loads(output)
    assert (figures["seed"], figures["prompts"]) == (5, "p.csv")
    (router,) = figures["qualities"]
    assert (router["name"], router["n"], router["lenient"]["value"]) == ("router", 45, 1.0)
    assert router["accuracy"]["low"] <= router["accuracy"]["value"] <= router["accuracy"]["high"]


def test_evaluate_reads_conversations_and_measures_the_gain_by_context(run_command, trained, root: Path) -> None:
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
def test_evaluate_needs_exactly_one_file(run_command, given: list[str]) -> None:
    code, _, err = run_command("evaluate", *given)
    assert (code, "give one of --prompts, --conversations and --benchmark" in err) == (2, True)


def test_evaluate_writes_json_markdown_and_a_picture(run_command, trained, small_files, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report"
    code, output, errors = run_command("evaluate", "--prompts", small_files[0], "--model", trained[0], "--out", out)
    assert (code, errors) == (0, "")
    paths = [out / f"evaluation.{ending}" for ending in ("json", "md", "png")]
    assert output.splitlines()[-3:] == [str(path) for path in paths]
    assert sorted(out.iterdir()) == paths
    figures = json.loads(paths[0].read_text(encoding="utf-8"))
    assert [sum(row) for row in figures["confusion"]] == [task["n"] for task in figures["tasks"]] == [15, 15, 15]
    report = paths[1].read_text(encoding="utf-8")
    assert "# Evaluation: prompts.csv" in report
    for task in figures["tasks"]:
        assert f"| {task['task']} | 15 | {task['precision']['value']:.3f} [" in report
    assert paths[2].read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def benchmark(tmp_path: Path, write_csv) -> Path:
    made = make_benchmark(80)
    rows = [
        {"model": row.model, "prompt": row.prompt, "task": row.task, "score": row.score, "cost_usd": row.cost_usd}
        for row in made.benchmark.results
    ]
    return write_csv(tmp_path / "benchmark.csv", rows)


def test_evaluate_reports_whether_routing_pays(run_command, benchmark: Path, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    code, output, _ = run_command("evaluate", "--benchmark", benchmark, "--model", model_folder, "--out", out)
    assert code == 0
    assert output.startswith(("Do not route: strong alone", "Routing "))
    for name in ("router", "zero router", "task table", "kNN-40", "ridge", "round robin", "random", "oracle"):
        assert re.search(rf"^{name} +0\.\d+ \[", output, re.MULTILINE)
    assert "n = 80, left out 0, seed 0; intervals: 95 %." in output
    assert "the folder lacks middle, strong, weak." in output.replace("\n", " ")
    names = {"routing.json", "routing.md", "routing.html"} | {
        f"routing-{name}.png" for name in ("curve", "differences", "regret", "dials")
    }
    assert {path.name for path in out.iterdir()} == names
    figures = json.loads((out / "routing.json").read_text())
    assert figures["n"] == 80
    assert figures["verdict"]["sentence"] in output.replace("\n", " ")


def test_evaluate_accepts_a_benchmark_only_alone(run_command, benchmark: Path) -> None:
    for arguments in (["--benchmark", benchmark, "--prompts", benchmark], [], ["--benchmark", benchmark, "--by", "task"]):
        code, _, error = run_command("evaluate", *arguments)
        assert code == 2
        assert "--benchmark" in error or "--by" in error


def test_without_matplotlib_evaluate_fails_before_the_work(
    run_command, benchmark: Path, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, error = run_command("evaluate", "--benchmark", benchmark, "--out", tmp_path / "report")
    assert (code, (tmp_path / "report").exists()) == (2, False)
    assert "pip install 'contextual-llm-router[train,plots]'" in error


def test_evaluate_prints_what_looks_wrong_in_its_files(*, run_command, trained, small, tmp_path: Path, write_csv) -> None:
    prompts = write_csv(tmp_path / "p.csv", [*small.prompts, small.prompts[0]])
    note = "p.csv: 1 repeated rows dropped, the first is row 47, which repeats row 2; remove them"
    same = ("evaluate", "--prompts", prompts, "--train-on", prompts, "--model", trained[0])
    _, output, _ = run_command(*same, "--out", tmp_path / "report")
    assert output.splitlines()[1] == f"note: {note}"
    assert output.count("repeated rows") == 1
    assert f"- {note}\n" in (tmp_path / "report" / "evaluation.md").read_text()
    assert json.loads(run_command(*same, "--json")[1])["notes"] == [note]


def test_evaluate_needs_prompts_with_tasks_of_the_folder(*, run_command, trained, tmp_path: Path, write_csv) -> None:
    prompts = write_csv(tmp_path / "p.csv", [{"prompt": "cancel my order", "task": "refunds"}])
    code, _, error = run_command("evaluate", "--prompts", prompts, "--model", trained[0], "--own-tasks")
    assert code == 2
    assert "(coding, math, translation), got only refunds; name the folder that was trained on these tasks" in error


def test_evaluate_notes_repeated_rows_of_a_benchmark(*, run_command, benchmark: Path, model_folder: Path) -> None:
    lines = benchmark.read_text().splitlines()
    benchmark.write_text("\n".join([*lines, lines[1]]) + "\n")
    _, output, _ = run_command("evaluate", "--benchmark", benchmark, "--model", model_folder, "--json")
    figures = json.loads(output)
    row = len(lines) + 1
    assert figures["n"] == 80
    assert figures["notes"][2:] == [
        f"benchmark.csv: 1 repeated rows, the first is row {row}, which repeats row 2; they count as one row; remove them"
    ]
