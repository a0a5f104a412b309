"""JSON Lines files: one object per line. Its text is kept, and the decision is added at its end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import msgspec
import numpy as np

from router.batch.blocks import Block
from router.batch.decided import Columns
from router.batch.fault import Fault
from router.errors import InputError

_CHUNK_BYTES = 1 << 24
_LINE_END = 0x0A


@dataclass(frozen=True, slots=True)
class JsonRows:
    """The rows of a block: the text of each line, and its object or a fault."""

    lines: list[bytes]
    rows: list[dict[str, object] | Fault]

    def values(self, column: str) -> Sequence[object]:
        """Return the prompt of each row. A line that is no object is a fault."""
        return [row if isinstance(row, Fault) else row.get(column) for row in self.rows]

    def write(self, stream: IO[bytes], added: Columns) -> None:
        """Write the rows. Of a line that is no object, only its error is written.

        Raises:
            InputError: If a row already has one of the fields.
        """
        for line, row, more in zip(self.lines, self.rows, zip(*added.values(), strict=True), strict=True):
            if not isinstance(row, Fault) and not row.keys().isdisjoint(added):
                raise InputError(
                    f"a row already has fields named {sorted(row.keys() & added.keys())}; set --prefix, such as routed_"
                )
            end = msgspec.json.encode(dict(zip(added, more, strict=True)))
            is_empty = isinstance(row, Fault) or not row
            stream.write(end if is_empty else line[:-1].rstrip() + b"," + end[1:])
            stream.write(b"\n")


class JsonFormat:
    """JSON Lines in UTF-8. Empty lines are no rows."""

    suffix = ".jsonl"

    def names(self, path: str) -> None:
        """Return None, because each row has its own fields."""
        del path

    def cut(self, path: str, rows: int) -> Iterator[tuple[int, int, int]]:
        """Return start, stop and number of lines of each block, by counting line ends."""
        start = at = count = 0
        with open(path, "rb") as stream:  # noqa: PTH123 - a path as text travels to other processes
            while chunk := stream.read(_CHUNK_BYTES):
                ends = at + 1 + np.flatnonzero(np.frombuffer(chunk, np.uint8) == _LINE_END)
                while len(ends) >= rows - count:
                    stop = int(ends[rows - count - 1])
                    yield start, stop, rows
                    ends, start, count = ends[rows - count :], stop, 0
                count += len(ends)
                at += len(chunk)
        if at > start:
            yield start, at, count or 1

    def read(self, block: Block) -> JsonRows:
        """Return the rows of a block."""
        with open(block.path, "rb") as stream:  # noqa: PTH123
            stream.seek(block.start)
            content = stream.read(block.stop - block.start)
        lines = [line for part in content.split(b"\n") if (line := part.strip())]
        return JsonRows(lines, [_parse(line) for line in lines])


def _parse(line: bytes) -> dict[str, object] | Fault:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return Fault("the line is not valid JSON")
    return row if isinstance(row, dict) else Fault(f"the line must be a JSON object, got {type(row).__name__}")
