"""Take the headers or the text of a refusal and return the seconds that the server asks to wait."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

_UNITS_S = {"ms": 0.001, "mi": 60.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"\d{1,9}(?:\.\d{1,12})? ?(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
_PARTS = re.compile(_PART)
_WAIT = re.compile(
    rf"(?:(?:try again|retry|retrying|resets?|reset|back) (?:in|after)|retry-after:?|wait(?: for)?) (?:about |another )?"
    rf"(?P<wait>{_PART}(?:(?:, | and | )?{_PART}){{0,3}}|\d{{1,9}}(?:\.\d{{1,12}})?(?![\w.]))"
)


def find_wait_s(text: str) -> float | None:
    """Return the seconds that a lower-case text asks to wait. None if it does not.

    >>> find_wait_s("rate limit reached. please try again in 1m6.5s."), find_wait_s("retry 3 times")
    (66.5, None)
    """
    found = _WAIT.search(text)
    if found is None:
        return None
    parts = _PARTS.findall(found["wait"])
    # A number without a unit means seconds, as in Retry-After.
    seconds = sum(map(_part_s, parts)) if parts else float(found["wait"])
    return seconds if 0 < seconds < math.inf else None


def _part_s(part: str) -> float:
    number = re.match(r"[\d.]+", part)
    unit = part.lstrip("0123456789. ")
    scale = _UNITS_S["ms"] if unit.startswith(("ms", "milli")) else _UNITS_S[unit[0]]
    return float(number[0] if number else 0) * scale


def read_retry_after(headers: Mapping[str, str], wall_clock: Callable[[], float]) -> float | None:
    """Return the seconds of Retry-After (RFC 9110, 10.2.3: seconds or a date), ≥ 0. None without the header.

    Args:
        headers: Headers of the answer, in any case.
        wall_clock: Seconds since the epoch, for a date.
    """
    lower = {str(name).lower(): value for name, value in headers.items()}
    # The header in milliseconds, which OpenAI sends, is the more exact one.
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(lower[name]) * unit_s
        except (KeyError, ValueError):
            continue
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        return max(0.0, parsedate_to_datetime(lower["retry-after"]).timestamp() - wall_clock())
    except (KeyError, ValueError):
        return None
