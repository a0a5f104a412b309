"""Latencies of a benchmark in, a note if some seem to be in milliseconds out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.data.columns import join, split_rows
from training.data.problems import count_more

if TYPE_CHECKING:
    from numpy.typing import NDArray

# An answer in seconds is below the second one. It is below the first one, too, unless the whole file is slow.
_SLOW_S, _SLOWEST_S = 100.0, 600.0


def describe_latencies(latency_s: NDArray[np.float64], numbers: NDArray[np.int32]) -> list[str]:
    """Return a note if latencies look like milliseconds.

    A latency is suspicious above 600 s. Above 100 s it is if it is 100 times the median, or if no latency is lower.

    Args:
        latency_s: Seconds of each row, shape (rows,). NaN if unknown.
        numbers: Number of each row in the file.
    """
    # The median sorts its array in place, so it gets one of its own.
    known = join(part[~np.isnan(part)] for part in (latency_s[rows] for rows in split_rows(len(latency_s))))
    if not len(known):
        return []
    lowest, median = known.min(), np.median(known, overwrite_input=True)
    limit = _SLOW_S if lowest > _SLOW_S else float(np.clip(100 * median, _SLOW_S, _SLOWEST_S))
    # False for NaN.
    slow = join(rows.start + np.flatnonzero(latency_s[rows] > limit) for rows in split_rows(len(latency_s)))
    if not len(slow):
        return []
    return [
        f"latency_s must be seconds, got {latency_s[slow[0]]:g} in row {numbers[slow[0]]}"
        f"{count_more(len(slow) - 1, 'rows')}; divide it by 1,000 if it is in milliseconds"
    ]
