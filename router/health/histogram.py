"""Take latencies and return their quantiles, from few counters that other histograms can be merged into."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from router.errors import InputError

RELATIVE_ERROR: Final = 0.01
SHORTEST_S: Final = 1e-9
LONGEST_S: Final = 1e9
_RATIO: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_RATIO: Final = math.log(_RATIO)


@dataclass(slots=True)
class LogHistogram:
    """Counts in buckets whose edges grow by 2 %, so that a quantile is off by at most 1 % of itself.

    Bucket i holds (γⁱ⁻¹, γⁱ] with γ = 1.01 / 0.99 and is reported as 2γⁱ / (γ + 1). Seconds outside [1 ns, 1e9 s] count as
    the nearer end, so that there are never more than 2,074 buckets. Not thread-safe: its owner locks.

    Source: Masson, Rim and Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees",
    VLDB 2019, section 2.1. A fixed range replaces the collapsing of the lowest buckets in that paper.
    """

    _counts: dict[int, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of samples."""
        return sum(self._counts.values())

    def add(self, seconds: float) -> None:
        """Count one sample.

        Raises:
            InputError: If the sample is NaN, infinite or negative. Nothing is counted then.
        """
        if not 0 <= seconds < math.inf:
            raise InputError(f"seconds must be finite and not negative, got {seconds!r}; leave the sample out")
        # The range is clipped before the logarithm: log(0) would raise.
        bucket = math.ceil(math.log(min(max(seconds, SHORTEST_S), LONGEST_S)) / _LOG_RATIO)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def quantile(self, q: float) -> float | None:
        """Return the seconds that a share `q` of the samples does not exceed. None without samples.

        It is the sample at place ⌊q · (count − 1)⌋ of the sorted samples, counted from 0, within 1 %.

        Raises:
            InputError: If `q` is outside [0, 1].
        """
        if not 0 <= q <= 1:
            raise InputError(f"q must be in [0, 1], got {q!r}; the 99th percentile is 0.99")
        left = math.floor(q * (self.count - 1))
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left < 0:
                # The point whose relative distance to both edges of the bucket is the same.
                return 2 * math.exp(bucket * _LOG_RATIO) / (_RATIO + 1)
        return None

    def merge(self, other: LogHistogram) -> Self:
        """Add all samples of `other`, which does not change, and return this histogram."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        return self

    @property
    def counts(self) -> dict[int, int]:
        """Number of samples of each bucket that has any, by the number i of the bucket."""
        return dict(self._counts)

    @classmethod
    def of(cls, counts: Mapping[int, int]) -> Self:
        """Return the histogram with these counts."""
        return cls(dict(counts))

    def copy(self) -> LogHistogram:
        """Return an independent copy."""
        return LogHistogram(dict(self._counts))
