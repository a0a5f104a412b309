"""The first line of a CSV file in, its separator and its column names out."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence

# What may separate fields, and its name in messages. Commas come first, so they win if several fit.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}

# Excel reads and some programs write this line above the header. It names the separator.
_DECLARATION = re.compile(r'"?sep=([,;\t])"?', re.IGNORECASE)
_GAP = re.compile(r"[\s-]+")

# Given the column names of a file, returns those that it must have.
Required = Callable[[Sequence[str]], Sequence[str]]
# Given a name as it stands in the file, returns the name of the column.
Rename = Callable[[str], str]


def name_column(text: str) -> str:
    """Return a column name as the layouts spell it: in lower case, with underscores.

    >>> name_column(" Conversation ID ")
    'conversation_id'
    """
    return _GAP.sub("_", text.strip().casefold())


def clean_names(texts: Sequence[str], rename: Rename) -> tuple[str, ...]:
    """Return the names of the columns, without the empty ones that spreadsheets write at the end.

    >>> clean_names(["Prompt", "task ", "", ""], name_column)
    ('prompt', 'task')

    Args:
        texts: The fields of the header.
        rename: Returns the name of a column.
    """
    names = [rename(text) for text in texts]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def is_blank(line: str) -> bool:
    """Return whether a line holds nothing but separators and white space."""
    return not line.strip("".join(SEPARATORS) + " \r\n")


def find_declared(line: str) -> str | None:
    r"""Return the separator that a line such as `sep=;` declares. None if it declares none.

    >>> find_declared("sep=;\r\n")
    ';'
    """
    declared = _DECLARATION.fullmatch(line.rstrip("\r\n"))
    return declared[1] if declared else None


def find_separator(line: str, required: Required, rename: Rename) -> str:
    """Return the separator under which a header has the fewest required columns missing, and then the most columns.

    >>> find_separator("Prompt;Task", lambda names: ("prompt", "task"), name_column)
    ';'

    Args:
        line: The header. Its first line is enough if a name holds a line break.
        required: Returns the columns that the file must have.
        rename: Returns the name of a column.
    """

    def fit(separator: str) -> tuple[int, int]:
        names = split_header(line, separator, rename)
        return -len(find_missing(names, required)), len(names)

    # max returns the first of equals.
    return max(SEPARATORS, key=fit)


def split_header(line: str, separator: str, rename: Rename) -> tuple[str, ...]:
    """Return the column names in the first line of a header, even if it breaks the rules of quoting."""
    return clean_names(next(csv.reader([line], delimiter=separator)), rename)


def find_missing(names: Sequence[str], required: Required) -> list[str]:
    """Return the required columns that a file lacks."""
    return [name for name in required(names) if name not in names]
