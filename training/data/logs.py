"""A prompt log in (CSV, JSON Lines or plain text), its prompts with their row numbers out."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.classify.text import Prompt, parse_prompt
from router.errors import InputError
from training.data.gateway_log import is_gateway_log, read_records
from training.data.table import DatasetError, Problems, read_table
from training.data.text_file import check_encoding, open_text

_SHOWN_CHARS = 80
_SHOWN_KEYS = 5
_JSON_LINES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedPrompt:
    """One entry of a log.

    Attributes:
        prompt: The prompt as a router receives it: a text or chat messages.
        text: The text that is classified: the last user turn. Only head and tail are kept of a long one.
        row: Number of its row or line in the file. The header of a CSV file is row 1.
    """

    prompt: Prompt
    text: str
    row: int


def read_log(path: Path) -> tuple[LoggedPrompt, ...]:
    """Read all prompts of a log in order, including repeated ones.

    The end of the name decides the format. A `.gz` after it does not count. Files are UTF-8 or UTF-16, and may be gzipped.

    - `.jsonl`, `.ndjson` or `.json`: each line is a JSON string, or an object with `prompt` (a string) or `messages` (in the
      OpenAI form). A log of the gateway is one.
    - `.sqlite` or `.db`: a log of the gateway.
    - `.txt`: each line is a prompt. Empty lines are skipped.
    - Any other name: a CSV file with a column `prompt`, as for `training.data.table.open_table`.

    Args:
        path: The file.

    Raises:
        DatasetError: If the file cannot be read or has no prompt. Also if rows break a rule: it lists at most 20 of them,
            then the number of further ones.
    """
    rows, parse = _open_log(path)
    problems = Problems(path)
    entries = []
    for row, raw in rows:
        try:
            entries.append(_make_entry(row, parse(raw)))
        except InputError as error:
            problems.add(row, str(error))  # the messages of InputError never contain a prompt
    problems.raise_any()
    if not entries:
        raise DatasetError(f"{path} must have at least one prompt, found none; add some")
    return tuple(entries)


def count_distinct(
    entries: Sequence[LoggedPrompt], key: Callable[[LoggedPrompt], Hashable]
) -> list[tuple[LoggedPrompt, int]]:
    """Return the first entry of each key with the number of its entries, in order of first appearance.

    Args:
        entries: The entries to count.
        key: Returns the same value for entries that count as equal.
    """
    first: dict[Hashable, LoggedPrompt] = {}
    counts: dict[Hashable, int] = {}
    for entry in entries:
        value = key(entry)
        first.setdefault(value, entry)
        counts[value] = counts.get(value, 0) + 1
    return [(entry, counts[value]) for value, entry in first.items()]


def whole_prompt(entry: LoggedPrompt) -> str:
    """Return a key for `count_distinct` that is equal if all turns are equal."""
    # Chat messages are lists of dicts, which cannot be hashed.
    return json.dumps(entry.prompt, sort_keys=True)


def shorten(text: str) -> str:
    """Return a text as one line of at most 80 characters that is safe to print on a terminal.

    Control characters become spaces, because a terminal would obey them.
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 3].rstrip()}..."


def _make_entry(row: int, prompt: Any) -> LoggedPrompt:
    if isinstance(prompt, str) and not prompt.strip():
        raise InputError("prompt must not be empty; fill it in or remove the row")
    # parse_prompt returns the newest turn first.
    return LoggedPrompt(prompt=prompt, text=parse_prompt(prompt).turns[0], row=row)


def _open_log(path: Path) -> tuple[Iterable[tuple[int, Any]], Callable[[Any], Any]]:
    """Return the numbered raw rows of a file, and the function that turns a raw row into a prompt."""
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if is_gateway_log(path):
        # A request that could not be read has no messages. A shadow repeats the prompt of a request.
        read = read_records(path)
        kept = ((row, record) for row, record in read if record.get("messages") != [] and not record.get("shadow_of"))
        return kept, _parse_record
    if suffix in _JSON_LINES:
        return _read_lines(path, wanted="JSON Lines with 'prompt' or 'messages'"), _parse_json
    if suffix == ".txt":
        return _read_lines(path, wanted="a text with a prompt in each line"), str
    return ((row, record["prompt"]) for row, record in read_table(path, required=("prompt",))), str


def _read_lines(path: Path, *, wanted: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank with its number, which starts at 1."""
    with open_text(path, wanted=wanted, newline="\n") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                check_encoding(path, number, [line])
                yield number, line.rstrip("\r\n")


def _parse_record(record: dict[str, Any]) -> Any:
    if "messages" not in record:
        raise InputError("the log holds no prompts; set log = 'prompts' in the table [log] of the gateway's configuration")
    return record["messages"]


def _parse_json(line: str) -> Any:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:  # deep nesting exhausts the stack of the JSON parser
        raise InputError(f"must be JSON, one value per line ({error}); correct it") from error
    if isinstance(value, list) and not all(isinstance(item, dict) and "role" in item for item in value):
        raise InputError("a list must hold the messages of one prompt, got other values; write one prompt per line")
    if not isinstance(value, dict):
        return value
    present = [name for name in ("messages", "prompt") if name in value]
    if not present:
        raise InputError(f"an object must have 'prompt' or 'messages', got {sorted(value)[:_SHOWN_KEYS]}; rename a key")
    return value[present[0]]
