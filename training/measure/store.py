"""Paid calls in, their answers out again, from a file that survives a kill."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from router.errors import InputError

_TABLE = (
    "CREATE TABLE IF NOT EXISTS calls "
    "(id INTEGER PRIMARY KEY, key TEXT NOT NULL, model TEXT NOT NULL, usd REAL NOT NULL, answer TEXT)"
)
_INDEX = "CREATE INDEX IF NOT EXISTS calls_key ON calls (key) WHERE answer IS NOT NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of a model, as it was paid.

    Attributes:
        text: The text.
        finish_reason: Why it ended, such as `stop` or `length`. None if the server did not say.
        cost_usd: Its cost in USD. None if unknown.
        input_tokens: Tokens of the prompt. None if unknown.
        output_tokens: Tokens of the answer. None if unknown.
        latency_s: Seconds from the request to the whole answer.
    """

    text: str
    finish_reason: str | None
    cost_usd: float | None
    input_tokens: int | None
    output_tokens: int | None
    latency_s: float

    def __repr__(self) -> str:
        return f"<Answer: {len(self.text)} characters>"


class AnswerStore:
    """All calls that were ever paid into one file, a SQLite database. Thread-safe. One process at a time.

    It holds prompts as hashes, and answers as they are. Only the user can read it. A call is written before it is made, with
    the most that it can cost, and again when it ends. So a call that was under way at a kill counts with that.

    Args:
        path: The file. It is created if needed.

    Raises:
        InputError: If another process uses the file, or it is something else.
    """

    def __init__(self, path: Path) -> None:
        try:
            # Created before SQLite opens it, because SQLite would let others read it.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            path.chmod(0o600)
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            # The lock is kept until the end. Two runs at once would pay for the same answers.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("BEGIN EXCLUSIVE")
            self._database.execute(_TABLE)
            self._database.execute(_INDEX)
            self._database.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"{path} cannot be used for answers: {error}; wait for the other run, or name another file with --answers"
            ) from error
        self._lock = threading.Lock()

    def find(self, key: str) -> Answer | None:
        """Return the answer of a call. None if it has none yet."""
        with self._lock:
            row = self._database.execute(
                "SELECT answer FROM calls WHERE key = ? AND answer IS NOT NULL ORDER BY id DESC", (key,)
            ).fetchone()
        return None if row is None else Answer(**json.loads(row[0]))

    def begin(self, key: str, model: str, most_usd: float) -> int:
        """Write a call that is about to be made, and return its number."""
        with self._lock:
            made = self._database.execute("INSERT INTO calls (key, model, usd) VALUES (?, ?, ?)", (key, model, most_usd))
            return int(made.lastrowid or 0)

    def end(self, number: int, usd: float, answer: Answer | None) -> None:
        """Write what a call has cost, and its answer if there is one."""
        text = None if answer is None else json.dumps(asdict(answer), ensure_ascii=False)
        with self._lock:
            self._database.execute("UPDATE calls SET usd = ?, answer = ? WHERE id = ?", (usd, text, number))

    def sum_usd(self) -> float:
        """Return the USD of all calls."""
        with self._lock:
            return float(self._database.execute("SELECT coalesce(sum(usd), 0) FROM calls").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
