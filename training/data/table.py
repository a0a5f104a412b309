"""A CSV file in, its rows as text out. An error names the file, the row, the broken rule and the remedy."""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from training.data.gateway_log import COLUMNS, DATABASES, is_gateway_log, read_results
from training.data.header import (
    SEPARATORS,
    Rename,
    Required,
    clean_names,
    find_declared,
    find_missing,
    find_separator,
    is_blank,
    name_column,
    split_header,
)
from training.data.problems import SHOWN_CHARS, DatasetError, Problems
from training.data.text_file import check_encoding, open_text

# Most callers need no more of a data file than this module.
__all__ = ["MAX_FIELD_CHARS", "DatasetError", "Problems", "Table", "escape_formula", "hash_file", "open_table", "read_table"]

# Without a limit, one unclosed quote would swallow the rest of a large file.
MAX_FIELD_CHARS = 500_000
# What another text starts with, what it is, and the remedy.
_JSON = "JSON", "write it as CSV (only a log may be JSON Lines, in a file named .jsonl)"
_OTHER_TEXTS = {"{": _JSON, "[": _JSON, "<": ("a web page or XML", "download the file itself, or write it as CSV")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An open CSV file.

    Attributes:
        header: The column names.
        separator: What separates its fields: a comma, a semicolon or a tab.
        rows: Each row as its number and its fields, one at a time. Rows without any text are skipped.
    """

    header: tuple[str, ...]
    separator: str
    rows: Iterator[tuple[int, list[str]]]


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal. A gzipped file is hashed as it is stored."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def escape_formula(text: str) -> str:
    """Return a field that a spreadsheet does not run as a formula.

    A text that starts with `=`, `+`, `-` or `@` gets an apostrophe in front. Every other text stays the same.
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def read_table(path: Path, *, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row as its number and its fields by column, one row at a time.

    Args:
        path: A CSV file, as for `open_table`.
        required: Columns that the header must have.

    Raises:
        DatasetError: As for `open_table`.
    """
    with open_table(path, required=lambda _: required) as table:
        for number, texts in table.rows:
            yield number, dict(zip(table.header, texts, strict=True))


@contextmanager
def open_table(path: Path, *, required: Required, rename: Rename = name_column) -> Iterator[Table]:
    """Open a CSV file: read its header, and its rows as a stream.

    While a file is open, the field limit of the `csv` module is changed for the whole process. Do not read CSV files in
    other threads at the same time.

    Args:
        path: A CSV file, quoted as in RFC 4180. Commas, semicolons or tabs separate its fields. It is in UTF-8, or in UTF-16
            as "Unicode Text" of Excel. It may be gzipped. A log of the gateway is a table of the answers that got feedback.
        required: Given the header, returns the columns that it must have. Given no columns, returns those of a usual file.
        rename: Given a name in the header, returns the name of the column.

    Raises:
        DatasetError: If the file cannot be read, is no CSV file or lacks a column. Also if a row breaks the CSV rules.
    """
    if path.suffix in (".jsonl", *DATABASES) and path.is_file() and is_gateway_log(path):
        # A log is a table of the answers that got feedback.
        _check_header(path, 1, COLUMNS, find_missing(COLUMNS, required))
        yield Table(header=COLUMNS, separator=",", rows=read_results(path))
        return
    wanted = f"a CSV file with the columns {', '.join(required(()))}"
    previous = csv.field_size_limit(MAX_FIELD_CHARS)
    try:
        with open_text(path, wanted=wanted) as stream:
            number, line, declared = _find_header(path, stream)
            start = line[:MAX_FIELD_CHARS]
            separator = declared or find_separator(start, required, rename)
            kind, remedy = _OTHER_TEXTS.get(line.lstrip()[0], ("", ""))
            if kind and find_missing(split_header(start, separator, rename), required):
                raise DatasetError(f"{path} must be {wanted}, but it is {kind}; {remedy}")
            reader = csv.reader(itertools.chain([line], stream), delimiter=separator, strict=True)
            rows = _number_rows(path, reader, number)
            header = clean_names(next(rows)[1], rename)
            check_encoding(path, number, header)
            _check_header(path, number, header, find_missing(header, required))
            yield Table(header=header, separator=separator, rows=_check_rows(path, rows, len(header), separator))
    finally:
        csv.field_size_limit(previous)


def _find_header(path: Path, stream: IO[str]) -> tuple[int, str, str | None]:
    """Return the first line with text, its number, and the separator that a line above it declares."""
    declared = None
    for number, line in enumerate(stream, start=1):
        if declared is None and (declared := find_declared(line)):
            continue
        if not is_blank(line):
            return number, line, declared
    raise DatasetError(f"{path} is empty; its first row must name the columns")


def _number_rows(path: Path, rows: Iterator[list[str]], first: int) -> Iterator[tuple[int, list[str]]]:
    number = first - 1
    try:
        for number, texts in enumerate(rows, start=first):
            yield number, texts
    except csv.Error as error:
        # The reader failed on the row after the last one that it returned.
        raise DatasetError(
            f"{path} row {number + 1}: not CSV as in RFC 4180, or a field of more than {MAX_FIELD_CHARS} characters "
            f"({error}); look for an unclosed quote"
        ) from error


def _check_rows(
    path: Path, rows: Iterator[tuple[int, list[str]]], width: int, separator: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that have any text, each with one field for each column."""
    for number, texts in rows:
        if not any(map(str.strip, texts)):
            continue
        # Spreadsheets also write fields of empty columns at the end, without a name in the header.
        if len(texts) > width and not any(texts[width:]):
            del texts[width:]
        if len(texts) != width:
            decimals = ", and write decimals with a dot" if separator == "," and len(texts) > width else ""
            raise DatasetError(
                f"{path} row {number}: must have {width} fields like the header, got {len(texts)}; "
                f"quote fields that contain {SEPARATORS[separator]} or line breaks{decimals}"
            )
        check_encoding(path, number, texts)
        yield number, texts


def _check_header(path: Path, number: int, header: Sequence[str], missing: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(header).items() if count > 1 and name]
    if repeated:
        raise DatasetError(
            f"{path} row {number}: each column must be named once, repeated: {repeated}; rename or remove one"
        )
    if missing:
        found = [name[:SHOWN_CHARS] for name in header]
        separated = len(header) == 1 and "|" in header[0]
        remedy = "separate fields with commas" if separated else "add them, or rename others"
        raise DatasetError(f"{path} row {number}: the columns {missing} are missing, found {found}; {remedy}")
