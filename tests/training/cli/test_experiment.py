import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a log as the gateway does."""
    if path.suffix == ".jsonl":
        lines = [{name: value for name, value in row.items() if name != "score"} for row in rows]
        lines += [{"id": row["id"], "score": row["score"]} for row in rows if "score" in row]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE log (id TEXT PRIMARY KEY, at REAL NOT NULL, record TEXT NOT NULL)")
        database.executemany("INSERT INTO log VALUES (?, ?, ?)", [(r["id"], r["at"], json.dumps(r)) for r in rows])
    database.close()
    return path


def record(number: int, score: float | None, **fields: Any) -> dict[str, Any]:
    row = {
        "id": f"req-{number}",
        "at": 1_780_000_000.0 + 600 * number,
        "protocol": "chat",
        "model": "gpt-5.5",
        "task": "math",
        "strategy": "contextual",
        "code": "",
        "seconds": 1.5,
        "cost_usd": 0.002,
        "experiment": None,
        "shadow_of": "",
    }
    return row | fields | ({} if score is None else {"score": score})


def draw_test(n: int) -> list[dict[str, Any]]:
    rng = random.Random(0)  # noqa: S311 - no secret depends on it
    rows = []
    for number in range(n):
        arm = rng.choice(["control", "cheap"])
        assignment = {"experiment": "dial", "arm": arm, "by": "key", "unit": f"{arm}-{rng.randrange(10**6)}"}
        score = float(rng.random() < (0.5 if arm == "control" else 0.8))
        rows.append(record(number, score, experiment=assignment))
    return rows


@pytest.mark.parametrize("name", ["log.jsonl", "log.sqlite"])
def test_a_test_is_reported_with_its_verdict(run_command, tmp_path: Path, model_folder: Path, name: str) -> None:
    log = write(tmp_path / name, draw_test(1200))
    out = tmp_path / "out"
    code, output, _ = run_command("experiment", log, "--model", model_folder, "--out", out)
    assert code == 0
    assert "dial: 1,200 requests by key" in output
    assert "Ship cheap: its utility is lower by 0.01 at most." in output
    assert "no model got worse" in output
    assert (out / "report.txt").read_text() == output
    figures = json.loads((out / "report.json").read_text())
    assert figures["tests"][0]["effects"][0]["decision"] == "ship"
    printed = json.loads(run_command("experiment", log, "--usd-per-point", "0.001", "--json")[1])
    assert printed["usd_per_point"] == 0.001


def test_too_few_answers_are_said_to_be_too_few(run_command, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", draw_test(20))
    output = run_command("experiment", log, "--usd-per-point", "0.001")[1]
    assert "Continue with cheap: there are too few graded answers for an interval; each side needs 100." in output
    assert "Infinity" not in run_command("experiment", log, "--usd-per-point", "0.001", "--json")[1]


def test_shadows_are_compared_in_pairs_and_a_model_that_got_worse_is_named(run_command, tmp_path: Path) -> None:
    rng = random.Random(0)  # noqa: S311 - no secret depends on it
    rows = []
    for number in range(2500):
        rows.append(record(number, float(rng.random() < (0.9 if number < 2000 else 0.3))))
        shadow = {"id": f"req-{number}-shadow", "model": "gpt-4.1-mini", "shadow_of": f"req-{number}", "cost_usd": 0.001}
        rows.append(record(number, 0.7, **shadow))
    output = run_command("experiment", write(tmp_path / "log.jsonl", rows), "--usd-per-point", "0.001")[1]
    assert "shadow: pairs of answers to the same request" in output
    assert "gpt-4.1-mini minus served, 95 % confidence sequences, n 2,500:" in output
    # 2,000 requests, one each ten minutes from 28 May 2026 20:26, are 13 days and 21 hours.
    assert "gpt-5.5 got worse at math since 2026-06-11 1" in output
    assert "gpt-4.1-mini got worse" not in output


def test_a_file_that_is_no_log_is_refused(run_command, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("prompt\nhello\n")
    code, _, error = run_command("experiment", tmp_path / "log.csv")
    assert (code, "must be a log of the gateway, .jsonl or .sqlite" in error) == (2, True)
