"""Observations in, a confidence sequence out: intervals that all hold together, so that looking early is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.evaluation.intervals import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHA = 0.05
# The sequence is narrowest around this number of observations, and little wider elsewhere.
_TUNED_FOR = 1000
# The sequence is valid as its start grows. Before it, nothing is said.
FEWEST = 100
# The variance counts so many more observations, one standard deviation away. Without them, scores of which nearly all are
# equal look more certain than they are, and more than 5 % of the sequences miss (`benchmarks/experiments.py ab`).
_MORE = 12
# Largest variance of a score in [0, 1].
SCORE_VARIANCE = 0.25


class Moments(NamedTuple):
    """Number, mean and variance of observations."""

    n: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: Sequence[float] | NDArray[np.float64], *, least: float = SCORE_VARIANCE) -> Moments:
        """Return the moments of some values. Without any, the mean is 0.

        Args:
            values: The values.
            least: Least variance of the observations that are added. 0 for values on another scale than scores.
        """
        n = len(values)
        if n == 0:
            return cls(0, 0.0, 0.0)
        array = np.asarray(values, np.float64)
        return cls(n, float(array.mean()), widen(float(array.var()), n, least=least))


def widen(variance: float, n: float, *, least: float = SCORE_VARIANCE) -> float:
    """Return the variance of n observations with those that are added."""
    return variance + _MORE * max(variance, least) / n


def half_width(n: int, variance: float, *, alpha: float = ALPHA) -> float:
    """Return half the width of an asymptotic confidence sequence after n observations.

    It is √(σ² · 2(nρ² + 1) / (n²ρ²) · ln(√(nρ² + 1) / α)), by theorem 2.2 of Waudby-Smith, Arbour, Sinha, Kennedy and
    Ramdas (2024), Time-uniform central limit theory and asymptotic confidence sequences, Annals of Statistics 52(6). ρ is
    tuned as in their appendix B.2. All intervals after a late enough start hold together with probability 1 − α.

    Args:
        n: Number of observations, ≥ 1.
        variance: Their variance.
        alpha: Probability that any of the intervals misses, in (0, 1).
    """
    log = -2 * math.log(alpha)
    spread = n * (log + math.log(log) + 1) / _TUNED_FOR  # nρ²
    return math.sqrt(variance * 2 * (spread + 1) / (n * spread) * math.log(math.sqrt(spread + 1) / alpha))


def bound_mean(moments: Moments, *, alpha: float = ALPHA) -> Interval:
    """Return the mean with its interval. It is infinitely wide before the start of the sequence."""
    width = half_width(moments.n, moments.variance, alpha=alpha) if moments.n >= FEWEST else math.inf
    return Interval(value=moments.mean, low=moments.mean - width, high=moments.mean + width)


def bound_difference(other: Moments, control: Moments, *, alpha: float = ALPHA) -> Interval:
    """Return the difference of two means with its interval, `other` minus `control`.

    The arms get their observations in turn, so both grow. One observation of the difference has the variance
    n (σ₁² / n₁ + σ₀² / n₀) with n = n₁ + n₀. This is the variance of a difference that is weighted by the shares.

    Args:
        other: The observations of one arm.
        control: Those of the other one.
        alpha: Probability that any of the intervals misses, in (0, 1).
    """
    value = other.mean - control.mean
    if min(other.n, control.n) < FEWEST:
        return Interval(value=value, low=-math.inf, high=math.inf)
    width = half_width(other.n + control.n, difference_variance(other, control), alpha=alpha)
    return Interval(value=value, low=value - width, high=value + width)


def difference_variance(other: Moments, control: Moments) -> float:
    """Return the variance of one observation of a difference. See `bound_difference`."""
    return (other.n + control.n) * (other.variance / other.n + control.variance / control.n)


def find_needed(n: int, variance: float, distance: float, *, alpha: float = ALPHA) -> int | None:
    """Return about how many observations an interval needs whose end is this far from the mean. None beyond 100 million.

    Args:
        n: Number of observations so far, ≥ 1.
        variance: Their variance.
        distance: Half the width that is needed, > 0.
        alpha: As in `half_width`.
    """
    most = 100_000_000
    while n < most and half_width(n, variance, alpha=alpha) > distance:
        n = math.ceil(n * 1.02)
    return n if n < most else None
