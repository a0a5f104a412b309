"""Take the times of an endpoint's answers and predict how long its next answer will take.

The estimate is a peak-EWMA of the time to the first token and of the seconds per output token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.errors import InputError
from router.health.policy import HealthPolicy

# Assumed length of an answer if its length is not known.
TYPICAL_OUTPUT_TOKENS: Final = 300
# An answer that is not streamed hides when its first token came. That is assumed to take as long as this many later tokens.
_FIRST_TOKEN_WORTH_TOKENS: Final = 50
# A coarse clock may measure 0 s. The load must not become 0 then, or requests in flight would not count.
_SHORTEST_S: Final = 1e-6


def peak_ewma(last: float, sample: float, *, elapsed_s: float, decay_s: float) -> float:
    """Return the estimate after a sample: a peak counts at once and in full, a lower sample gradually.

    With w = exp(−elapsed / decay), the last estimate has faded to decayed = last · w. A sample that reaches `decayed`
    replaces it. A lower sample gives decayed · w + sample · (1 − w).

    Source: Finagle's load balancer `p2cPeakEwma`. There the estimate fades each time it is read, here with time alone.

    Args:
        last: Estimate before the sample.
        sample: New latency, finite and at least 0.
        elapsed_s: Seconds since the last sample. Negative values count as 0.
        decay_s: Time constant, > 0.

    Raises:
        InputError: If the sample is NaN, infinite or negative.
    """
    if not 0 <= sample < math.inf:
        raise InputError(f"a latency must be finite and not negative, got {sample!r}; leave the sample out")
    kept = math.exp(-max(elapsed_s, 0.0) / decay_s)
    decayed = last * kept
    return sample if sample >= decayed else decayed * kept + sample * (1 - kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast an endpoint writes. The two parts are kept apart because otherwise long answers would look slow.

    Attributes:
        first_token_s: Seconds to the first token.
        per_token_s: Seconds for each output token.
    """

    first_token_s: float
    per_token_s: float

    def seconds(self, output_tokens: float) -> float:
        """Return the seconds that an answer of that many tokens takes."""
        return self.first_token_s + self.per_token_s * output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceSummary:
    """Summary of the paces of all endpoints that have answered.

    Attributes:
        typical: Pace of the median endpoint, by the seconds of a typical answer. It is the mean of the two middle ones if
            their number is even. Without any it is `unknown_latency_s`, whatever the length.
        fastest: Pace of the fastest endpoint by the same measure.
        decay_s: Time constant for forgetting latencies.
    """

    typical: Pace
    fastest: Pace
    decay_s: float

    @property
    def median_s(self) -> float:
        """Seconds of a typical answer at the typical pace."""
        return self.typical.seconds(TYPICAL_OUTPUT_TOKENS)


def summarize_paces(paces: Sequence[Pace], policy: HealthPolicy) -> PaceSummary:
    """Return the median pace, the fastest pace and the time constant that follows from them."""
    if not paces:
        unknown = Pace(first_token_s=policy.unknown_latency_s, per_token_s=0.0)
        return PaceSummary(typical=unknown, fastest=unknown, decay_s=policy.latency_decay_s)
    ordered = sorted(paces, key=lambda pace: pace.seconds(TYPICAL_OUTPUT_TOKENS))
    below, above = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    typical = Pace(
        first_token_s=(below.first_token_s + above.first_token_s) / 2,
        per_token_s=(below.per_token_s + above.per_token_s) / 2,
    )
    # In medians, because an endpoint with slow answers gives fewer samples per minute.
    wanted_s = policy.latency_decay_medians * typical.seconds(TYPICAL_OUTPUT_TOKENS)
    decay_s = min(max(wanted_s, policy.latency_decay_min_s), policy.latency_decay_max_s)
    return PaceSummary(typical=typical, fastest=ordered[0], decay_s=decay_s)


class LatencyEstimate:
    """Latency of one endpoint. Not thread-safe: its owner locks.

    Attributes:
        pace: Estimate at the time of the last sample. None before the first.
    """

    __slots__ = ("_sampled_at", "pace")

    def __init__(self) -> None:
        self.pace: Pace | None = None
        self._sampled_at = 0.0

    def add(self, sample: Pace, *, now: float, decay_s: float) -> None:
        """Update the estimate with the pace of one answer.

        Args:
            sample: The pace.
            now: Time by the owner's clock.
            decay_s: Time constant for forgetting.

        Raises:
            InputError: If a part of it is NaN, infinite or negative. The estimate does not change then.
        """
        if self.pace is not None:
            elapsed_s, last = now - self._sampled_at, self.pace
            sample = Pace(
                first_token_s=peak_ewma(last.first_token_s, sample.first_token_s, elapsed_s=elapsed_s, decay_s=decay_s),
                per_token_s=peak_ewma(last.per_token_s, sample.per_token_s, elapsed_s=elapsed_s, decay_s=decay_s),
            )
        self.pace, self._sampled_at = sample, now

    def hear(self, pace: Pace, sampled_at: float) -> None:
        """Take over an estimate that is made of the answers of several processes, this one included."""
        self.pace, self._sampled_at = pace, sampled_at

    def predicted_s(self, output_tokens: float, now: float, pace_summary: PaceSummary) -> float:
        """Return the seconds, > 0, that an answer of that length would take if it were requested now.

        A bad latency fades with time, so that the endpoint is tried again and can show that it improved. It fades only to
        the latency of the fastest endpoint, because otherwise an idle endpoint would seem to answer in no time. Without a
        sample it is the median.

        Args:
            output_tokens: Expected length of the answer, ≥ 0.
            now: Time by the owner's clock.
            pace_summary: Paces of all endpoints.
        """
        # Pace.seconds() is written out here because this runs for every candidate of every request.
        pace = self.pace
        if pace is None:
            return pace_summary.typical.seconds(output_tokens)
        seconds = pace.first_token_s + pace.per_token_s * output_tokens
        least_s = pace_summary.fastest.first_token_s + pace_summary.fastest.per_token_s * output_tokens
        age_s = now - self._sampled_at
        # For short answers an endpoint may beat the fastest one, which is the fastest for a typical answer only.
        if seconds <= least_s or age_s <= 0:
            return seconds
        faded_s = seconds * math.exp(-age_s / pace_summary.decay_s)
        return faded_s if faded_s > least_s else least_s


def make_pace(seconds: float, first_token_s: float | None, output_tokens: int | None) -> Pace:
    """Return the pace of an answer.

    Args:
        seconds: From the request to the end of the answer.
        first_token_s: From the request to the first token. None if the answer was not streamed.
        output_tokens: Length of the answer. None, a negative or an infinite length counts as typical, 0 counts as 1.

    Raises:
        InputError: If `seconds` is NaN, infinite or negative.
    """
    if not 0 <= seconds < math.inf:
        raise InputError(f"seconds must be finite and not negative, got {seconds!r}; leave the sample out")
    tokens = TYPICAL_OUTPUT_TOKENS
    if output_tokens is not None and 0 <= output_tokens < math.inf:
        tokens = max(output_tokens, 1)
    # A first token outside the answer's time usually comes from a clock that jumped.
    if first_token_s is None or not 0 <= first_token_s <= seconds:
        per_token_s = seconds / (tokens + _FIRST_TOKEN_WORTH_TOKENS)
        first_token_s = per_token_s * _FIRST_TOKEN_WORTH_TOKENS
    else:
        per_token_s = (seconds - first_token_s) / tokens
    return Pace(first_token_s=max(first_token_s, _SHORTEST_S), per_token_s=per_token_s)
