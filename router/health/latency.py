"""How long a request will take: a peak-EWMA of the time to the first token and of the seconds per output token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.errors import InputError
from router.health.policy import HealthPolicy

# Tokens of an answer whose length is not known.
TYPICAL_OUTPUT_TOKENS: Final = 300
# An answer that did not stream hides when its first token came: it is taken to have lasted as long as this many others.
_FIRST_TOKEN_WORTH_TOKENS: Final = 50
# A clock too coarse to see a call pass must not make its load vanish.
_SHORTEST_S: Final = 1e-6


def peak_ewma(last: float, sample: float, *, elapsed_s: float, decay_s: float) -> float:
    """Return the estimate after a sample: a peak counts at once and in full, anything lower by and by.

    With w = exp(−elapsed / decay), the last estimate has faded to decayed = last · w; a sample that reaches it replaces
    it, a lower one gives decayed · w + sample · (1 − w).

    Source: Finagle's load balancer `p2cPeakEwma`; there the fading happens at each reading, here it depends on time alone.

    Raises:
        InputError: The sample is NaN, infinite or negative.
    """
    if not 0 <= sample < math.inf:
        raise InputError(f"a latency must be finite and not negative, was {sample!r}; leave the sample out")
    kept = math.exp(-max(elapsed_s, 0.0) / decay_s)
    decayed = last * kept
    return sample if sample >= decayed else decayed * kept + sample * (1 - kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds to the first token, and seconds for each output token; kept apart, or long answers would look slow."""

    first_token_s: float
    per_token_s: float

    def seconds(self, output_tokens: float) -> float:
        """Return how long an answer of that many tokens takes."""
        return self.first_token_s + self.per_token_s * output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What the endpoints that have answered have in common.

    Attributes:
        typical: Pace of the median one by the seconds of a typical answer, the mean of the two in the middle of an even
            number; without any, `unknown_latency_s` whatever the length.
        fastest: Pace of the fastest by the same measure.
        decay_s: Time constant by which latencies are forgotten.
    """

    typical: Pace
    fastest: Pace
    decay_s: float

    @property
    def median_s(self) -> float:
        """Seconds of a typical answer."""
        return self.typical.seconds(TYPICAL_OUTPUT_TOKENS)


def fleet_of(paces: Sequence[Pace], policy: HealthPolicy) -> Fleet:
    """Return what these paces have in common."""
    if not paces:
        unknown = Pace(first_token_s=policy.unknown_latency_s, per_token_s=0.0)
        return Fleet(typical=unknown, fastest=unknown, decay_s=policy.latency_decay_s)
    ordered = sorted(paces, key=lambda pace: pace.seconds(TYPICAL_OUTPUT_TOKENS))
    below, above = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    typical = Pace(
        first_token_s=(below.first_token_s + above.first_token_s) / 2,
        per_token_s=(below.per_token_s + above.per_token_s) / 2,
    )
    wanted_s = policy.latency_decay_medians * typical.seconds(TYPICAL_OUTPUT_TOKENS)
    decay_s = min(max(wanted_s, policy.latency_decay_min_s), policy.latency_decay_max_s)
    return Fleet(typical=typical, fastest=ordered[0], decay_s=decay_s)


class LatencyEstimate:
    """What one endpoint's answers took. Not thread-safe: its owner locks.

    Attributes:
        pace: As of the last sample; None before the first.
    """

    __slots__ = ("_sampled_at", "pace")

    def __init__(self) -> None:
        self.pace: Pace | None = None
        self._sampled_at = 0.0

    def add(
        self, seconds: float, *, first_token_s: float | None, output_tokens: int | None, now: float, decay_s: float
    ) -> None:
        """Learn from one answer.

        Args:
            seconds: From asking to the end.
            first_token_s: From asking to the first token; None where it did not stream.
            output_tokens: Its length; None, negative or not finite counts as a typical one, 0 as 1.
            now: By the owner's clock.
            decay_s: Time constant of forgetting.

        Raises:
            InputError: `seconds` is NaN, infinite or negative; nothing was learnt.
        """
        sample = _pace_of(seconds, first_token_s, output_tokens)
        if self.pace is not None:
            elapsed_s, last = now - self._sampled_at, self.pace
            sample = Pace(
                first_token_s=peak_ewma(last.first_token_s, sample.first_token_s, elapsed_s=elapsed_s, decay_s=decay_s),
                per_token_s=peak_ewma(last.per_token_s, sample.per_token_s, elapsed_s=elapsed_s, decay_s=decay_s),
            )
        self.pace, self._sampled_at = sample, now

    def predicted_s(self, output_tokens: float, now: float, fleet: Fleet) -> float:
        """Return the seconds, > 0, that an answer of that length would take if it were asked for now.

        A bad latency fades with time, so that the endpoint is tried again and can show that it got better; but only to
        that of the fastest, or one left alone for long would seem to answer in no time. Without a sample: the median.
        """
        # Written out, as this runs for every candidate of every request.
        pace = self.pace
        if pace is None:
            return fleet.typical.seconds(output_tokens)
        seconds = pace.first_token_s + pace.per_token_s * output_tokens
        least_s = fleet.fastest.first_token_s + fleet.fastest.per_token_s * output_tokens
        age_s = now - self._sampled_at
        if seconds <= least_s or age_s <= 0:
            return seconds
        faded_s = seconds * math.exp(-age_s / fleet.decay_s)
        return faded_s if faded_s > least_s else least_s


def _pace_of(seconds: float, first_token_s: float | None, output_tokens: int | None) -> Pace:
    if not 0 <= seconds < math.inf:
        raise InputError(f"seconds must be finite and not negative, was {seconds!r}; leave the sample out")
    tokens = TYPICAL_OUTPUT_TOKENS
    if output_tokens is not None and 0 <= output_tokens < math.inf:
        tokens = max(output_tokens, 1)
    if first_token_s is None or not 0 <= first_token_s <= seconds:
        per_token_s = seconds / (tokens + _FIRST_TOKEN_WORTH_TOKENS)
        first_token_s = per_token_s * _FIRST_TOKEN_WORTH_TOKENS
    else:
        per_token_s = (seconds - first_token_s) / tokens
    return Pace(first_token_s=max(first_token_s, _SHORTEST_S), per_token_s=per_token_s)
