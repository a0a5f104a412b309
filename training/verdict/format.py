"""Format figures and intervals for people: three significant digits, true minus signs, a word for unknown ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

from training.evaluation.intervals import Interval

UNKNOWN, NEVER = "unknown", "never"
PER_PROMPTS = 1000
_DIGITS, _LEAD_PLACES = 3, 4


def format_figure(value: float | None, *, places: int | None = None, signed: bool = False) -> str:
    """Return a figure as text: `0.753`, `3.34`, `12,300`, `-0.012`, `unknown`, `inf`.

    Args:
        value: The figure. None or NaN if unknown.
        places: Number of decimal places. None: as many as three significant digits need.
        signed: Whether a positive figure gets a plus sign.
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    places = _count_places([value]) if places is None else places
    # Adding 0.0 turns -0.0 into 0.0.
    rounded = round(value, places) + 0.0
    return f"{rounded:{'+' if signed and rounded else ''},.{max(places, 0)}f}"


def format_interval(interval: Interval | None, *, scale: float = 1) -> str:
    """Return `0.753 [0.741, 0.765]`, or `never` for None.

    The largest of the three figures gets three significant digits. The others get as many decimal places.

    Args:
        interval: The interval.
        scale: Factor for all three figures, such as 1,000 for a cost per 1,000 prompts.
    """
    if interval is None:
        return NEVER
    figures = [scale * figure for figure in (interval.value, interval.low, interval.high)]
    return _format_figures(figures, _count_places(figures))


def format_lead(interval: Interval) -> str:
    """Return `+0.0123 [−0.0010, +0.0256]`, with at most four decimal places."""
    figures = [interval.value, interval.low, interval.high]
    return _format_figures(figures, min(_count_places(figures), _LEAD_PLACES), signed=True)


def _format_figures(figures: Sequence[float], places: int, *, signed: bool = False) -> str:
    value, low, high = (format_figure(figure, places=places, signed=signed) for figure in figures)
    return f"{value} [{low}, {high}]"


def format_share(interval: Interval | None, *, signed: bool = False) -> str:
    """Return `46 % [39, 52]`, or `never` for None."""
    if interval is None:
        return NEVER
    value, low, high = (
        format_figure(100 * figure, places=0, signed=signed) for figure in (interval.value, interval.low, interval.high)
    )
    return f"{value} % [{low}, {high}]"


def format_percent(share: float) -> str:
    """Return `95 %` for 0.95."""
    return f"{100 * share:.0f} %"


def _count_places(figures: Sequence[float]) -> int:
    """Return the decimal places that show three significant digits of the largest figure.

    A negative number rounds digits before the decimal point: −2 rounds to hundreds.
    """
    largest = max((abs(figure) for figure in figures if math.isfinite(figure)), default=0.0)
    return _DIGITS - 1 - math.floor(math.log10(largest)) if largest else _DIGITS - 1


def per_1000(usd: float | None) -> float | None:
    """Return the cost of 1,000 prompts from the cost of one. None if unknown."""
    return None if usd is None else usd * PER_PROMPTS
