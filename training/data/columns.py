"""Numbers in, one array out. A long array is in a temporary file, so that memory does not grow with its length."""

from __future__ import annotations

import mmap
import sqlite3
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from training.data.problems import DatasetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows that are in memory at once. Longer columns are in temporary files.
CHUNK_ROWS = 200_000


@contextmanager
def explain_full_disk() -> Iterator[None]:
    """Explain why a temporary file cannot be written.

    Raises:
        DatasetError: If an error of a file or of SQLite is raised inside.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise DatasetError(
            f"temporary files of a large table must fit into {tempfile.gettempdir()}, got {error}; "
            "set TMPDIR to a folder on a disk with more space"
        ) from error


def split_rows(rows: int) -> Iterator[slice]:
    """Yield slices of at most `CHUNK_ROWS` rows, which cover all rows in order. There is at least one, which may be empty.

    Args:
        rows: Number of rows.
    """
    for start in range(0, max(rows, 1), CHUNK_ROWS):
        yield slice(start, min(start + CHUNK_ROWS, rows))


def join(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays of one kind as one new array. They are used one at a time.

    Args:
        parts: At least one array, each of shape (rows,).
    """
    column = Column()
    for part in parts:
        column.append(part)
    return column.finish()


class Column:
    """A column of numbers while it grows."""

    def __init__(self) -> None:
        self._parts: list[NDArray[Any]] = []
        self._waiting = 0
        self._file: IO[bytes] | None = None

    def append(self, values: NDArray[Any]) -> None:
        """Append numbers. All must be of one kind.

        Args:
            values: Shape (rows,).
        """
        self._parts.append(values)
        self._waiting += len(values)
        if self._waiting >= CHUNK_ROWS:
            self._spill()

    def finish(self) -> NDArray[Any]:
        """Return all numbers as one writable array. Nothing can be appended after that.

        The operating system keeps in memory what is used of a temporary file, and may drop it. The file is gone as soon as
        nothing uses the array.
        """
        if self._file is None:
            return np.concatenate(self._parts)
        kind = self._parts[0].dtype
        self._spill()
        with self._file as file:
            # Not np.memmap: joblib would give its other processes the name of the file, which has none.
            return np.frombuffer(mmap.mmap(file.fileno(), 0), kind)

    def _spill(self) -> None:
        """Append the parts to the file."""
        with explain_full_disk():
            if self._file is None:
                # Without a buffer, because a buffer would notice a full disk only later.
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open until `finish`
                # A table with mistakes is given up. This closes the files of its columns.
                weakref.finalize(self, self._file.close)
            for part in self._parts:
                rest = memoryview(part.tobytes())
                while rest:
                    rest = rest[self._file.write(rest) :]
        # An empty part keeps the kind of the numbers.
        self._parts, self._waiting = [self._parts[0][:0]], 0
