"""A CSV file in, its rows as text out. An error names the file, the row, the broken rule and the remedy."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from router.errors import RouterError

# Without a limit, one unclosed quote would swallow the rest of a large file.
MAX_FIELD_CHARS = 500_000
# One mistake is often repeated in every row. Twenty lines are enough to see it.
MAX_REPORTED = 20


class DatasetError(RouterError):
    """A data file breaks a rule of its layout. The message lists at most 20 rows, then the number of further ones."""


@dataclass
class Problems:
    """Collects the mistakes in a file, so that one run reports all of them.

    Attributes:
        path: The file. Every message starts with it.
        lines: The first 20 messages.
        count: Number of mistakes, including those without a line.
    """

    path: Path
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, row: int, message: str) -> None:
        """Record one mistake.

        Args:
            row: Number of the row. The header is row 1.
            message: Rule, value and remedy. It must not contain a prompt.
        """
        self.count += 1
        if len(self.lines) < MAX_REPORTED:
            self.lines.append(f"{self.path} row {row}: {message}")

    def raise_any(self) -> None:
        """Raise all mistakes as one error, or return if there are none.

        Raises:
            DatasetError: If a mistake was added.
        """
        if self.count:
            more = [f"… and {self.count - len(self.lines)} more"] if self.count > len(self.lines) else []
            raise DatasetError("\n".join([*self.lines, *more]))


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal. A gzipped file is hashed as it is stored."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def escape_formula(text: str) -> str:
    """Return a field that a spreadsheet does not run as a formula.

    A text that starts with `=`, `+`, `-` or `@` gets an apostrophe in front. Every other text stays the same.
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def read_table(path: Path, *, required: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row as its number and its fields by column, one row at a time.

    Args:
        path: A CSV file, as for `read_fields`.
        required: Columns that the header must have.

    Raises:
        DatasetError: As for `read_fields`.
    """
    rows = read_fields(path, required=lambda _: required)
    _, header = next(rows)
    for number, texts in rows:
        yield number, dict(zip(header, texts, strict=True))


def read_fields(path: Path, *, required: Callable[[Sequence[str]], Iterable[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row as its number and its fields, one row at a time. The header comes first, as row 1.

    While a file is being read, the field limit of the `csv` module is changed for the whole process. Do not read CSV files
    in other threads at the same time.

    Args:
        path: A CSV file in UTF-8, quoted as in RFC 4180. It is gzipped if its name ends in `.gz`.
        required: Given the header, returns the columns that it must have.

    Raises:
        DatasetError: If the file cannot be read or a row breaks the CSV rules.
    """
    previous = csv.field_size_limit(MAX_FIELD_CHARS)
    number = 1
    try:
        with _open(path) as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_encoding(path, 1, header)
            _check_header(path, header, required(header))
            yield 1, header
            for number, texts in enumerate(reader, start=2):
                if not texts:  # the csv module returns a blank line as an empty row
                    continue
                if len(texts) != len(header):
                    raise DatasetError(
                        f"{path} row {number}: must have {len(header)} fields like the header, got {len(texts)}; "
                        "quote fields that contain commas or line breaks"
                    )
                _check_encoding(path, number, texts)
                yield number, texts
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}; name an existing CSV file") from error
    except csv.Error as error:
        # The reader failed on the row after the last one that it returned.
        raise DatasetError(
            f"{path} row {number + 1}: not CSV as in RFC 4180, or a field of more than {MAX_FIELD_CHARS} characters "
            f"({error}); look for an unclosed quote"
        ) from error
    except (EOFError, zlib.error) as error:
        raise DatasetError(f"{path} is a damaged or truncated gzip file; copy it again") from error
    finally:
        csv.field_size_limit(previous)


def _open(path: Path) -> IO[str]:
    """Open a plain or gzipped file as text.

    Bytes that are not UTF-8 become surrogates, which `_check_encoding` finds. Strict decoding would fail for a whole buffer,
    so the row of the mistake would be unknown.
    """
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _check_encoding(path: Path, number: int, texts: Iterable[str]) -> None:
    joined = "".join(texts)
    if joined.isascii():  # much faster than encoding, and true for most rows
        return
    try:
        joined.encode()
    except UnicodeEncodeError as error:
        raise DatasetError(f"{path} row {number}: must be UTF-8, got other bytes; save it as UTF-8") from error


def _check_header(path: Path, header: Sequence[str], required: Iterable[str]) -> None:
    if not header:
        raise DatasetError(f"{path} is empty; its first row must name the columns")
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise DatasetError(f"{path} row 1: each column must be named once, repeated: {repeated}; rename or remove one")
    missing = [name for name in required if name not in header]
    if missing:
        raise DatasetError(f"{path} row 1: the columns {missing} are missing, found {list(header)}; add them")
