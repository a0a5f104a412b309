"""One text field in, its checked value out. Mistakes go to `Problems`, so that reading continues."""

from __future__ import annotations

import math
from collections.abc import Mapping

from training.data.table import Problems

# A wrong field may hold a whole prompt, because a comma is missing. So a message shows only its beginning.
_SHOWN_CHARS = 40


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of a list field.

    >>> split_list("tools | vision")
    ('tools', 'vision')
    """
    return tuple(filter(None, (part.strip() for part in text.split("|"))))


def check_nul(number: int, record: Mapping[str, str], problems: Problems) -> None:
    """Report the columns of a row that contain NUL characters, because C libraries may end a text there.

    Args:
        number: Number of the row.
        record: Its fields by column.
        problems: Collects the mistake.
    """
    affected = [name for name, value in record.items() if "\0" in value]
    if affected:
        problems.add(number, f"fields must not contain NUL characters, found in {affected}; remove them")


def read_number(number: int, name: str, text: str, problems: Problems) -> float:
    """Return a finite number that is not negative, or NaN if the field is empty or wrong.

    Args:
        number: Number of the row.
        name: Name of the column.
        text: The field.
        problems: Collects the mistake if the field is wrong.
    """
    if not text or text.isspace():
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 <= value < math.inf:
        return value
    problems.add(
        number, f"{name} must be a finite number of at least 0, got {text[:_SHOWN_CHARS]!r}; correct it or leave it empty"
    )
    return math.nan


def read_score(number: int, name: str, text: str, problems: Problems) -> float:
    """Return a score in [0, 1], or NaN if the field is empty. Arguments are as for `read_number`."""
    score = read_number(number, name, text, problems)
    if score > 1:
        problems.add(number, f"{name} must be in [0, 1], got {text}; divide it by its maximum")
    return score


def read_n(number: int, text: str, problems: Problems) -> float:
    """Return the positive number of prompts behind an aggregate, or NaN if unknown. Arguments are as for `read_number`."""
    n = read_number(number, "n", text, problems)
    if n == 0:
        problems.add(number, "n must be above 0, got 0; leave it empty if it is unknown, or remove the row")
    return n
