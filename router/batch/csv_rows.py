"""CSV files: blocks that start where a row starts, also if a quoted field has line breaks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO

from router.batch.blocks import Block
from router.batch.decided import Columns
from router.batch.fault import Fault
from router.errors import InputError

# A prompt may be long. The default of the reader is 131,072 characters.
_MAX_FIELD_CHARS = 1 << 30
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class CsvRows:
    """The rows of a block as lists of fields, with the names of the columns."""

    names: list[str]
    rows: list[list[str]]

    def values(self, column: str) -> list[object]:
        """Return the prompt of each row. A row with too few or too many fields is a fault."""
        place, width = self.names.index(column), len(self.names)
        return [
            row[place] if len(row) == width else Fault(f"the row has {len(row)} fields, the header has {width}")
            for row in self.rows
        ]

    def write(self, stream: IO[bytes], added: Columns) -> None:
        """Write a header and the rows. A row with too few fields is filled up, one with too many loses the last."""
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="", write_through=False)
        writer, width = csv.writer(text, lineterminator="\n"), len(self.names)
        writer.writerow([*self.names, *added])
        fill = [""] * width
        for row, more in zip(self.rows, zip(*added.values(), strict=True), strict=True):
            writer.writerow([*(row if len(row) == width else [*row, *fill][:width]), *more])
        text.flush()
        text.detach()


class CsvFormat:
    """CSV in UTF-8 with a header. Bytes that are no UTF-8 are kept as they are."""

    suffix = ".csv"

    def names(self, path: str) -> list[str]:
        """Return the names of the columns."""
        with open(path, "rb") as stream:  # noqa: PTH123 - a path as text travels to other processes
            return _read_header(path, stream)[0]

    def cut(self, path: str, rows: int) -> Iterator[tuple[int, int, int]]:
        """Return start, stop and number of rows of each block, by reading the file once."""
        with open(path, "rb") as stream:  # noqa: PTH123
            start = _read_header(path, stream)[1]
            lines = _Lines(stream, start)
            reader = _read(lines)
            while True:
                # The reader takes exactly the lines of the rows that it returns.
                count = sum(1 for _ in _guard(path, islice((row for row in reader if row), rows)))
                if not count:
                    return
                yield start, lines.at, count
                start = lines.at

    def read(self, block: Block) -> CsvRows:
        """Return the rows of a block."""
        with open(block.path, "rb") as stream:  # noqa: PTH123
            names, _ = _read_header(block.path, stream)
            stream.seek(block.start)
            text = stream.read(block.stop - block.start).decode("utf-8", "surrogateescape")
        return CsvRows(names, [row for row in _guard(block.path, _read(io.StringIO(text, newline="\n"))) if row])


class _Lines:
    """The lines of a file, and the byte at which the next one starts."""

    def __init__(self, stream: IO[bytes], at: int) -> None:
        stream.seek(at)
        self._stream, self.at = stream, at

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            self.at += len(line)
            # Where rows end depends on ASCII alone, and this is the fastest way to a text.
            yield line.decode("latin-1")


def _read(lines: io.StringIO | _Lines) -> Iterator[list[str]]:
    csv.field_size_limit(_MAX_FIELD_CHARS)
    return csv.reader(lines)


def _guard(path: str, rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error as error:
        raise InputError(f"{path} is not valid CSV: {error}; write it again with quoted fields") from None


def _read_header(path: str, stream: IO[bytes]) -> tuple[list[str], int]:
    """Return the names of the columns, and the byte at which the first row starts."""
    at = len(_MARK) if stream.read(len(_MARK)) == _MARK else 0
    lines = _Lines(stream, at)
    header = next(_guard(path, _read(lines)), [])
    if not header:
        raise InputError(f"{path} has no header; write the names of the columns into its first row")
    if len(set(header)) < len(header):
        raise InputError(f"{path} must name each column once, got {header}; rename the repeated ones")
    return [name.encode("latin-1").decode("utf-8", "surrogateescape") for name in header], lines.at
