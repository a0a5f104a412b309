"""A file in, its text as a stream out, or an error that says what the file is instead."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from training.data.formats import GZIP, describe_foreign, find_encoding
from training.data.problems import DatasetError

# Enough to recognise a format and an encoding.
_HEAD_BYTES = 4096


@contextmanager
def open_text(path: Path, *, wanted: str, newline: str = "") -> Iterator[IO[str]]:
    """Open a plain or gzipped file as text.

    Bytes that are not UTF-8 become surrogates, which `check_encoding` finds. Strict decoding would fail for a whole buffer,
    so the row of the mistake would be unknown.

    Args:
        path: The file. Its first bytes decide whether it is gzipped, and whether it is UTF-16.
        wanted: What the file should be, for the message.
        newline: As for `open`.

    Raises:
        DatasetError: If the file cannot be read or is no text.
    """
    try:
        with path.open("rb") as file, _unpack(file) as content:
            head = content.peek(_HEAD_BYTES)
            if foreign := describe_foreign(head):
                kind, remedy = foreign
                raise DatasetError(f"{path} must be {wanted}, but it is {kind}; {remedy}")
            encoding = find_encoding(head)
            errors = "surrogateescape" if encoding == "utf-8-sig" else "strict"
            yield io.TextIOWrapper(content, encoding, errors, newline)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} starts as UTF-16, but other bytes follow; save it as UTF-8") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}; name an existing file") from error
    except (EOFError, zlib.error) as error:
        raise DatasetError(f"{path} is a damaged or truncated gzip file; copy it again") from error


def check_encoding(path: Path, number: int, texts: Iterable[str]) -> None:
    """Raise an error if a row from `open_text` has bytes that are not UTF-8.

    Args:
        path: The file.
        number: Number of the row.
        texts: Its fields.

    Raises:
        DatasetError: If it has such bytes.
    """
    joined = "".join(texts)
    if joined.isascii():  # much faster than encoding, and true for most rows
        return
    try:
        joined.encode()
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{path} row {number}: must be UTF-8, got other bytes; save it as UTF-8 (in Excel: 'CSV UTF-8')"
        ) from error


def _unpack(file: io.BufferedReader) -> io.BufferedReader | gzip.GzipFile:
    # Not by the name, because a browser may unpack a file and keep its name.
    return gzip.GzipFile(fileobj=file) if file.peek(len(GZIP)).startswith(GZIP) else file
