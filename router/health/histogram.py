"""Quantiles of very many latencies from few counters, which histograms of other places can be added to."""

from __future__ import annotations

import math
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

    Bucket i holds (γⁱ⁻¹, γⁱ] with γ = 1.01 / 0.99 and answers 2γⁱ / (γ + 1). Seconds outside [1 ns, 1e9 s] count as the
    nearer end, so that there are never more than 2,074 buckets. Not thread-safe: its owner locks.

    Source: Masson, Rim and Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees",
    VLDB 2019, section 2.1; a fixed range stands in for its collapsing of the lowest buckets.
    """

    _counts: dict[int, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many samples it holds."""
        return sum(self._counts.values())

    def add(self, seconds: float) -> None:
        """Count one sample.

        Raises:
            InputError: It is NaN, infinite or negative; nothing was counted.
        """
        if not 0 <= seconds < math.inf:
            raise InputError(f"seconds must be finite and not negative, was {seconds!r}; leave the sample out")
        bucket = math.ceil(math.log(min(max(seconds, SHORTEST_S), LONGEST_S)) / _LOG_RATIO)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def quantile(self, q: float) -> float | None:
        """Return the seconds that a share `q` of the samples does not exceed; None while there are none.

        It is the sample at place ⌊q · (count − 1)⌋ of the sorted ones, counted from 0, give or take 1 %.

        Raises:
            InputError: `q` is outside [0, 1].
        """
        if not 0 <= q <= 1:
            raise InputError(f"q must be in [0, 1], was {q!r}; the 99th percentile is 0.99")
        left = math.floor(q * (self.count - 1))
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left < 0:
                return 2 * math.exp(bucket * _LOG_RATIO) / (_RATIO + 1)
        return None

    def merge(self, other: LogHistogram) -> Self:
        """Take the other's samples in as if they had been added here; the other stays as it is. Returns itself."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        return self

    def copy(self) -> LogHistogram:
        """Return one that goes its own way."""
        return LogHistogram(dict(self._counts))
