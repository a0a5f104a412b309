"""Turn figures of a benchmark into figures with 95 % intervals, by a bootstrap over groups of prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.intervals import RESAMPLES, Interval
from training.verdict.score_table import ScoreTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEVELS = (0.025, 0.975)
# Bounds the memory of one block of weights: 4 million floats, 32 MB.
_WEIGHTS_AT_ONCE = 4_000_000


def resample(statistics: Callable[[NDArray[np.float64]], NDArray[np.float64]], table: ScoreTable) -> NDArray[np.float64]:
    """Return k statistics of all prompts and of every resample.

    The resamples depend on the table alone. Two statistics of one table are therefore paired, row by row.

    Args:
        statistics: Takes weights of prompts, shape (rows, n), each row with sum 1. Returns shape (rows, k).
        table: The outcomes.

    Returns:
        Shape (1 + resamples, k). The first row is that of all prompts.
    """
    return np.concatenate([statistics(weights) for weights in _draw_weights(table)])


def _draw_weights(table: ScoreTable) -> Iterator[NDArray[np.float64]]:
    """Yield blocks of weights: equal weights first, then those of the resamples."""
    n, groups = len(table.group), int(table.group.max()) + 1
    yield np.full((1, n), 1 / n)
    # A new generator on each call: every statistic sees the same resamples.
    rng = np.random.default_rng(table.seed)
    rows = max(1, _WEIGHTS_AT_ONCE // n)
    for start in range(0, RESAMPLES, rows):
        drawn = (rng.integers(0, groups, groups) for _ in range(start, min(start + rows, RESAMPLES)))
        counts = np.stack([np.bincount(sample, minlength=groups)[table.group] for sample in drawn])
        yield counts / counts.sum(axis=1, keepdims=True)


def interval_of(figures: NDArray[np.float64]) -> Interval:
    """Return the first figure with the 2.5 % and 97.5 % percentiles of the others.

    NaN among the others is left out. Both ends are figures that occur, rounded outwards.

    Args:
        figures: One column of `resample`, shape (1 + resamples,).
    """
    drawn = np.sort(figures[1:][~np.isnan(figures[1:])])
    # No interpolation between two figures: one of them may be infinite.
    low, high = (level * (len(drawn) - 1) for level in _LEVELS)
    return Interval(value=float(figures[0]), low=float(drawn[math.floor(low)]), high=float(drawn[math.ceil(high)]))
