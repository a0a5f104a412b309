"""One text field in, its checked value out. Mistakes go to `Problems`, so that reading continues."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from training.data.problems import SHOWN_CHARS, Problems

# 128,000 is a thousand times 128 in some countries, and 1.234 a thousand times 1.234 in others.
_GROUPED = re.compile(r"[1-9]\d{0,2}([.,]\d{3})+")
# A list as people write it, or as Python and JSON print it.
_LIST_PART = re.compile(r"[^|,;/+\[\](){}'\"]+")


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of a list field. Only bars separate them, because a name may hold a comma.

    >>> split_list("billing, refunds | returns")
    ('billing, refunds', 'returns')
    """
    return tuple(filter(None, (part.strip() for part in text.split("|"))))


def split_capabilities(text: str) -> tuple[str, ...]:
    """Return the capabilities of a list field, in lower case. Any of `|,;/+` separates them.

    >>> split_capabilities("Tools, vision"), split_capabilities("['tools', 'vision']")
    (('tools', 'vision'), ('tools', 'vision'))
    """
    return tuple(filter(None, (part.strip().casefold() for part in _LIST_PART.findall(text))))


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


def read_number(number: int, name: str, text: str, problems: Problems, *, decimal_comma: bool = False) -> float:
    """Return a finite number that is not negative, or NaN if the field is empty or wrong.

    A comma before the decimals is read too. But `1,234` is wrong unless the file writes all decimals with commas, because
    it may be a thousand.

    Args:
        number: Number of the row.
        name: Name of the column.
        text: The field.
        problems: Collects the mistake if the field is wrong.
        decimal_comma: Whether the file writes decimals with commas, as a file with semicolons does.
    """
    if not text or text.isspace():
        return math.nan
    value = _parse(text, decimal_comma=decimal_comma)
    if 0 <= value < math.inf:
        return value
    problems.add(
        number,
        f"{name} must be a finite number of at least 0, got {text[:SHOWN_CHARS]!r}; "
        "correct it (digits only, and a dot before decimals) or leave it empty",
    )
    return math.nan


def read_count(number: int, name: str, text: str, problems: Problems, *, decimal_comma: bool = False) -> float:
    """Return a number that counts something, or NaN if the field is empty or wrong. Arguments are as for `read_number`.

    `128,000` and `128.000` are wrong, because it is unclear whether thousands or decimals are separated.
    """
    if not _GROUPED.fullmatch(text.strip()):
        return read_number(number, name, text, problems, decimal_comma=decimal_comma)
    problems.add(number, f"{name} must be a number without separators, got {text!r}; write it with digits only")
    return math.nan


def read_score(number: int, name: str, text: str, problems: Problems, *, decimal_comma: bool = False) -> float:
    """Return a score in [0, 1], or NaN if the field is empty. Arguments are as for `read_number`."""
    score = read_number(number, name, text, problems, decimal_comma=decimal_comma)
    if score > 1:
        problems.add(number, f"{name} must be in [0, 1], got {text}; divide it by its maximum")
    return score


def read_n(number: int, text: str, problems: Problems, *, decimal_comma: bool = False) -> float:
    """Return the positive number of prompts behind an aggregate, or NaN if unknown. Arguments are as for `read_number`."""
    n = read_count(number, "n", text, problems, decimal_comma=decimal_comma)
    if n == 0:
        problems.add(number, "n must be above 0, got 0; leave it empty if it is unknown, or remove the row")
    return n


def _parse(text: str, *, decimal_comma: bool) -> float:
    """Return a field as a number, NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        if not decimal_comma and _GROUPED.fullmatch(text.strip()):
            return math.nan
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan
