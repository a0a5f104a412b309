"""Whether an endpoint may be asked: a circuit breaker with one probe, and the cooldowns that a server asks for."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass
from typing import Literal

from router.health.policy import HealthPolicy
from router.types import FailureClass

BreakerState = Literal["closed", "open", "half-open", "slow-start"]
_WINDOW_SLOTS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Under which circumstances a call was let through; what its end means depends on them.

    Attributes:
        at: When, by the owner's clock.
        era: How often the breaker had opened or closed by then.
        probe: Whether the call is the one that decides whether the breaker closes.
    """

    at: float
    era: int
    probe: bool


class CircuitBreaker:
    """Opens on transient failures, lets one probe through after a cooldown, and closes when that succeeds.

    Apart from that, a rate limit and a refused key hold every call back for a time. Not thread-safe: its owner locks.

    Args:
        policy: The numbers.
        rng: For the jitter of cooldowns.
        may_trip: False for an endpoint that has no other to take its place; rate limits and refused keys hold it back all
            the same.

    Attributes:
        blocked_until: The first time at which a call may be let through, all cooldowns considered; infinite while the
            probe is out.
    """

    __slots__ = (
        "_barred_until",
        "_consecutive",
        "_era",
        "_failing_since",
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
        "_window",
        "blocked_until",
    )

    def __init__(self, policy: HealthPolicy, rng: random.Random, *, may_trip: bool = True) -> None:
        self._policy, self._rng, self._may_trip = policy, rng, may_trip
        self._window = _FailureWindow(policy.trip_window_s)
        self._consecutive = self._era = self._trips = self._limits = 0
        self._is_open = self._probe_out = False
        self._slow_since: float | None = None
        self._failing_since = -math.inf
        self._open_until = self._limited_until = self._barred_until = self.blocked_until = -math.inf

    def held(self, now: float) -> bool:
        """Whether a rate limit or a refused key holds calls back; nothing overrules that."""
        return now < self._limited_until or now < self._barred_until

    def tripped(self, now: float) -> bool:
        """Whether failures hold calls back: the breaker is open, or half-open with its probe out."""
        return self._is_open and (now < self._open_until or self._probe_out)

    def retry_at(self, now: float) -> float | None:
        """Return when a cooldown ends; None without one, and while the end of a probe is waited for."""
        at = self._cool_at()
        return at if at > now else None

    def state(self, now: float) -> BreakerState:
        """Return the state; `open` also while a rate limit or a refused key holds calls back."""
        if self.held(now):
            return "open"
        if self._is_open:
            return "open" if now < self._open_until else "half-open"
        return "slow-start" if self.capacity(now) < 1 else "closed"

    def capacity(self, now: float) -> float:
        """Return the share of its weight, in (0, 1], that the endpoint is trusted with: less than 1 in its slow start."""
        if self._slow_since is None:
            return 1.0
        grown = max(0.0, now - self._slow_since) / self._policy.slow_start_s
        first = self._policy.slow_start_share
        return min(1.0, first + (1 - first) * grown)

    def admit(self, now: float, *, ignore_trip: bool = False) -> Admission | None:
        """Let a call through, as the probe where one is due; None where it has to be held back."""
        if self.held(now) or (self.tripped(now) and not ignore_trip):
            return None
        probe = self._is_open and not self.tripped(now)
        if probe:
            self._probe_out = True
            self.blocked_until = math.inf
        return Admission(at=now, era=self._era, probe=probe)

    def record(
        self, admission: Admission, failure: FailureClass | None, now: float, *, retry_after_s: float | None = None
    ) -> None:
        """Learn how an admitted call ended, once for each; `failure` None: it succeeded.

        Trips are decided by the calls let through since the breaker last opened or closed, and while it is not closed by
        its probe alone: what was asked before tells nothing of now. A request at fault and a caller who left decide nothing.
        """
        if admission.probe:
            self._probe_out = False
        match failure:
            case None:
                self._succeeded(admission, now)
            case "transient":
                self._failed(admission, now)
            case "rate_limit":
                self._limit(admission, now, retry_after_s)
            case "auth":
                self._barred_until = now + self._policy.auth_cooldown_s
        self.blocked_until = math.inf if self._probe_out else self._cool_at()

    def _succeeded(self, admission: Admission, now: float) -> None:
        if admission.at >= self._limited_until:
            self._limits = 0
        if admission.probe:
            self._close(now)
        elif self._counts(admission):
            if admission.at >= self._failing_since:  # what was asked before it began to fail tells nothing of now
                self._consecutive = 0
            self._window.add(now, failed=False)

    def _failed(self, admission: Admission, now: float) -> None:
        if admission.probe:
            self._trip(now)
        elif self._counts(admission):
            if self._consecutive == 0:
                self._failing_since = now
            self._consecutive += 1
            self._window.add(now, failed=True)
            if self._may_trip and self._is_failing():
                self._trip(now)

    def _cool_at(self) -> float:
        return max(self._open_until, self._limited_until, self._barred_until)

    def _counts(self, admission: Admission) -> bool:
        return not self._is_open and admission.era == self._era

    def _is_failing(self) -> bool:
        policy, window = self._policy, self._window
        if self._consecutive >= policy.trip_consecutive_failures:
            return True
        return window.calls >= policy.trip_window_calls and window.failures >= policy.trip_failure_share * window.calls

    def _trip(self, now: float) -> None:
        stayed_well = self._slow_since is not None and self.capacity(now) >= 1
        self._trips = 1 if stayed_well else self._trips + 1
        self._is_open, self._slow_since = True, None
        self._open_until = now + self._jittered(min(self._policy.cooldown_s * self._trips, self._policy.cooldown_max_s))
        self._begin_era()

    def _close(self, now: float) -> None:
        self._is_open, self._slow_since = False, now
        self._begin_era()

    def _begin_era(self) -> None:
        self._era += 1
        self._consecutive = 0
        self._window.clear()

    def _limit(self, admission: Admission, now: float, retry_after_s: float | None) -> None:
        policy = self._policy
        # Calls that were out together when the limit struck are one refusal, not many in a row.
        if admission.at >= self._limited_until:
            self._limits += 1
        if retry_after_s is not None and 0 < retry_after_s < math.inf:
            # The jitter only adds: coming back before the server said would earn the next refusal.
            cooldown_s = min(retry_after_s, policy.rate_limit_cooldown_max_s) * self._rng.uniform(1, 1 + policy.jitter_share)
        else:
            doubled_s = policy.rate_limit_cooldown_s * 2.0 ** min(max(self._limits - 1, 0), 64)
            cooldown_s = self._jittered(min(doubled_s, policy.rate_limit_cooldown_max_s))
        self._limited_until = max(self._limited_until, now + cooldown_s)

    def _jittered(self, seconds: float) -> float:
        share = self._policy.jitter_share
        return seconds * self._rng.uniform(1 - share, 1 + share)


class _FailureWindow:
    """Calls and failures of the last seconds, in a bounded number of slots: their age is known to 1/60 of the span."""

    __slots__ = ("_slot_s", "_slots", "calls", "failures")

    def __init__(self, span_s: float) -> None:
        self._slot_s = span_s / _WINDOW_SLOTS
        self._slots: deque[tuple[int, int, int]] = deque()
        self.calls = self.failures = 0

    def add(self, now: float, *, failed: bool) -> None:
        """Count a call, and forget those whose slot has left the span."""
        slot = math.floor(now / self._slot_s)
        while self._slots and self._slots[0][0] <= slot - _WINDOW_SLOTS:
            _, calls, failures = self._slots.popleft()
            self.calls, self.failures = self.calls - calls, self.failures - failures
        _, calls, failures = self._slots.pop() if self._slots and self._slots[-1][0] == slot else (slot, 0, 0)
        self._slots.append((slot, calls + 1, failures + failed))
        self.calls, self.failures = self.calls + 1, self.failures + failed

    def clear(self) -> None:
        """Forget everything."""
        self._slots.clear()
        self.calls = self.failures = 0
