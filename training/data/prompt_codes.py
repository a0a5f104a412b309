"""Prompt texts in, their codes out. The texts of a large table are in a temporary database."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from hashlib import blake2b
from typing import overload

from router.errors import InputError
from training.data.columns import explain_full_disk

# Bytes of prompts that are in memory while a table is read. The prompts of smaller tables never leave it.
KEPT_BYTES = 32_000_000
# Bytes that Python needs for a prompt beside its text: its place in two dicts, and its code.
_BYTES_BESIDE = 250
# Kilobytes of the database that are in memory. The minus sign says that the unit is not pages.
_CREATE = """
    PRAGMA cache_size = -8000;
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE prompts (code INTEGER PRIMARY KEY, digest BLOB UNIQUE, text BLOB, groups BLOB);
    BEGIN;
"""


class PromptCodes:
    """The code of each prompt, in the order of first appearance, and its group."""

    def __init__(self) -> None:
        # The latest prompts. Before the database is opened that is all of them, in the order of their codes.
        self._codes: dict[str, int] = {}
        self._groups: dict[int, str] = {}
        self._bytes = 0
        # The number of all prompts, and of those that are in the database: codes 0, 1, …
        self._count = self._stored = 0
        self._database: sqlite3.Connection | None = None

    def encode(self, prompt: str, group: str) -> int:
        """Return the code of a prompt, which is new if the prompt is new. Return −1 for an empty prompt.

        Args:
            prompt: The text. Empty for an aggregate.
            group: Its group. Empty if the row names none: any other row of the prompt may name it.

        Raises:
            InputError: If the prompt already has another group.
        """
        if not prompt:
            return -1
        code = self._codes.get(prompt)
        if code is None:
            code = self._recall(prompt)
        known = self._groups[code]
        if group and group != known:
            if known:
                raise InputError(
                    f"group of one prompt must be the same in all its rows, got {known!r} and {group!r}; correct one"
                )
            self._groups[code] = group
            if self._database and code < self._stored:
                self._database.execute("UPDATE prompts SET groups = ? WHERE code = ?", (_to_bytes(group), code))
        return code

    def finish(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return all prompts and the group of each, in the order of their codes. No prompt can be added after that."""
        if self._database is None:
            return tuple(self._codes), tuple(self._groups.values())
        self._spill(self._database)
        return _Stored(self._database, "text", self._count), _Stored(self._database, "groups", self._count)

    def _recall(self, prompt: str) -> int:
        """Return the code of a prompt that is not among the latest ones. It is among them afterwards."""
        if self._bytes > KEPT_BYTES:
            self._database = self._database or _open_database()
            self._spill(self._database)
        code, group = self._find(self._database, prompt) or (self._count, "")
        self._count = max(self._count, code + 1)
        self._codes[prompt], self._groups[code] = code, group
        self._bytes += sys.getsizeof(prompt) + _BYTES_BESIDE
        return code

    @staticmethod
    def _find(database: sqlite3.Connection | None, prompt: str) -> tuple[int, str] | None:
        """Return the code and the group of a prompt that is in the database."""
        if database is None:
            return None
        key = _digest(_to_bytes(prompt))
        found = database.execute("SELECT code, groups FROM prompts WHERE digest = ?", (key,)).fetchone()
        return found and (found[0], _from_bytes(found[1]))

    def _spill(self, database: sqlite3.Connection) -> None:
        """Write the new ones of the latest prompts to the database, and forget the latest prompts."""
        new = ((code, _to_bytes(prompt)) for prompt, code in self._codes.items() if code >= self._stored)
        rows = ((code, _digest(text), text, _to_bytes(self._groups[code])) for code, text in new)
        with explain_full_disk():
            database.executemany("INSERT INTO prompts VALUES (?, ?, ?, ?)", rows)
        self._codes, self._groups, self._bytes, self._stored = {}, {}, 0, self._count


class _Stored(Sequence[str]):
    """A column of the database of prompts."""

    def __init__(self, database: sqlite3.Connection, column: str, count: int) -> None:
        self._database, self._count = database, count
        self._select = f"SELECT {column} FROM prompts WHERE code = ?"  # noqa: S608 - a name from this module

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        code = range(self._count)[index]
        if isinstance(code, range):
            return tuple(self[i] for i in code)
        (text,) = self._database.execute(self._select, (code,)).fetchone()
        return _from_bytes(text)


def _open_database() -> sqlite3.Connection:
    """Return a database in a temporary file, which SQLite deletes with the connection."""
    # Results may be used in another thread than the one that read them.
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    database.executescript(_CREATE)
    return database


def _digest(text: bytes) -> bytes:
    """Return 16 bytes that no other text has."""
    return blake2b(text, digest_size=16).digest()


def _to_bytes(text: str) -> bytes:
    # Half of a surrogate pair is no valid Unicode, but a str may hold it.
    return text.encode("utf-8", "surrogatepass")


def _from_bytes(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")
