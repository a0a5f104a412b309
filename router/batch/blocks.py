"""The files of a batch come in, numbered blocks of rows go out. Each block can be read by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import IO, Protocol

from router.batch.decided import COLUMNS, Columns
from router.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some rows of one file, in their order.

    Attributes:
        number: Place of the block among all blocks, from 0.
        path: The file.
        start: Where the rows start: a byte of a CSV or JSON Lines file, a row of a Parquet file.
        stop: Where they end. It is the start of the next block.
        rows: Number of rows.
    """

    number: int
    path: str
    start: int
    stop: int
    rows: int


class Rows(Protocol):
    """The rows of one block."""

    def values(self, column: str) -> Sequence[object]:
        """Return the prompt of each row, or a `Fault`."""
        ...

    def write(self, stream: IO[bytes], added: Columns) -> None:
        """Write the rows with more columns behind their own."""
        ...


class Format(Protocol):
    """A kind of file."""

    @property
    def suffix(self) -> str:
        """Ending of the files that are written."""
        ...

    def names(self, path: str) -> list[str] | None:
        """Return the names of the columns. None if each row has its own."""
        ...

    def cut(self, path: str, rows: int) -> Iterator[tuple[int, int, int]]:
        """Return start, stop and number of rows of each block of at most this number of rows."""
        ...

    def read(self, block: Block) -> Rows:
        """Return the rows of a block."""
        ...


def find_files(pattern: str) -> list[Path]:
    """Return the files that a path names: a file, the files of a folder, or those that match a pattern. Sorted by name.

    Raises:
        InputError: If there is none.
    """
    path = Path(pattern)
    if path.is_file():
        return [path.resolve()]
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if file.is_file() and file.name[0] not in "._"]
    else:
        # Path.glob takes no absolute pattern.
        found = [Path(file) for file in sorted(glob(pattern, recursive=True))]  # noqa: PTH207
    if not found:
        raise InputError(f"{pattern} must be a file, a folder with files or a pattern such as 'in/*.csv', found no file")
    return [file.resolve() for file in found]


def find_format(files: Sequence[Path]) -> Format:
    """Return the format of files, by their endings.

    Raises:
        InputError: If an ending is unknown, they have several formats, or Parquet needs a package.
    """
    from router.batch.csv_rows import CsvFormat
    from router.batch.json_rows import JsonFormat

    kinds = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
    endings = {file.suffix.lower() for file in files}
    unknown = sorted(endings - kinds.keys())
    if unknown:
        raise InputError(f"files must end in {', '.join(kinds)}, got {unknown}; unpack or convert them")
    found = {kinds[ending] for ending in endings}
    if len(found) > 1:
        raise InputError(f"all files of a batch must have one format, got {', '.join(sorted(found))}; route them one by one")
    kind = found.pop()
    if kind == "parquet":
        try:
            from router.batch.parquet_rows import ParquetFormat
        except ImportError as error:
            raise InputError(f"Parquet needs {error.name!r}; pip install 'contextual-llm-router[batch]'") from error
        return ParquetFormat()
    return CsvFormat() if kind == "csv" else JsonFormat()


def cut_files(form: Format, files: Sequence[Path], rows: int) -> Iterator[Block]:
    """Return the blocks of all files, in their order. Without any row, it is one empty block.

    Args:
        form: The format of the files.
        files: The files.
        rows: Largest number of rows of a block.
    """
    number = 0
    for file in files:
        for start, stop, count in form.cut(str(file), rows):
            yield Block(number=number, path=str(file), start=start, stop=stop, rows=count)
            number += 1
    if not number:
        yield Block(number=0, path=str(files[0]), start=0, stop=0, rows=0)


def check_columns(form: Format, files: Sequence[Path], column: str, prefix: str) -> None:
    """Raise an error if the files do not have the column, have different columns, or already have one that is added.

    Raises:
        InputError: See above.
    """
    first = form.names(str(files[0]))
    if first is None:
        return
    if column not in first:
        raise InputError(f"{files[0]} has no column {column!r}; name one of {first} with --column")
    for file in files:
        if (names := form.names(str(file))) != first:
            raise InputError(f"all files must have the columns {first}, but {file} has {names}; route it by itself")
    check_added(first, prefix)


def check_added(names: Sequence[str], prefix: str) -> None:
    """Raise an error if rows already have a column that is added.

    Raises:
        InputError: See above.
    """
    taken = sorted({prefix + name for name in COLUMNS}.intersection(names))
    if taken:
        raise InputError(f"the rows already have columns named {taken}; set --prefix, such as routed_")
