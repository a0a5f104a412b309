"""An answer is right if a regular expression finds something in it."""

from __future__ import annotations

import re

from training.measure.item import Grade, Item


def grade_regex(answer: str, item: Item, /) -> Grade:
    r"""Return 1 if the pattern matches anywhere in the answer. Else 0.

    Flags stand in the pattern: `(?i)` for any case, `(?s)` for a dot that also matches line ends. The pattern is the user's
    own: one that backtracks without end is not stopped.

    >>> grade_regex("Invoice no. 2024-17", Item(prompt="", expected=r"\b2024-\d+\b")).score
    1.0
    """
    return Grade(float(re.search(item.expected, answer) is not None))
