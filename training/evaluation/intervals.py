"""A statistic and n rows in, its value with a 95 % bootstrap interval out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its 95 % bootstrap interval.

    Attributes:
        value: The figure on all rows.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(statistic: Callable[[NDArray[np.int64]], float], n: int, *, seed: int) -> Interval:
    """Return a statistic of all n rows with its 95 % percentile interval (Efron and Tibshirani, 1993, section 13.3).

    Args:
        statistic: Computes the figure from an index of rows.
        n: Number of rows.
        seed: Seed of the resamples.

    >>> scores = np.array([1, 0, 1, 1])
    >>> bootstrap(lambda sample: float(scores[sample].mean()), len(scores), seed=0).value
    0.75
    """
    return bootstrap_each(lambda sample: np.array([statistic(sample)]), n, seed=seed)[0]


def bootstrap_each(statistics: Callable[[NDArray[np.int64]], NDArray[np.float64]], n: int, *, seed: int) -> list[Interval]:
    """Return the intervals of several statistics, all on the same resamples.

    Args:
        statistics: Computes k figures from an index of rows, shape (k,).
        n: Number of rows.
        seed: Seed of the resamples.
    """
    rng = np.random.default_rng(seed)
    values = statistics(np.arange(n))
    lows, highs = np.percentile([statistics(rng.integers(0, n, n)) for _ in range(RESAMPLES)], [2.5, 97.5], axis=0)
    return [
        Interval(value=value, low=low, high=high)
        for value, low, high in zip(values.tolist(), lows.tolist(), highs.tolist(), strict=True)
    ]
