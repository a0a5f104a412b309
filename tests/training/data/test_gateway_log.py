import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from training.data.benchmark import read_benchmark
from training.data.logs import read_log
from training.data.table import DatasetError

RECORDS: list[dict[str, Any]] = [
    {
        "id": f"req-{n}",
        "at": 1.0 + n,
        "protocol": "chat",
        "model": model,
        "status": 200,
        "seconds": 0.5,
        "cost_usd": 0.001,
        "input_tokens": 9,
        "output_tokens": 90,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"prove lemma {n}"}],
    }
    for n, model in enumerate(["a", "b", "a"])
]
UNREAD = {"id": "req-9", "at": 0.0, "protocol": "chat", "model": "", "status": 400, "messages": []}
SCORES = {"req-0": 1.0, "req-1": 0.25}


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write a log as the gateway does."""
    if path.suffix == ".jsonl":
        lines = [*records, *({"id": id_, "score": score} for id_, score in SCORES.items())]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE log (id TEXT PRIMARY KEY, at REAL NOT NULL, record TEXT NOT NULL)")
        for record in records:
            scored = record | ({"score": SCORES[record["id"]]} if record["id"] in SCORES else {})
            database.execute("INSERT INTO log VALUES (?, ?, ?)", (record["id"], record["at"], json.dumps(scored)))
    database.close()
    return path


@pytest.mark.parametrize("name", ["log.jsonl", "log.sqlite"])
def test_prompts_are_read_from_a_log_of_the_gateway(tmp_path: Path, name: str) -> None:
    entries = read_log(write(tmp_path / name, [*RECORDS, UNREAD]))
    assert [entry.text for entry in entries] == [f"prove lemma {n}" for n in range(3)]
    assert entries[0].prompt == RECORDS[0]["messages"]


@pytest.mark.parametrize("name", ["log.jsonl", "log.sqlite"])
def test_feedback_is_read_as_results_of_a_benchmark(tmp_path: Path, name: str) -> None:
    results = read_benchmark(write(tmp_path / name, RECORDS)).results
    assert (results.models, list(results.score), results.prompts) == (
        ("a", "b"),
        [1.0, 0.25],
        ("prove lemma 0", "prove lemma 1"),
    )


def test_answers_of_a_cascade_are_no_results(tmp_path: Path) -> None:
    # The stronger model of a cascade only answers what was hard for the first one.
    records = [RECORDS[0] | {"cascade": None}, RECORDS[1] | {"cascade": ["a", "b"]}, RECORDS[2]]
    assert read_benchmark(write(tmp_path / "log.jsonl", records)).results.models == ("a",)


@pytest.mark.parametrize("name", ["log.jsonl", "log.sqlite"])
def test_a_log_without_prompts_says_so(tmp_path: Path, name: str) -> None:
    bare = [{key: value for key, value in record.items() if key != "messages"} for record in RECORDS]
    path = write(tmp_path / name, bare)
    with pytest.raises(DatasetError, match="the log holds no prompts"):
        read_log(path)
    with pytest.raises(DatasetError, match="the log holds no prompts"):
        read_benchmark(path)


def test_a_log_without_feedback_is_no_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    with pytest.raises(DatasetError, match="send scores to /v1/feedback"):
        read_benchmark(path)


@pytest.mark.parametrize(
    ("name", "content"), [("log.jsonl", '{"id": "x", "protocol": "chat"}\nhello\n'), ("log.db", "hello")]
)
def test_a_damaged_log_is_refused(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DatasetError, match="log"):
        read_benchmark(path)
