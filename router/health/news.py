"""What one process tells the others about an endpoint, and what it hears from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from router.health.histogram import LogHistogram
from router.health.latency import Pace
from router.types import FailureClass


@dataclass(slots=True)
class News:
    """What a process has seen of an endpoint since it last told the others.

    Attributes:
        completed: Number of answers.
        failed: Number of failures by class.
        latencies: Seconds of the answers.
        samples: Number of answers whose pace is known.
        first_token_s: Sum of their seconds to the first token.
        per_token_s: Sum of their seconds per output token.
        calls: Ended calls that count for the breaker.
        failures: Failures among them.
        row: Failures since the last success among them.
        interrupted: Whether there was such a success.
        moved: Whether the breaker has opened or closed.
        probe_ended: Whether a probe has ended.
    """

    completed: int = 0
    failed: Counter[FailureClass] = field(default_factory=Counter)
    latencies: LogHistogram = field(default_factory=LogHistogram)
    samples: int = 0
    first_token_s: float = 0.0
    per_token_s: float = 0.0
    calls: int = 0
    failures: int = 0
    row: int = 0
    interrupted: bool = False
    moved: bool = False
    probe_ended: bool = False

    @property
    def pace(self) -> Pace | None:
        """Mean pace of the answers. None without any."""
        n = self.samples
        return Pace(first_token_s=self.first_token_s / n, per_token_s=self.per_token_s / n) if n else None

    def add_call(self, *, failed: bool, interrupts: bool = False) -> None:
        """Count an ended call for the breaker.

        Args:
            failed: Whether it failed.
            interrupts: Whether its success ends a row of failures.
        """
        self.calls += 1
        if failed:
            self.failures += 1
            self.row += 1
        elif interrupts:
            self.row, self.interrupted = 0, True

    def add_pace(self, pace: Pace) -> None:
        """Count the pace of an answer."""
        self.samples += 1
        self.first_token_s += pace.first_token_s
        self.per_token_s += pace.per_token_s

    def put_before(self, later: News) -> News:
        """Return these news and later ones together. They could not be told."""
        return News(
            completed=self.completed + later.completed,
            failed=self.failed + later.failed,
            latencies=self.latencies.copy().merge(later.latencies),
            samples=self.samples + later.samples,
            first_token_s=self.first_token_s + later.first_token_s,
            per_token_s=self.per_token_s + later.per_token_s,
            calls=self.calls + later.calls,
            failures=self.failures + later.failures,
            row=later.row if later.interrupted else self.row + later.row,
            interrupted=self.interrupted or later.interrupted,
            moved=self.moved or later.moved,
            probe_ended=self.probe_ended or later.probe_ended,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPosition:
    """Where a breaker stands. Times are relative, because each process has a clock of its own.

    Attributes:
        version: How often it has opened or closed, over all processes.
        is_open: Whether it is open.
        open_left_s: Seconds until it lets a probe through. Negative if it already does.
        trips: Number of times in a row that it has opened.
        slow_age_s: Seconds since it closed. None if it never was open.
        limited_left_s: Seconds until a rate limit ends. Negative without one.
        limits: Number of rate limits in a row.
        barred_left_s: Seconds until a refused key may be tried again. Negative without one.
    """

    version: int = 0
    is_open: bool = False
    open_left_s: float = -1.0
    trips: int = 0
    slow_age_s: float | None = None
    limited_left_s: float = -1.0
    limits: int = 0
    barred_left_s: float = -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a process tells the others about an endpoint.

    Attributes:
        name: The endpoint.
        news: What it has seen since it last told them.
        position: Where its breaker stands. `version` is the one that it last heard of.
        inflight: Its requests in flight.
        decay_s: Its time constant for forgetting latencies.
        context_limit: Tokens that the endpoint accepts. None if unknown.
    """

    name: str
    news: News
    position: BreakerPosition
    inflight: int
    decay_s: float
    context_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What all processes know about an endpoint together.

    Attributes:
        position: Where the breaker stands for all.
        accepted: Whether they follow the move that this process told them of. Another process may have moved first.
        row: Failures since the last success.
        calls: All ended calls that ever counted for the breaker.
        failures: Failures among them.
        completed: Number of answers.
        failed: Number of failures by class.
        inflight: Requests in flight.
        pace: Estimated pace at the last sample. None without one.
        pace_age_s: Seconds since that sample.
        context_limit: Tokens that the endpoint accepts. None if unknown.
        latencies: Seconds of all answers. None if they were not asked for.
    """

    position: BreakerPosition
    accepted: bool = False
    row: int = 0
    calls: int = 0
    failures: int = 0
    completed: int = 0
    failed: Mapping[FailureClass, int] = field(default_factory=dict)
    inflight: int = 0
    pace: Pace | None = None
    pace_age_s: float = 0.0
    context_limit: int | None = None
    latencies: LogHistogram | None = None
