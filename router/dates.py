"""A date that may lack its day in, its first day out."""

from __future__ import annotations

import re
from datetime import date

_FORM = re.compile(r"\d{4}-\d{2}(-\d{2})?")


def first_day(text: str) -> date | None:
    """Return the first day that a date may mean. None if it is no date.

    Args:
        text: A date as `YYYY-MM-DD` or `YYYY-MM`.

    >>> first_day("2026-11"), first_day("2026-11-30"), first_day("May 2026")
    (datetime.date(2026, 11, 1), datetime.date(2026, 11, 30), None)
    """
    if not _FORM.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text if text.count("-") > 1 else f"{text}-01")
    except ValueError:
        return None
