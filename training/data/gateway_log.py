"""A log of the gateway in, its requests out, each with its feedback."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from router.classify.text import parse_prompt
from router.errors import InputError
from training.data.problems import DatasetError
from training.data.text_file import open_text

DATABASES = (".sqlite", ".db")
# Columns of a benchmark that a log can fill.
COLUMNS = ("model", "prompt", "score", "cost_usd", "latency_s", "input_tokens", "output_tokens", "source")


def is_gateway_log(path: Path) -> bool:
    """Return whether a file is a log of the gateway, by its name and the first line."""
    if path.suffix in DATABASES:
        return True
    if path.suffix != ".jsonl":
        return False
    with open_text(path, wanted="JSON Lines") as lines:
        return is_record(_read_object(next(lines, "")))


def is_record(value: object) -> bool:
    """Return whether a value is a request or a feedback in a log of the gateway."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("id"), str)
        and ("protocol" in value or set(value) == {"id", "score"})
    )


def read_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each request with its number. Feedback to it stands in its field `score`.

    Args:
        path: The log.

    Raises:
        DatasetError: If the file is no log of the gateway.
    """
    if path.suffix in DATABASES:
        yield from _read_database(path)
        return
    with open_text(path, wanted="JSON Lines") as lines:
        values = [(number, _read_object(line)) for number, line in enumerate(lines, start=1) if line.strip()]
    wrong = next((number for number, value in values if not is_record(value)), None)
    if wrong is not None:
        raise DatasetError(f"{path} line {wrong}: must be a record of the gateway's log; remove the line")
    scores = {value["id"]: value["score"] for _, value in values if "protocol" not in value}
    for number, value in values:
        if "protocol" in value:
            score = scores.get(value["id"])
            yield number, value if score is None else {**value, "score": score}


def read_results(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the answers that got feedback, as rows of a benchmark with the columns `COLUMNS`.

    Answers of a cascade are left out. Its later models only answer prompts that were hard for the first one. Their scores
    would say that they are worse than they are.

    Args:
        path: The log.

    Raises:
        DatasetError: If the log has no prompts, or no feedback.
    """
    found = False
    for number, record in read_records(path):
        if record.get("score") is None or record.get("cascade"):
            continue
        found = True
        values = [
            record.get("model"),
            read_prompt(path, number, record),
            record["score"],
            *(record.get(name) for name in ("cost_usd", "seconds", "input_tokens", "output_tokens")),
            "feedback",
        ]
        yield number, ["" if value is None else str(value) for value in values]
    if not found:
        raise DatasetError(
            f"{path} must have an answer with feedback outside a cascade, found none; send scores to /v1/feedback"
        )


def read_prompt(path: Path, number: int, record: dict[str, Any]) -> str:
    """Return the last turn of the user of a request.

    Raises:
        DatasetError: If the log holds no prompts.
    """
    if "messages" not in record:
        raise DatasetError(f"{path} line {number}: the log holds no prompts; set log = 'prompts' in the table [log]")
    try:
        return parse_prompt(record["messages"]).turns[0]
    except InputError as error:
        raise DatasetError(f"{path} line {number}: {error}") from error


def _read_database(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT record FROM log ORDER BY at").fetchall()
    except sqlite3.Error as error:
        raise DatasetError(f"{path} cannot be read as a log of the gateway: {error}; name its file") from error
    for number, (record,) in enumerate(rows, start=1):
        yield number, json.loads(record)


def _read_object(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
