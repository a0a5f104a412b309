"""Take the results of one endpoint's calls and report its load, latency, penalty and breaker state."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, get_args

from router.health.breaker import Admission, BreakerState, CircuitBreaker
from router.health.histogram import LogHistogram
from router.health.latency import TYPICAL_OUTPUT_TOKENS, LatencyEstimate, PaceSummary, make_pace
from router.health.news import Heard, News, Told
from router.health.policy import HealthPolicy
from router.types import FailureClass

FAILURE_CLASSES: Final[tuple[FailureClass, ...]] = get_args(FailureClass)
# A faulty request or a caller who left says nothing about the endpoint.
_PENALISED: Final[tuple[FailureClass, ...]] = ("transient", "rate_limit", "auth")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointHealth:
    """State of one endpoint at one moment.

    Attributes:
        name: Name of the endpoint.
        state: `closed`: normal. `open`: cooling down after a trip, a rate limit or a refused key. `half-open`: one probe
            decides. `slow-start`: recovering with less than its full weight.
        retry_at: End of the cooldown, by the clock of the live state. None without a cooldown.
        inflight: Number of requests in flight.
        completed: Number of requests that succeeded.
        failures: Number of failed requests by class. Every class is present.
        predicted_s: Seconds that a typical answer (300 tokens) would take now. The median of the other endpoints if this one
            has not answered yet.
        ttft_s: Estimated seconds to the first token, at the last sample. None before the first sample.
        s_per_token: Estimated seconds per output token, at the last sample. None before the first sample.
        latencies: Seconds of all answers, whatever their length. It can be merged with those of other endpoints.
        penalty_s: Lower bound of the load after a failure. 0 without a recent one.
        context_limit: Tokens that the endpoint accepts, as it said itself. None if it never did.
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
    context_limit: int | None = None

    @property
    def p50_s(self) -> float | None:
        """Median seconds of the answers, within 1 %. None before the first answer."""
        return self.latencies.quantile(0.5)

    @property
    def p95_s(self) -> float | None:
        """95th percentile of the answers' seconds, within 1 %. None before the first answer."""
        return self.latencies.quantile(0.95)

    @property
    def p99_s(self) -> float | None:
        """99th percentile of the answers' seconds, within 1 %. None before the first answer."""
        return self.latencies.quantile(0.99)


class EndpointState:
    """Counts and estimates of one endpoint. Not thread-safe: the live state locks.

    Args:
        name: Name of the endpoint.
        weight: Capacity, > 0.
        policy: Thresholds and time constants.
        breaker: The endpoint's own breaker.
    """

    __slots__ = (
        "_completed",
        "_failures",
        "_heard",
        "_latencies",
        "_penalised_at",
        "_penalty_s",
        "_policy",
        "_weight",
        "breaker",
        "context_limit",
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
        self.context_limit: int | None = None
        # What other processes have told, without what this one told them.
        self._heard: Heard | None = None

    @property
    def inflight_elsewhere(self) -> int:
        """Number of requests in flight from other processes, as last heard."""
        return 0 if self._heard is None else self._heard.inflight

    def is_being_tried(self) -> bool:
        """Return whether the request that will give the first sample is in flight."""
        return self.inflight > 0 and self.latency.pace is None

    def weight(self, now: float) -> float:
        """Return the capacity at this moment, > 0."""
        return self._weight * self.breaker.capacity(now)

    def load(self, output_tokens: float, now: float, pace_summary: PaceSummary) -> float:
        """Return predicted seconds × (in flight + 1) / weight, but at least the penalty.

        The load is infinite while the endpoint is tried for the first time.
        """
        if self.is_being_tried():
            return math.inf
        busy_s = self.latency.predicted_s(output_tokens, now, pace_summary) * self._find_share(now)
        # Most endpoints never failed. They skip the computation, which runs for every candidate.
        return max(busy_s, self.penalty_s(now)) if self._penalty_s else busy_s

    def _find_share(self, now: float) -> float:
        """Return the requests in flight, with one more, for each unit of weight."""
        return (self.inflight + self.inflight_elsewhere + 1) / self.weight(now)

    def penalty_s(self, now: float) -> float:
        """Return the rest of the penalty for the last failure, ≥ 0."""
        age = max(0.0, now - self._penalised_at) / self._policy.penalty_decay_s
        return self._penalty_s * max(0.0, 1 - age)

    def succeeded(
        self,
        admission: Admission,
        now: float,
        pace_summary: PaceSummary,
        *,
        first_token_at: float | None,
        output_tokens: int | None,
    ) -> None:
        """Count an answer and update the latency estimate."""
        self._completed += 1
        self.breaker.record(admission, None, now)
        news = self.breaker.news
        news.completed += 1
        seconds = now - admission.at
        # If the clock went back, the difference says nothing about the endpoint.
        if not 0 <= seconds < math.inf:
            return
        self._latencies.add(seconds)
        news.latencies.add(seconds)
        first_token_s = None if first_token_at is None else first_token_at - admission.at
        pace = make_pace(seconds, first_token_s, output_tokens)
        news.add_pace(pace)
        self.latency.add(pace, now=now, decay_s=pace_summary.decay_s)

    def failed(
        self,
        admission: Admission,
        kind: FailureClass,
        now: float,
        pace_summary: PaceSummary,
        *,
        retry_after_s: float | None,
    ) -> None:
        """Count a failure, and penalise the load unless the request or the caller caused it."""
        # The time of a failure is no latency: a quick refusal must not make the endpoint look fast.
        self._failures[kind] += 1
        self.breaker.record(admission, kind, now, retry_after_s=retry_after_s)
        self.breaker.news.failed[kind] += 1
        if kind in _PENALISED:
            self._penalise(now, pace_summary)

    def tell(self, now: float, pace_summary: PaceSummary) -> Told:
        """Return what other processes have to hear of. It counts as told."""
        position = self.breaker.position(now)
        return Told(
            name=self.name,
            news=self.breaker.tell(),
            position=position,
            inflight=self.inflight,
            decay_s=pace_summary.decay_s,
            context_limit=self.context_limit,
        )

    def take_back(self, told: Told) -> None:
        """Keep what could not be told, to tell it later."""
        self.breaker.news = told.news.put_before(self.breaker.news)

    def hear(self, heard: Heard, told: Told, now: float, pace_summary: PaceSummary) -> None:
        """Take over what all processes know together.

        Args:
            heard: What they know, `told` included.
            told: What this process had told them.
            now: Time by the owner's clock.
            pace_summary: Paces of all endpoints.
        """
        before, untold = self._heard, self.breaker.news
        if before is None:
            self.breaker.join(heard, now)
        else:
            self.breaker.hear(heard, told.news, now)
        failed: dict[FailureClass, int] = {
            kind: max(0, heard.failed.get(kind, 0) + untold.failed[kind] - n) for kind, n in self._failures.items()
        }
        if before is not None and any(failed[kind] > before.failed[kind] for kind in _PENALISED):
            self._penalise(now, pace_summary)
        if heard.pace is not None:
            self.latency.hear(heard.pace, now - heard.pace_age_s)
            if untold.pace is not None:
                self.latency.add(untold.pace, now=now, decay_s=pace_summary.decay_s)
        if heard.context_limit is not None:
            self.context_limit = heard.context_limit
        self._heard = replace(
            heard,
            failed=failed,
            completed=max(0, heard.completed + untold.completed - self._completed),
            inflight=max(0, heard.inflight - told.inflight),
            latencies=heard.latencies or (None if before is None else before.latencies),
        )

    def tell_again(self) -> None:
        """Tell everything again, because the others have forgotten it. What others told is forgotten here too."""
        news = News(completed=self._completed, failed=Counter(self._failures), latencies=self._latencies.copy(), samples=0)
        if (pace := self.latency.pace) is not None:
            news.add_pace(pace)
        self.breaker.news = news
        self.breaker.tell_again()

    def _penalise(self, now: float, pace_summary: PaceSummary) -> None:
        # In medians, so that the penalty outweighs the load of any normal endpoint, whether answers take 1 s or 60 s.
        self._penalty_s = max(self._policy.penalty_medians * pace_summary.median_s, self._policy.penalty_min_s)
        self._penalised_at = now

    def health(self, now: float, pace_summary: PaceSummary, *, own: bool = False) -> EndpointHealth:
        """Return a copy of the state that does not change any more.

        Args:
            now: Time by the owner's clock.
            pace_summary: Paces of all endpoints.
            own: Whether to count the calls of this process only.
        """
        pace, heard = self.latency.pace, None if own else self._heard
        latencies = self._latencies.copy()
        if heard is not None and heard.latencies is not None:
            # These have the answers of this process too, as far as the others have heard of them.
            latencies = heard.latencies.copy().merge(self.breaker.news.latencies)
        return EndpointHealth(
            name=self.name,
            state=self.breaker.state(now),
            retry_at=self.breaker.retry_at(now),
            inflight=self.inflight + (0 if heard is None else heard.inflight),
            completed=self._completed + (0 if heard is None else heard.completed),
            failures={kind: n + (0 if heard is None else heard.failed.get(kind, 0)) for kind, n in self._failures.items()},
            predicted_s=self.latency.predicted_s(TYPICAL_OUTPUT_TOKENS, now, pace_summary),
            ttft_s=None if pace is None else pace.first_token_s,
            s_per_token=None if pace is None else pace.per_token_s,
            latencies=latencies,
            penalty_s=self.penalty_s(now),
            context_limit=self.context_limit,
        )
