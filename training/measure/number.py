r"""An answer is right if its number is the expected one.

A chain of thought contains many numbers. Cobbe et al. (2021), GSM8K, mark the result with `####`; Hendrycks et al. (2021),
MATH, with `\boxed{}`. Without such a mark the last number counts, as in Kojima et al. (2022).
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from training.measure.item import Grade, Item

# Comparing a result with 0 has no relative tolerance.
_ABSOLUTE = 1e-9
_SIGN = r"(?P<sign>[-−–+]?)\s?[$€£¥₹]?\s?"
_DIGITS = (
    r"(?:[0-9]{1,3}(?:[,\u00a0\u202f'’_ ][0-9]{3})+(?:[.][0-9]+)?"  # 1,234,567.8
    r"|[0-9]{1,3}(?:[.][0-9]{3})+,[0-9]+"  # 1.234,5
    r"|[0-9]+[.,]?[0-9]*|[.][0-9]+)"
)
_POWER = r"(?:[eE](?P<e>[-+]?[0-9]+)|\s?(?:×|x|\*|\\times|\\cdot)\s?10\s?(?:\^|\*\*)\s?\{?(?P<ten>[-−+]?[0-9]+)\}?)?"
_NUMBER = re.compile(
    # No part of a word (H2O, x1), no exponent (m^2) and not the minus of a difference (10-5).
    rf"(?<![\w^.])(?<!\^\{{)(?:(?<![\w)]\s)(?<![\w)])|(?![-−–+])){_SIGN}"
    rf"(?:\\[dt]?frac\{{(?P<over>[0-9]+(?:[.][0-9]+)?)\}}\{{(?P<under>[0-9]+(?:[.][0-9]+)?)\}}"
    rf"|(?:(?P<whole>[0-9]+)[ ])?(?P<a>[0-9]+)\s?/\s?(?P<b>[0-9]+)(?![0-9/])"
    rf"|(?P<digits>{_DIGITS}){_POWER})(?P<percent>\s?\\?%|\s(?:percent|per cent)\b)?"
)
_MARKED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}|####\s*(.+)")
_ANNOUNCED = re.compile(r"\banswer\b\W*(?:is\b|:|=|\bwould be\b)(?=([^\n]{0,300}))", re.IGNORECASE)


class Number(NamedTuple):
    """A number and whether it is followed by a per cent sign."""

    value: float
    is_percent: bool = False


def grade_number(answer: str, item: Item, /) -> Grade:
    r"""Return 1 if the number of the answer is the expected one, within the relative tolerance of the item. Else 0.

    It is the number in the last `\boxed{}` or after `####`, else that after "answer:" or "answer is", else the last one.
    With a per cent sign on only one side, 50 and 0.5 are both 50 %.

    >>> grade_number("3 cost $1,200.50, so the answer is 1200.5 for 3.", Item(prompt="", expected="1200.5")).score
    1.0
    >>> grade_number(r"so \boxed{\frac{3}{4}}", Item(prompt="", expected="0.75")).score
    1.0
    """
    wanted, given = find_number(item.expected), find_number(answer)
    if wanted is None or given is None:
        return Grade(0.0)
    values = [given.value]
    if wanted.is_percent != given.is_percent:
        values.append(given.value * 100 if wanted.is_percent else given.value / 100)
    return Grade(float(any(_is_close(value, wanted.value, item.tolerance) for value in values)))


def find_number(text: str) -> Number | None:
    """Return the number that a text gives as its result. None if there is none.

    >>> find_number("12 + 30 = 42"), find_number("no number")
    (Number(value=42.0, is_percent=False), None)
    """
    for place in _find_places(text):
        found = list(_NUMBER.finditer(place))
        if found:
            return _read(found[0])
    found = list(_NUMBER.finditer(text))
    return _read(found[-1]) if found else None


def _find_places(text: str) -> list[str]:
    """Return the parts of a text that are said to be the result, the surest first."""
    marked = [next(filter(None, match.groups()), "") for match in _MARKED.finditer(text)]
    announced = [match[1] for match in _ANNOUNCED.finditer(text)]
    # In `2 + 3 = 5` the number after the last sign is the result.
    return [re.split(r"[=≈]", place)[-1] for place in (*marked[-1:], *announced[-1:])]


def _read(match: re.Match[str]) -> Number:
    part = match.groupdict()
    if part["over"]:
        value = _divide(float(part["over"]), float(part["under"]))
    elif part["a"]:
        value = float(part["whole"] or 0) + _divide(float(part["a"]), float(part["b"]))
    else:
        power = (part["e"] or part["ten"] or "0").replace("−", "-")
        value = float(f"{_plain(part['digits'])}e{power}")
    return Number(-value if part["sign"] in ("-", "−", "–") else value, part["percent"] is not None)


def _plain(digits: str) -> str:
    """Return digits without separators of thousands, with a dot before the decimals."""
    digits = re.sub(r"[\u00a0\u202f'’_ ]", "", digits)
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{3})+,[0-9]+", digits):
        digits = digits.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?", digits):
        digits = digits.replace(",", "")
    return digits.rstrip(".,").replace(",", ".")


def _divide(above: float, below: float) -> float:
    return above / below if below else math.nan


def _is_close(given: float, wanted: float, tolerance: float) -> bool:
    return abs(given - wanted) <= max(_ABSOLUTE, tolerance * abs(wanted))
