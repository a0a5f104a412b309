"""The breaker beside a simple model of it, under any sequence of calls."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router.health.live import Attempt, LiveState
from tests.router.health.fakes import EXACT, FakeClock, seeded


class Model:
    """The breaker again, in whole seconds and plain lists. The real one must agree with it."""

    def __init__(self) -> None:
        self.history: list[tuple[int, bool]] = []  # (second, failed) of the calls that count
        self.row = self.trips = self.limits = self.era = 0
        self.open_until: int | None = None
        self.probing = False
        self.closed_at: int | None = None
        self.limited_until = self.barred_until = self.failing_since = -1

    def held(self, now: int) -> bool:
        return now < max(self.limited_until, self.barred_until)

    def blocked(self, now: int) -> bool:
        return self.open_until is not None and (now < self.open_until or self.probing)

    def state(self, now: int) -> str:
        if self.held(now) or (self.open_until is not None and now < self.open_until):
            return "open"
        if self.open_until is not None:
            return "half-open"
        return "slow-start" if self.closed_at is not None and now < self.closed_at + 30 else "closed"

    def trip(self, now: int) -> None:
        self.trips = 1 if self.closed_at is not None and now >= self.closed_at + 30 else self.trips + 1
        self.open_until = now + min(30 * self.trips, 300)
        self.closed_at = None
        self.turn()

    def turn(self) -> None:
        self.history, self.row, self.era = [], 0, self.era + 1

    def end(self, begun: int, era: int, probe: bool, kind: str, now: int, retry_after_s: int | None) -> None:
        if probe:
            self.probing = False
        counts = era == self.era and self.open_until is None
        if kind == "rate_limit":
            self.limits += begun >= self.limited_until
            cooldown = min(retry_after_s or 5 * 2 ** max(self.limits - 1, 0), 300)
            self.limited_until = max(self.limited_until, now + cooldown)
        elif kind == "auth":
            self.barred_until = now + 300
        elif kind == "success":
            self.limits = 0 if begun >= self.limited_until else self.limits
            if probe:
                self.open_until, self.closed_at = None, now
                self.turn()
            elif counts:
                self.row = 0 if begun >= self.failing_since else self.row
                self.history.append((now, False))
        elif kind == "transient" and probe:
            self.trip(now)
        elif kind == "transient" and counts:
            self.failing_since = now if self.row == 0 else self.failing_since
            self.row += 1
            self.history.append((now, True))
            recent = [failed for second, failed in self.history if second > now - 60]
            if self.row >= 5 or (len(recent) >= 10 and 2 * sum(recent) >= len(recent)):
                self.trip(now)


class BreakerMachine(RuleBasedStateMachine):
    """One endpoint of two, under calls that overlap and end in any way, beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.model = FakeClock(0.0), Model()
        self.live = LiveState({"a": 2.0, "b": 1.0}, policy=EXACT, clock=self.clock, rng=seeded())
        self.out: list[tuple[Attempt, int, int, bool]] = []

    @property
    def now(self) -> int:
        return int(self.clock.now)

    @rule(seconds=st.sampled_from([1, 2, 5, 15, 29, 30, 31, 60, 300]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(ignore_trip=st.booleans())
    def ask(self, ignore_trip: bool) -> None:
        model, attempt = self.model, self.live.begin("a", ignore_trip=ignore_trip)
        refused = model.held(self.now) or (model.blocked(self.now) and not ignore_trip)
        assert (attempt is None) == refused
        if attempt is not None:
            probe = model.open_until is not None and not model.blocked(self.now)
            model.probing |= probe
            self.out.append((attempt, self.now, model.era, probe))

    @precondition(lambda self: self.out)
    @rule(
        data=st.data(),
        kind=st.sampled_from(
            ["success", "success", "transient", "transient", "transient", "rate_limit", "auth", "unable", "request", "left"]
        ),
        retry_after_s=st.none() | st.sampled_from([1, 20, 1000]),
    )
    def end(self, data: st.DataObject, kind: str, retry_after_s: int | None) -> None:
        attempt, begun, era, probe = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        if kind == "success":
            attempt.succeed()
        elif kind == "left":
            with attempt:
                pass
        else:
            attempt.fail(kind, retry_after_s=retry_after_s)  # type: ignore[arg-type]
        self.model.end(begun, era, probe, kind, self.now, retry_after_s)

    @rule(times=st.integers(1, 6), good=st.booleans())
    def ask_and_end(self, times: int, good: bool) -> None:
        for _ in range(times):
            self.ask(ignore_trip=False)
            if not self.out:
                return
            attempt, begun, era, probe = self.out.pop()
            attempt.succeed() if good else attempt.fail("transient")
            self.model.end(begun, era, probe, "success" if good else "transient", self.now, None)

    @invariant()
    def agrees(self) -> None:
        now, model, health = self.now, self.model, self.live.snapshot()["a"]
        assert health.state == model.state(now)
        assert health.inflight == self.live.inflight("a") == len(self.out)
        until = max(model.open_until or -1, model.limited_until, model.barred_until)
        assert health.retry_at == (until if until > now else None)
        grown = 1.0 if model.closed_at is None else min(1.0, 0.1 + 0.9 * (now - model.closed_at) / 30)
        assert self.live.weight("a") == pytest.approx(2.0 * grown)
        result = self.live.eligible("ab")
        assert ("a" not in result.names) == (model.held(now) or model.blocked(now))
        assert not result.panic


# The same lines run thousands of times, which takes three times as long if each of them is counted.
TestBreakerMachine = pytest.mark.no_cover(BreakerMachine.TestCase)


TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
