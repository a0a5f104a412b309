"""Read a log of prompts: CSV, JSON Lines, or a text with a prompt a line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from router.errors import InputError
from router.text import Prompt, read_prompt
from training.datasets import DatasetError, read_table

_MAX_TOLD = 20
_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedPrompt:
    """One entry of a log.

    Attributes:
        prompt: What a router is given: a text, or chat messages.
        text: What decides: the user's last turn, of a long one its head and tail.
        row: Its row or line in the file; the header of a CSV file is row 1.
    """

    prompt: Prompt
    text: str
    row: int


def read_log(path: Path) -> tuple[LoggedPrompt, ...]:
    """Read prompts, repeated ones as often as they stand there.

    Args:
        path: `.jsonl`: a JSON string a line, or an object with `prompt` (a string) or `messages` (in the OpenAI form).
            `.txt`: a prompt a line; empty lines are skipped. Anything else: a CSV file with a column `prompt`, as
            `training.datasets.read_table` takes it. All in UTF-8, gzipped if the name ends in `.gz`.

    Raises:
        DatasetError: If the file cannot be read, or with the rows that break a rule: at most 20, then a count.
    """
    rows, parse = _open_log(path)
    entries, wrong = [], []
    for row, raw in rows:
        try:
            entries.append(_make_entry(row, parse(raw)))
        except InputError as error:
            wrong.append(f"{path} row {row}: {error}")
    if wrong:
        more = [f"… and {len(wrong) - _MAX_TOLD} more"] if len(wrong) > _MAX_TOLD else []
        raise DatasetError("\n".join([*wrong[:_MAX_TOLD], *more]))
    if not entries:
        raise DatasetError(f"{path} must have at least one prompt; add some")
    return tuple(entries)


def count_distinct(
    entries: Sequence[LoggedPrompt], key: Callable[[LoggedPrompt], Hashable]
) -> list[tuple[LoggedPrompt, int]]:
    """Return the first entry of each key, in order of appearance, with how often the key occurs."""
    first: dict[Hashable, LoggedPrompt] = {}
    times: dict[Hashable, int] = {}
    for entry in entries:
        named = key(entry)
        first.setdefault(named, entry)
        times[named] = times.get(named, 0) + 1
    return [(entry, times[named]) for named, entry in first.items()]


def whole_prompt(entry: LoggedPrompt) -> str:
    """Return a key that is the same for entries that are the same in every turn."""
    return json.dumps(entry.prompt, sort_keys=True)


def shorten(text: str) -> str:
    """Return a text as one line of at most 80 characters that a terminal can show; what it would obey becomes a space."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= _SHOWN_CHARS else f"{line[: _SHOWN_CHARS - 1].rstrip()}…"


def _make_entry(row: int, prompt: Any) -> LoggedPrompt:
    if isinstance(prompt, str) and not prompt.strip():
        raise InputError("prompt must not be empty; fill it in or remove the row")
    return LoggedPrompt(prompt=prompt, text=read_prompt(prompt).turns[0], row=row)


def _open_log(path: Path) -> tuple[Iterable[tuple[int, str]], Callable[[str], Any]]:
    """Return the rows of a file with their numbers, and what makes a prompt of one."""
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix
    if suffix == ".jsonl":
        return _read_lines(path), _parse_json
    if suffix == ".txt":
        return _read_lines(path), str
    return ((row, record["prompt"]) for row, record in read_table(path, required=("prompt",))), str


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank with its number."""
    number = 0
    try:
        with _open_lines(path) as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} row {number}: must be UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}; name an existing file") from error
    except (EOFError, zlib.error) as error:
        raise DatasetError(f"{path} is a damaged or truncated gzip file; copy it again") from error


def _open_lines(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]  # one that reads bytes


def _parse_json(line: str) -> Any:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"must be JSON, a value a line ({error}); correct it") from error
    if not isinstance(value, dict):
        return value
    held = [name for name in ("messages", "prompt") if name in value]
    if not held:
        raise InputError(f"an object must have 'prompt' or 'messages', has {sorted(value)[:5]}; name one so")
    return value[held[0]]
