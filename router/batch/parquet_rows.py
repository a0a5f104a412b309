"""Parquet files: blocks are ranges of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from router.batch.blocks import Block
from router.batch.decided import NUMBERS, Columns
from router.errors import InputError


@dataclass(frozen=True, slots=True)
class ParquetRows:
    """The rows of a block as a table."""

    table: Any

    def values(self, column: str) -> Sequence[object]:
        """Return the prompt of each row."""
        values: list[object] = self.table.column(column).to_pylist()
        return values

    def write(self, stream: IO[bytes], added: Columns) -> None:
        """Write the rows."""
        pq.write_table(self.add(added), stream)

    def add(self, added: Columns) -> Any:
        """Return the table with more columns behind its own."""
        table = self.table
        for name, values in added.items():
            kind = pa.float64() if name.endswith(NUMBERS) else pa.string()
            table = table.append_column(name, pa.array(values, kind))
        return table


class ParquetFormat:
    """Parquet. A worker keeps the row group that it read last, because a large one has several blocks."""

    suffix = ".parquet"

    def names(self, path: str) -> list[str]:
        """Return the names of the columns."""
        names: list[str] = _open(path).schema_arrow.names
        return names

    def cut(self, path: str, rows: int) -> Iterator[tuple[int, int, int]]:
        """Return start, stop and number of rows of each block."""
        count = _open(path).metadata.num_rows
        for start in range(0, count, rows):
            stop = min(start + rows, count)
            yield start, stop, stop - start

    def read(self, block: Block) -> ParquetRows:
        """Return the rows of a block."""
        file = _open(block.path)
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        parts = []
        for group, (size, end) in enumerate(zip(sizes, accumulate(sizes), strict=True)):
            first, last = max(block.start, end - size), min(block.stop, end)
            if first < last:
                parts.append(_read_group(block.path, group).slice(first - (end - size), last - first))
        return ParquetRows(pa.concat_tables(parts) if parts else file.schema_arrow.empty_table())


def _open(path: str) -> Any:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} is not a Parquet file: {error}; convert it again") from error


@lru_cache(maxsize=1)
def _read_group(path: str, group: int) -> Any:
    return _open(path).read_row_group(group)
