import csv
from pathlib import Path

import numpy as np
import pytest

from training.data.table import DatasetError
from training.measure.propose import Proposal, propose

TASKS = ("math", "qa")


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def predict(texts: object) -> np.ndarray:
    return np.array([[1.0, 0.0] if "sum" in text else [0.0, 1.0] for text in texts])  # type: ignore[attr-defined]


def ask(folder: Path, **options: object) -> Proposal:
    scores = [
        {"prompt": f"{task} {i}", "task": task, "model": model, "score": i % 2, "cost_usd": 0.001}
        for task in TASKS
        for i in range(8)
        for model in ("a", "b")
    ]
    pool = [{"prompt": f"sum {i}", "expected": i, "grader": "number"} for i in range(30)]
    pool += [{"prompt": "math 1", "expected": 1, "grader": "number"}, {"prompt": "who", "expected": "x", "grader": "exact"}]
    given = {"prompts": write(folder / "pool.csv", pool), "log": None, "models": None, "budget_usd": 0.03}
    return propose(
        write(folder / "known.csv", scores),
        tasks=TASKS,
        predict=predict,
        usd_per_point=[0.001],
        horizon=1e6,
        seed=0,
        **(given | options),  # type: ignore[arg-type]
    )


def test_pairs_have_the_columns_of_their_prompts_and_keep_within_the_budget(tmp_path: Path) -> None:
    proposal = ask(tmp_path)
    assert proposal.rows
    assert proposal.header == ("prompt", "task", "benchmark", "model", "expected_cost_usd", "expected", "grader")
    assert sum(float(row["expected_cost_usd"]) for row in proposal.rows) <= 0.03
    for row in proposal.rows:
        assert row["grader"] == "number"
        assert row["task"] == "math"  # predicted, because the pool names no task
        assert row["prompt"] != "math 1"  # both models have a score of it
    assert len({(row["prompt"], row["model"]) for row in proposal.rows}) == len(proposal.rows)


def test_only_the_models_that_can_be_asked_are_measured(tmp_path: Path) -> None:
    assert {row["model"] for row in ask(tmp_path, models={"b", "unknown"}).rows} == {"b"}


def test_a_new_model_is_measured_before_models_that_are_known(tmp_path: Path) -> None:
    # Of the known models one is best on all prompts. The new one costs as much and may be better.
    scores = [
        {"prompt": f"{task} {i}", "task": task, "model": model, "score": score, "cost_usd": 0.001}
        for task in TASKS
        for i in range(60)
        for model, score in (("a", float(i % 3 == 0)), ("b", float(i % 3 > 0)))
    ]
    prices = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1}
    scores = [row | dict.fromkeys(prices, "") for row in scores] + [{"model": "new"} | prices]
    pool = write(tmp_path / "ask.csv", [{"prompt": f"sum {i}"} for i in range(60)])
    known = write(tmp_path / "known.csv", scores)
    proposal = propose(
        known, prompts=pool, log=None, models=None, tasks=TASKS, predict=predict, budget_usd=0.02, usd_per_point=[0.001],
        horizon=1e6, seed=0,
    )  # fmt: skip
    assert proposal.rows
    assert {row["model"] for row in proposal.rows} == {"new"}


def test_the_log_decides_which_tasks_count(tmp_path: Path) -> None:
    pool = write(tmp_path / "both.csv", [{"prompt": f"{kind} {i}"} for kind in ("sum", "who") for i in range(40)])
    found = {}
    for word, task in (("sum", "math"), ("who", "qa")):
        (tmp_path / f"{word}.txt").write_text(f"{word} is it\n")
        rows = ask(tmp_path, prompts=pool, log=tmp_path / f"{word}.txt").rows
        found[task] = sum(row["task"] == task for row in rows) / len(rows)
    assert min(found.values()) > 0.7


def test_a_benchmark_without_prompts_needs_a_file_of_them(tmp_path: Path) -> None:
    known = write(tmp_path / "sums.csv", [{"model": "a", "task": "qa", "score": 0.5, "prompt": ""}])
    with pytest.raises(DatasetError, match="must have prompts that can be graded, found none; name a file with --prompts"):
        propose(
            known, prompts=None, log=None, models=None, tasks=TASKS, predict=predict, budget_usd=1, usd_per_point=[1],
            horizon=1, seed=0,
        )  # fmt: skip
