"""What is kept of one endpoint: its count in flight, its latency, its breaker and its penalty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, get_args

from router.health.breaker import Admission, BreakerState, CircuitBreaker
from router.health.histogram import LogHistogram
from router.health.latency import TYPICAL_OUTPUT_TOKENS, Fleet, LatencyEstimate
from router.health.policy import HealthPolicy
from router.types import FailureClass

FAILURE_CLASSES: Final[tuple[FailureClass, ...]] = get_args(FailureClass)
_PENALISED: Final = frozenset({"transient", "rate_limit", "auth"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointHealth:
    """What was known of one endpoint at one moment.

    Attributes:
        name: Its name.
        state: `closed`: as usual. `open`: cooling down after a trip, a rate limit or a refused key. `half-open`: one probe
            decides. `slow-start`: trusted with less than its weight for a while.
        retry_at: When its cooldown ends, by the clock of the live state; None without one.
        inflight: Requests under way.
        completed: Requests that succeeded.
        failures: Requests that did not, by class; every class is there.
        predicted_s: Seconds that a typical answer (300 tokens) would take now; the fleet's where nothing is known.
        ttft_s: Seconds to the first token by the last sample's estimate; None before the first sample, and so
        s_per_token: the seconds for each output token.
        latencies: Seconds of all its answers, whatever their length; can be merged with those of other endpoints.
        penalty_s: What its load does not go below after a failure; 0 without one.
    """

    name: str
    state: BreakerState
    retry_at: float | None
    inflight: int
    completed: int
    failures: Mapping[FailureClass, int]
    predicted_s: float
    ttft_s: float | None
    s_per_token: float | None
    latencies: LogHistogram = field(repr=False)
    penalty_s: float

    @property
    def p50_s(self) -> float | None:
        """Median seconds of its answers, off by at most 1 %; None before the first."""
        return self.latencies.quantile(0.5)

    @property
    def p95_s(self) -> float | None:
        """The 95th percentile, likewise."""
        return self.latencies.quantile(0.95)

    @property
    def p99_s(self) -> float | None:
        """The 99th percentile, likewise."""
        return self.latencies.quantile(0.99)


class EndpointState:
    """One endpoint's counts and estimates. Not thread-safe: the live state locks.

    Args:
        name: Its name.
        weight: Its capacity, > 0.
        policy: The numbers.
        breaker: Its own.
    """

    __slots__ = (
        "_completed",
        "_failures",
        "_latencies",
        "_penalised_at",
        "_penalty_s",
        "_policy",
        "_weight",
        "breaker",
        "inflight",
        "latency",
        "name",
    )

    def __init__(self, name: str, weight: float, policy: HealthPolicy, breaker: CircuitBreaker) -> None:
        self.name, self._weight, self._policy, self.breaker = name, weight, policy, breaker
        self.inflight = self._completed = 0
        self._failures: dict[FailureClass, int] = dict.fromkeys(FAILURE_CLASSES, 0)
        self.latency, self._latencies = LatencyEstimate(), LogHistogram()
        self._penalty_s = self._penalised_at = 0.0

    def is_being_tried(self) -> bool:
        """Whether the request that will give the first sample is under way."""
        return self.inflight > 0 and self.latency.pace is None

    def weight(self, now: float) -> float:
        """Return the capacity at this moment, > 0."""
        return self._weight * self.breaker.capacity(now)

    def load(self, output_tokens: float, now: float, fleet: Fleet) -> float:
        """Return predicted seconds × (in flight + 1) / weight, never below the penalty; infinite while it is first tried."""
        if self.is_being_tried():
            return math.inf
        busy_s = self.latency.predicted_s(output_tokens, now, fleet) * (self.inflight + 1) / self.weight(now)
        return max(busy_s, self.penalty_s(now)) if self._penalty_s else busy_s

    def penalty_s(self, now: float) -> float:
        """Return what is left of the penalty for the last failure, ≥ 0."""
        age = max(0.0, now - self._penalised_at) / self._policy.penalty_decay_s
        return self._penalty_s * max(0.0, 1 - age)

    def succeeded(
        self, admission: Admission, now: float, fleet: Fleet, *, first_token_at: float | None, output_tokens: int | None
    ) -> None:
        """Count an answer and learn from what it took."""
        self._completed += 1
        self.breaker.record(admission, None, now)
        seconds = now - admission.at
        # A clock that went back tells nothing of the endpoint.
        if not 0 <= seconds < math.inf:
            return
        self._latencies.add(seconds)
        self.latency.add(
            seconds,
            first_token_s=None if first_token_at is None else first_token_at - admission.at,
            output_tokens=output_tokens,
            now=now,
            decay_s=fleet.decay_s,
        )

    def failed(
        self, admission: Admission, kind: FailureClass, now: float, fleet: Fleet, *, retry_after_s: float | None
    ) -> None:
        """Count a failure; unless the request is at fault or the caller left, the load gets a penalty."""
        self._failures[kind] += 1
        self.breaker.record(admission, kind, now, retry_after_s=retry_after_s)
        if kind in _PENALISED:
            self._penalty_s = max(self._policy.penalty_medians * fleet.median_s, self._policy.penalty_min_s)
            self._penalised_at = now

    def health(self, now: float, fleet: Fleet) -> EndpointHealth:
        """Return all of it as values that change no more."""
        pace = self.latency.pace
        return EndpointHealth(
            name=self.name,
            state=self.breaker.state(now),
            retry_at=self.breaker.retry_at(now),
            inflight=self.inflight,
            completed=self._completed,
            failures=dict(self._failures),
            predicted_s=self.latency.predicted_s(TYPICAL_OUTPUT_TOKENS, now, fleet),
            ttft_s=None if pace is None else pace.first_token_s,
            s_per_token=None if pace is None else pace.per_token_s,
            latencies=self._latencies.copy(),
            penalty_s=self.penalty_s(now),
        )
