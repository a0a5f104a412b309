import csv
import json
import re
from pathlib import Path


def test_diff_reports_the_changes_by_a_new_folder(
    *, run_command, log: Path, trained, train_small, small, write_csv, tmp_path: Path
) -> None:
    more = [
        {"model": "newcomer", "task": task, "score": 0.99, "benchmark": "made up", "n": 1000}
        for task in ("coding", "math", "translation")
    ]
    train_small(tmp_path / "new", benchmark=write_csv(tmp_path / "b.csv", [*small.benchmark, *more]))
    code, output, _ = run_command(
        "diff", trained[0], tmp_path / "new", "--prompts", log, "--prefer", "quality", "--out", tmp_path / "c.csv"
    )
    assert code == 0
    assert output.startswith("32 prompts (32 different), seed 0; 95 % bootstrap intervals\nmodels added: newcomer\n")
    assert "the model changes for 100.0% [100.0%, 100.0%], the task for 0.0% [0.0%, 0.0%]" in output
    assert re.search(r"expected quality 0\.\d+ -> 0\.9\d+ \(\+0\.\d+ \[", output)
    assert "the 20 prompts with the largest change in expected utility" in output
    assert len(re.findall(r"^row \d+, \+0\.\d+: ", output, re.MULTILINE)) == 20
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["new_model"] for row in csv.DictReader(stream)} == {"newcomer"}
    assert "c.csv: 32 prompts" in output


def test_a_folder_does_not_differ_from_itself(run_command, log: Path, trained) -> None:
    code, output, _ = run_command("diff", trained[0], trained[0], "--prompts", log, "--json")
    figures = json.loads(output)
    assert (code, figures["n"], figures["moved"]["value"], figures["moves"]) == (0, 32, 0, [])


def test_diff_takes_the_options_of_a_decision(run_command, log: Path, trained) -> None:
    same = ("diff", trained[0], trained[0], "--prompts", log, "--json")
    _, output, _ = run_command(*same, "--allowed", "coder", "--prefer", "cheap")
    assert json.loads(output)["n"] == 32
    code, _, error = run_command(*same, "--quality-floor", 2)
    assert (code, "quality_floor must be a number" in error) == (2, True)
