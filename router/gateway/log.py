"""Records of requests in, a log on disk out, which the commands of training read."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from router.config.schema import LogConfig
from router.errors import ConfigError, InputError

if TYPE_CHECKING:
    from router.gateway.record import Record

_log = logging.getLogger("contextual_llm_router")
_MB = 1_000_000
_DATABASES = (".sqlite", ".db")
# A request waits so long for a database that another process has locked.
_LOCKED_S, _MOST_WAITING = 0.05, 10_000
# At the end there are no more requests, so rows that wait have more time.
_CLOSING_S = 5.0
_TABLE = "CREATE TABLE IF NOT EXISTS log (id TEXT PRIMARY KEY, at REAL NOT NULL, record TEXT NOT NULL)"


class RequestLog(ABC):
    """A log of requests. Several processes of one machine may write it."""

    def __init__(self, config: LogConfig) -> None:
        self._config = config

    def add(self, record: Record) -> None:
        """Write a record. The conversation and the answer are part of it only if the configuration says so."""
        line = record.to_dict()
        if self._config.log != "decisions":
            line["messages"] = record.messages
        if self._config.log == "answers":
            line["answer"] = record.answer
        self._write(record.id, record.at, line)

    def add_score(self, id_: str, score: float) -> None:
        """Write the feedback to a request."""
        self._write_score(id_, score)

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    @abstractmethod
    def _write(self, id_: str, at: float, line: dict[str, object]) -> None: ...

    @abstractmethod
    def _write_score(self, id_: str, score: float) -> None: ...


class JsonLog(RequestLog):
    """JSON Lines. A full file gets the number 1, the one before it the number 2, and so on.

    Args:
        path: The file.
        config: What is written, and how much is kept.
    """

    def __init__(self, path: Path, config: LogConfig) -> None:
        super().__init__(config)
        self._path, self._file = path, _open_private(path)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, id_: str, at: float, line: dict[str, object]) -> None:
        del id_, at
        self._append(line)

    def _write_score(self, id_: str, score: float) -> None:
        self._append({"id": id_, "score": score})

    def _append(self, line: dict[str, object]) -> None:
        data = _encode(line) + b"\n"
        if self._is_moved():
            self._reopen()
        if os.fstat(self._file).st_size + len(data) > self._config.max_mb * _MB:
            self._rotate()
        # One write, so that a line is whole or missing after a crash, and those of several processes do not mix.
        os.write(self._file, data)

    def _rotate(self) -> None:
        _lock(self._file)
        if not self._is_moved():
            for number in range(self._config.keep, 0, -1):
                source = self._path if number == 1 else self._numbered(number - 1)
                if source.exists():
                    source.replace(self._numbered(number))
            if self._config.keep == 0:
                self._path.unlink()
        self._reopen()

    def _is_moved(self) -> bool:
        """Return whether another process has begun the next file."""
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return True

    def _reopen(self) -> None:
        os.close(self._file)
        self._file = _open_private(self._path)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}.{number}{self._path.suffix}")


class SqliteLog(RequestLog):
    """A table `log` of an SQLite database. The oldest rows are removed when the file is full.

    Args:
        path: The file.
        config: What is written, and how much is kept.
    """

    def __init__(self, path: Path, config: LogConfig) -> None:
        super().__init__(config)
        os.close(_open_private(path))
        self._database = sqlite3.connect(path, timeout=_LOCKED_S, isolation_level=None, check_same_thread=False)
        # Rows that wait until another process has unlocked the file. The oldest are lost if there are too many.
        self._waiting = deque[tuple[str, tuple[object, ...]]](maxlen=_MOST_WAITING)
        # A crash of the machine may lose the last rows, but the file stays whole.
        self._database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_TABLE}")

    def close(self) -> None:
        """Close the file. Rows that wait for another process for too long are lost, and a warning says so."""
        self._database.execute(f"PRAGMA busy_timeout={1000 * _CLOSING_S:.0f}")
        self._flush()
        if self._waiting:
            _log.warning("%d rows of the log are lost, because another process holds the file", len(self._waiting))
        self._database.close()

    def _write(self, id_: str, at: float, line: dict[str, object]) -> None:
        self._execute("INSERT OR REPLACE INTO log VALUES (?, ?, ?)", id_, at, _encode(line).decode())
        if not self._waiting and self._count_used() > self._config.max_mb * _MB:
            # A tenth at a time, because each removal reads the index.
            self._execute(
                "DELETE FROM log WHERE id IN (SELECT id FROM log ORDER BY at LIMIT (SELECT count(*) / 10 + 1 FROM log))"
            )

    def _write_score(self, id_: str, score: float) -> None:
        self._execute("UPDATE log SET record = json_set(record, '$.score', ?) WHERE id = ?", score, id_)

    def _execute(self, statement: str, *values: object) -> None:
        self._waiting.append((statement, values))
        self._flush()

    def _flush(self) -> None:
        """Write what waits. If another process holds the file, all of it waits for the next time."""
        try:
            while self._waiting:
                self._database.execute(*self._waiting[0])
                self._waiting.popleft()
        except sqlite3.OperationalError as error:
            _log.warning("the log waits: %s", error)

    def _count_used(self) -> int:
        """Return the bytes of the file that hold something. Pages of removed rows are free and used again."""
        pages, free, size = (
            int(self._database.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size


def open_log(path: Path, config: LogConfig) -> RequestLog:
    """Open a log for writing, and create it if it does not exist. Only the user can read it.

    Raises:
        ConfigError: If the name has no known ending, or the file cannot be written.
    """
    kinds: dict[str, Callable[[Path, LogConfig], RequestLog]] = {".jsonl": JsonLog, **dict.fromkeys(_DATABASES, SqliteLog)}
    if path.suffix not in kinds:
        raise ConfigError(f"log.file must end in {', '.join(kinds)}, which says the format, got {path.name!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return kinds[path.suffix](path, config)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"log.file: {path} cannot be written: {error}; name a file in a folder that can be") from error


def read_latest(path: Path, n: int) -> list[dict[str, Any]]:
    """Return the latest records of a log, newest first.

    Args:
        path: The log.
        n: Number of records.

    Raises:
        InputError: If the file cannot be read, or is no log.
    """
    try:
        if path.suffix in _DATABASES:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                rows = database.execute("SELECT record FROM log ORDER BY at DESC LIMIT ?", (n,)).fetchall()
            return [msgspec.json.decode(record) for (record,) in rows]
        with path.open("rb") as lines:
            # A line of feedback may follow each request.
            latest = deque(lines, maxlen=2 * n)
        records = (msgspec.json.decode(line) for line in reversed(latest))
        return [record for record in records if "status" in record][:n]
    except (OSError, sqlite3.Error, msgspec.DecodeError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read as a log of the gateway: {reason}; name the file of [log]") from error


def _encode(line: dict[str, object]) -> bytes:
    # Not msgspec, which refuses half an emoji. Python escapes it.
    try:
        return json.dumps(line, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        # A number of a client may be too large for a float, and JSON has no infinity.
        finite = json.loads(json.dumps(line), parse_constant=lambda _: None)
        return json.dumps(finite, separators=(",", ":")).encode()


def _open_private(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)


def _lock(file: int) -> None:
    """Wait until no other process holds a file, and hold it until it is closed."""
    # Windows lets nobody rename a file that another process has open, so there one process writes it.
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
