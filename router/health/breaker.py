"""Take the ends of an endpoint's calls and decide whether it accepts another one.

A circuit breaker with one probe handles failures. Cooldowns handle rate limits and refused keys.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass
from typing import Literal

from router.health.news import BreakerPosition, Heard, News
from router.health.policy import HealthPolicy
from router.types import FailureClass

BreakerState = Literal["closed", "open", "half-open", "slow-start"]
_WINDOW_SLOTS = 60
# 2.0 ** 1024 would raise an OverflowError, and every bound is reached long before 64 doublings.
_MOST_DOUBLINGS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Circumstances under which a call was admitted. They decide how its end counts.

    Attributes:
        at: Time of the admission, by the owner's clock.
        era: How often the breaker had opened or closed before.
        probe: Whether this call decides whether the breaker closes.
    """

    at: float
    era: int
    probe: bool


class CircuitBreaker:
    """Opens on transient failures, admits one probe after a cooldown, and closes when the probe succeeds.

    Independently of that, a rate limit and a refused key block every call for a time. Not thread-safe: its owner locks.

    Args:
        policy: Thresholds and cooldowns.
        rng: Source of the jitter of cooldowns.
        may_trip: False for an endpoint that no other can replace. Rate limits and refused keys block it all the same.

    Attributes:
        blocked_until: First time at which a call may be admitted, after all cooldowns. Infinite while the probe is out.
        news: What other processes have not heard yet.
    """

    __slots__ = (
        "_barred_until",
        "_consecutive",
        "_elsewhere_until",
        "_era",
        "_failing_since",
        "_heard",
        "_is_open",
        "_limited_until",
        "_limits",
        "_may_trip",
        "_open_until",
        "_policy",
        "_probe_out",
        "_rng",
        "_slow_since",
        "_trips",
        "_version",
        "_window",
        "blocked_until",
        "news",
    )

    def __init__(self, policy: HealthPolicy, rng: random.Random, *, may_trip: bool = True) -> None:
        self._policy, self._rng, self._may_trip = policy, rng, may_trip
        self._window = _FailureWindow(policy.trip_window_s)
        self._consecutive = self._era = self._trips = self._limits = 0
        self._is_open = self._probe_out = False
        self._slow_since: float | None = None
        self._failing_since = -math.inf
        self._open_until = self._limited_until = self._barred_until = self.blocked_until = -math.inf
        # Another process has the probe until then.
        self._elsewhere_until = -math.inf
        self._version, self._heard = 0, (0, 0)
        self.news = News()

    def is_held(self, now: float) -> bool:
        """Return whether a rate limit or a refused key blocks calls. Nothing overrules that."""
        return now < self._limited_until or now < self._barred_until

    def is_tripped(self, now: float) -> bool:
        """Return whether failures block calls: the breaker is open, or half-open with its probe out."""
        return self._is_open and (now < self._open_until or self._probe_out or now < self._elsewhere_until)

    def needs_probe(self, now: float) -> bool:
        """Return whether the next call would be the probe."""
        return self._is_open and not self.is_tripped(now) and not self.is_held(now)

    def leave_probe(self, until: float) -> None:
        """Admit no probe until a time, because another process has it."""
        self._elsewhere_until = until
        self.blocked_until = self._find_end()

    def retry_at(self, now: float) -> float | None:
        """Return when the cooldown ends. None without a cooldown, and while a probe is out."""
        at = self._cooldown_end()
        return at if at > now else None

    def state(self, now: float) -> BreakerState:
        """Return the state, which is `open` also while a rate limit or a refused key blocks calls."""
        # For a caller it makes no difference why an endpoint is blocked.
        if self.is_held(now):
            return "open"
        if self._is_open:
            return "open" if now < self._open_until else "half-open"
        return "slow-start" if self.capacity(now) < 1 else "closed"

    def capacity(self, now: float) -> float:
        """Return the usable share of the endpoint's weight, in (0, 1]. It is below 1 during a slow start."""
        if self._slow_since is None:
            return 1.0
        grown = max(0.0, now - self._slow_since) / self._policy.slow_start_s
        first = self._policy.slow_start_share
        return min(1.0, first + (1 - first) * grown)

    def admit(self, now: float, *, ignore_trip: bool = False) -> Admission | None:
        """Admit a call, as the probe if one is due. None if calls are blocked.

        Args:
            now: Time by the owner's clock.
            ignore_trip: Whether to admit the call although the breaker is open.
        """
        if self.is_held(now) or (self.is_tripped(now) and not ignore_trip):
            return None
        # A call that ignores the trip is the probe too, if one is due. Otherwise its end would decide nothing.
        probe = self._is_open and not self.is_tripped(now)
        if probe:
            self._probe_out = True
            self.blocked_until = math.inf
        return Admission(at=now, era=self._era, probe=probe)

    def record(
        self, admission: Admission, failure: FailureClass | None, now: float, *, retry_after_s: float | None = None
    ) -> None:
        """Count the end of an admitted call, once for each admission.

        Only calls admitted since the breaker last opened or closed decide about a trip. While it is not closed, only the
        probe decides, because earlier calls show nothing about the present. Failures of class `request` and `cancelled`
        decide nothing.

        Args:
            admission: Result of `admit`.
            failure: Class of the failure. None if the call succeeded.
            now: Time by the owner's clock.
            retry_after_s: Wait that the server asked for. Used for a `rate_limit` only.
        """
        # However the probe ended, another one may go out: a cancelled probe must not block the endpoint for ever.
        if admission.probe:
            self._probe_out = False
            self.news.probe_ended = True
        match failure:
            case None:
                self._count_success(admission, now)
            case "transient":
                self._count_failure(admission, now)
            case "rate_limit":
                self._limit(admission, now, retry_after_s)
            case "auth":
                self._barred_until = now + self._policy.auth_cooldown_s
        self.blocked_until = self._find_end()

    def position(self, now: float) -> BreakerPosition:
        """Return where it stands."""
        return BreakerPosition(
            version=self._version,
            is_open=self._is_open,
            open_left_s=max(self._open_until - now, -1.0),
            trips=self._trips,
            slow_age_s=None if self._slow_since is None else now - self._slow_since,
            limited_left_s=max(self._limited_until - now, -1.0),
            limits=self._limits,
            barred_left_s=max(self._barred_until - now, -1.0),
        )

    def tell(self) -> News:
        """Return what other processes have not heard yet. It counts as told."""
        told, self.news = self.news, News()
        return told

    def hear(self, heard: Heard, told: News, now: float) -> None:
        """Take over what all processes know together.

        Calls of other processes count like its own. If one of them has opened or closed its breaker, this one follows.

        Args:
            heard: What they know, `told` included.
            told: What this process had told them.
            now: Time by the owner's clock.
        """
        position = heard.position
        if not heard.accepted and position.version != self._version:
            self._follow(position, now)
        elif not heard.accepted and not self._is_open:
            calls, failures = self._heard
            # What this process has told is in its window already.
            calls, failures = heard.calls - calls - told.calls, heard.failures - failures - told.failures
            self._window.add(now, calls=max(0, calls), failures=max(0, failures))
            self._consecutive = self.news.row if self.news.interrupted else heard.row + self.news.row
            # As for its own calls, only a failure opens it.
            if failures > 0 and self._may_trip and self._is_failing():
                self._trip(now)
        self._version, self._heard = position.version, (heard.calls, heard.failures)
        if now + position.limited_left_s > self._limited_until:
            self._limited_until = now + position.limited_left_s
            self._limits = max(self._limits, position.limits)
        self._barred_until = max(self._barred_until, now + position.barred_left_s)
        self.blocked_until = self._find_end()

    def join(self, heard: Heard, now: float) -> None:
        """Take over what all processes knew before this one began. Calls before that decide nothing here."""
        self._version, self._heard = heard.position.version, (heard.calls, heard.failures)
        self._follow(heard.position, now)
        self.blocked_until = self._find_end()

    def tell_again(self) -> None:
        """Tell the others where it stands, although it has not moved, because they have forgotten."""
        self._version, self._heard = 0, (0, 0)
        self.news.moved = self._is_open

    def _follow(self, position: BreakerPosition, now: float) -> None:
        """Open or close as another process did."""
        self._is_open, self._trips = position.is_open, position.trips
        self._open_until = now + position.open_left_s if position.is_open else -math.inf
        self._slow_since = None if position.slow_age_s is None else now - position.slow_age_s
        self._elsewhere_until = -math.inf
        self.news.moved = False
        self._begin_era()

    def _count_success(self, admission: Admission, now: float) -> None:
        # A call that was already out when the limit came does not show that the limit is over.
        if admission.at >= self._limited_until:
            self._limits = 0
        if admission.probe:
            self._close(now)
        elif self._counts(admission):
            # A success requested before the first failure in the row does not interrupt the row.
            interrupts = admission.at >= self._failing_since
            if interrupts:
                self._consecutive = 0
            self._window.add(now, calls=1)
            self.news.add_call(failed=False, interrupts=interrupts)

    def _count_failure(self, admission: Admission, now: float) -> None:
        if admission.probe:
            self._trip(now)
        elif self._counts(admission):
            if self._consecutive == 0:
                self._failing_since = now
            self._consecutive += 1
            self._window.add(now, calls=1, failures=1)
            self.news.add_call(failed=True)
            if self._may_trip and self._is_failing():
                self._trip(now)

    def _cooldown_end(self) -> float:
        return max(self._open_until, self._limited_until, self._barred_until)

    def _find_end(self) -> float:
        """Return the first time at which a call may be admitted.

        One number, kept up to date, lets the live state skip healthy endpoints with one comparison.
        """
        return math.inf if self._probe_out else max(self._cooldown_end(), self._elsewhere_until)

    def _counts(self, admission: Admission) -> bool:
        return not self._is_open and admission.era == self._era

    def _is_failing(self) -> bool:
        policy, window = self._policy, self._window
        if self._consecutive >= policy.trip_consecutive_failures:
            return True
        return window.calls >= policy.trip_window_calls and window.failures >= policy.trip_failure_share * window.calls

    def _trip(self, now: float) -> None:
        # Only a finished slow start counts as a recovery. A trip during one continues the row of trips.
        recovered = self._slow_since is not None and self.capacity(now) >= 1
        self._trips = 1 if recovered else self._trips + 1
        self._is_open, self._slow_since, self.news.moved = True, None, True
        self._open_until = now + self._add_jitter(min(self._policy.cooldown_s * self._trips, self._policy.cooldown_max_s))
        self._begin_era()

    def _close(self, now: float) -> None:
        self._is_open, self._slow_since, self.news.moved = False, now, True
        self._begin_era()

    def _begin_era(self) -> None:
        # Calls that are still in flight keep the old number. This is how record() recognises them.
        self._era += 1
        self._consecutive = self.news.row = 0
        self._window.clear()

    def _limit(self, admission: Admission, now: float, retry_after_s: float | None) -> None:
        policy = self._policy
        # Calls that were out together when the limit came are one refusal, not several in a row.
        if admission.at >= self._limited_until:
            self._limits += 1
        if retry_after_s is not None and 0 < retry_after_s < math.inf:
            # Jitter only adds here: a call before the time that the server named would be refused again.
            cooldown_s = min(retry_after_s, policy.rate_limit_cooldown_max_s) * self._rng.uniform(1, 1 + policy.jitter_share)
        else:
            doubled_s = policy.rate_limit_cooldown_s * 2.0 ** min(max(self._limits - 1, 0), _MOST_DOUBLINGS)
            cooldown_s = self._add_jitter(min(doubled_s, policy.rate_limit_cooldown_max_s))
        # Never shorten a cooldown: an earlier reply of the server may have asked for more.
        self._limited_until = max(self._limited_until, now + cooldown_s)

    def _add_jitter(self, seconds: float) -> float:
        share = self._policy.jitter_share
        return seconds * self._rng.uniform(1 - share, 1 + share)


class _FailureWindow:
    """Number of calls and failures in the last seconds.

    Calls are counted in 60 slots, which bounds the memory. Their age is therefore known to 1/60 of the span.
    """

    __slots__ = ("_slot_s", "_slots", "calls", "failures")

    def __init__(self, span_s: float) -> None:
        self._slot_s = span_s / _WINDOW_SLOTS
        self._slots: deque[tuple[int, int, int]] = deque()  # number of the slot, calls, failures; oldest first
        self.calls = self.failures = 0

    def add(self, now: float, *, calls: int, failures: int = 0) -> None:
        """Count calls and the failures among them, and forget the calls whose slot has left the span."""
        # Slots are numbered from the clock's zero, so that a period without calls needs no empty slots.
        slot = math.floor(now / self._slot_s)
        while self._slots and self._slots[0][0] <= slot - _WINDOW_SLOTS:
            _, old_calls, old_failures = self._slots.popleft()
            self.calls, self.failures = self.calls - old_calls, self.failures - old_failures
        if not calls:
            return
        _, slot_calls, slot_failures = self._slots.pop() if self._slots and self._slots[-1][0] == slot else (slot, 0, 0)
        self._slots.append((slot, slot_calls + calls, slot_failures + failures))
        self.calls, self.failures = self.calls + calls, self.failures + failures

    def clear(self) -> None:
        """Forget all calls."""
        self._slots.clear()
        self.calls = self.failures = 0
