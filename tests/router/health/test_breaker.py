import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router.health import Attempt, HealthPolicy, LiveState
from router.types import FailureClass
from tests.router.health.clock import FakeClock, answer, begin, fail, seeded

EXACT = HealthPolicy(jitter_share=0.0)
HARMLESS: list[FailureClass] = ["request", "cancelled", "rate_limit", "auth"]


def fleet(*names: str, clock: FakeClock, policy: HealthPolicy = EXACT) -> LiveState:
    return LiveState(dict.fromkeys(names, 1.0), policy=policy, clock=clock, rng=seeded())


def state(live: LiveState, name: str = "a") -> str:
    return live.snapshot()[name].state


def retry_at(live: LiveState) -> float:
    at = live.snapshot()["a"].retry_at
    assert at is not None
    return at


def trip(live: LiveState, name: str = "a") -> None:
    fail(live, name, times=5)
    assert state(live, name) == "open"


def test_five_transient_failures_in_a_row_trip_and_four_do_not() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    fail(live, "a", times=4)
    assert state(live) == "closed"
    fail(live, "a")
    assert state(live) == "open"
    assert retry_at(live) == pytest.approx(1030.0)
    assert state(live, "b") == "closed"


def test_a_success_between_failures_begins_the_count_again() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    fail(live, "a", times=4)
    answer(live, clock, "a", 0.0)
    fail(live, "a", times=4)  # nine calls: too few for their share to count
    assert state(live) == "closed"


def run(live: LiveState, clock: FakeClock, calls: str, *, every_s: float) -> None:
    for call in calls:
        answer(live, clock, "a", 0.0) if call == "." else fail(live, "a")
        clock.advance(every_s)


@pytest.mark.parametrize(
    ("calls", "every_s", "expected"),
    [
        (".x.x.x.x.x", 1.0, "open"),  # 5 of 10
        (".x.x.x.x.", 1.0, "closed"),  # 4 of 9
        ("..x.x.x.x.x", 1.0, "closed"),  # 5 of 11
        (".x.x.x.x" + "x", 1.0, "closed"),  # 5 of 9: too few calls
        (".x.x.x.x" + "xx", 1.0, "open"),  # 6 of 10
        (".x" * 20, 6.7, "closed"),  # every second one fails, but never are there ten in a minute
        (".x" * 20, 6.0, "open"),  # ten in a minute
        ("." * 10 + ".x" * 10, 6.0, "open"),  # the good minute before is forgotten
    ],
)
def test_half_of_at_least_ten_calls_failing_within_60_seconds_trip(calls: str, every_s: float, expected: str) -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    for call in calls:
        if state(live) == "open":
            break
        run(live, clock, call, every_s=every_s)
    assert state(live) == expected


@pytest.mark.parametrize("kind", ["request", "cancelled"])
def test_requests_at_fault_and_callers_who_left_never_count_nor_cool(kind: FailureClass) -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    idle = live.load("a")
    fail(live, "a", kind, times=100)
    assert live.eligible(["a", "b"]).names == ("a", "b")
    assert live.load("a") == idle
    health = live.snapshot()["a"]
    assert (health.state, health.retry_at, health.penalty_s, health.failures[kind]) == ("closed", None, 0.0, 100)


@pytest.mark.parametrize("kind", HARMLESS)
def test_only_transient_failures_count_towards_a_trip_and_the_others_do_not_interrupt_them(kind: FailureClass) -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    fail(live, "a", times=4)
    fail(live, "a", kind)
    clock.advance(400.0)
    assert state(live) == "closed"
    fail(live, "a")
    assert state(live) == "open"


def test_the_nth_trip_in_a_row_cools_n_times_30_seconds_and_at_most_300() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    trip(live)
    for n in range(1, 13):
        assert retry_at(live) - clock.now == pytest.approx(min(30.0 * n, 300.0))
        clock.now = retry_at(live)
        fail(live, "a")  # the probe


def test_a_slow_start_without_a_trip_begins_the_count_of_trips_again_and_one_with_a_trip_does_not() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    for advance_s, cooldown_s in ((0.0, 30.0), (29.0, 60.0), (31.0, 30.0)):
        clock.advance(advance_s)
        trip(live)
        assert retry_at(live) == pytest.approx(clock.now + cooldown_s)
        clock.advance(cooldown_s + 1)
        answer(live, clock, "a", 0.0)


def test_cooldowns_differ_by_up_to_10_percent_and_use_the_whole_of_it() -> None:
    cooldowns = []
    for seed in range(200):
        live = LiveState({"a": 1.0, "b": 1.0}, clock=FakeClock(0.0), rng=seeded(seed))
        trip(live)
        cooldowns.append(retry_at(live))
    assert 27.0 <= min(cooldowns) < 27.5
    assert 32.5 < max(cooldowns) <= 33.0


def test_after_the_cooldown_one_probe_goes_out_and_everyone_else_waits_for_it() -> None:
    clock = FakeClock()
    live = fleet("a", "b", "c", clock=clock)
    trip(live)
    clock.advance(29.9)
    assert live.begin("a") is None
    clock.advance(0.2)
    assert state(live) == "half-open"
    assert live.eligible("abc").names == ("a", "b", "c")
    probe = begin(live, "a")
    assert live.begin("a") is None
    assert live.eligible("abc").names == ("b", "c")
    assert live.eligible("abc").blocked == {"a": None}
    probe.succeed()
    assert state(live) == "slow-start"
    assert live.begin("a") is not None


def test_32_threads_get_exactly_one_probe() -> None:
    for _ in range(20):
        clock = FakeClock()
        live = fleet("a", "b", clock=clock)
        trip(live)
        clock.advance(31.0)
        barrier = threading.Barrier(32)

        def ask(_: int, live: LiveState = live, barrier: threading.Barrier = barrier) -> Attempt | None:
            barrier.wait()
            return live.begin("a")

        with ThreadPoolExecutor(32) as pool:
            got = list(pool.map(ask, range(32)))
        assert sum(attempt is not None for attempt in got) == live.inflight("a") == 1


@pytest.mark.parametrize("kind", ["request", "cancelled"])
def test_a_probe_that_decides_nothing_makes_room_for_another(kind: FailureClass) -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    trip(live)
    clock.advance(31.0)
    fail(live, "a", kind)
    assert state(live) == "half-open"
    answer(live, clock, "a", 0.0)
    assert state(live) == "slow-start"


def test_a_probe_that_meets_a_rate_limit_waits_for_it_and_then_another_goes_out() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    trip(live)
    clock.advance(31.0)
    fail(live, "a", "rate_limit", retry_after_s=20.0)
    assert live.begin("a", ignore_trip=True) is None
    clock.advance(21.0)
    assert state(live) == "half-open"
    begin(live, "a")
    assert live.begin("a") is None


def test_a_slow_start_grows_from_10_percent_of_the_weight_to_all_of_it_in_30_seconds() -> None:
    clock = FakeClock()
    live = LiveState({"a": 4.0, "b": 1.0}, policy=EXACT, clock=clock)
    trip(live)
    clock.advance(31.0)
    answer(live, clock, "a", 2.0)
    assert (live.weight("a"), live.weight("b")) == pytest.approx((0.4, 1.0))
    assert live.load("a") == pytest.approx(2.0 / 0.4)
    clock.advance(15.0)
    assert live.weight("a") == pytest.approx(2.2)
    assert state(live) == "slow-start"
    clock.advance(15.0)
    assert live.weight("a") == 4.0
    assert state(live) == "closed"


def test_what_was_asked_before_a_trip_says_nothing_after_it() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    early = [begin(live, "a") for _ in range(14)]
    trip(live)
    for attempt in early[:2]:
        attempt.succeed()
    for attempt in early[2:8]:
        attempt.fail("transient")
    assert retry_at(live) == pytest.approx(1030.0)
    clock.advance(31.0)
    for attempt in early[8:9]:
        attempt.succeed()
    assert state(live) == "half-open"
    answer(live, clock, "a", 0.0)
    for attempt in early[9:]:
        attempt.fail("transient")
    assert state(live) == "slow-start"
    assert live.inflight("a") == 0


@pytest.mark.parametrize(("asked", "cooled"), [(0.5, 0.5), (20.0, 20.0), (299.0, 299.0), (86400.0, 300.0)])
def test_a_rate_limit_cools_at_once_for_as_long_as_the_server_asks_but_at_most_300_seconds(
    asked: float, cooled: float
) -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    fail(live, "a", "rate_limit", retry_after_s=asked)
    assert live.begin("a") is None
    assert live.eligible("ab").blocked == {"a": 1000.0 + cooled}
    clock.now = 1000.0 + cooled
    assert state(live) == "closed"
    assert live.eligible("ab").names == ("a", "b")
    assert live.begin("a") is not None


def test_a_server_is_never_asked_before_the_time_it_named_and_at_most_10_percent_later() -> None:
    cooldowns = []
    for seed in range(200):
        live = LiveState({"a": 1.0, "b": 1.0}, clock=FakeClock(0.0), rng=seeded(seed))
        fail(live, "a", "rate_limit", retry_after_s=100.0)
        cooldowns.append(retry_at(live))
    assert 100.0 <= min(cooldowns) < 101.0
    assert 109.0 < max(cooldowns) <= 110.0


@pytest.mark.parametrize("told", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_rate_limits_in_a_row_without_a_time_double_from_5_to_300_seconds_until_a_success(told: float | None) -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    for expected in (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0):
        begin(live, "a").fail("rate_limit", retry_after_s=told)
        assert retry_at(live) == pytest.approx(clock.now + expected)
        clock.advance(expected + 0.1)
    answer(live, clock, "a", 1.0)
    fail(live, "a", "rate_limit")
    assert retry_at(live) == pytest.approx(clock.now + 5.0)


def test_requests_refused_together_are_one_rate_limit_not_many_in_a_row() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    together = [begin(live, "a") for _ in range(20)]
    for attempt in together[:18]:
        attempt.fail("rate_limit")
    assert retry_at(live) == pytest.approx(1005.0)
    together[18].fail("rate_limit", retry_after_s=60.0)
    together[19].fail("rate_limit", retry_after_s=10.0)
    assert retry_at(live) == pytest.approx(1060.0)


def test_a_success_asked_for_before_a_rate_limit_does_not_begin_the_doubling_again() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    early = begin(live, "a")
    fail(live, "a", "rate_limit")
    early.succeed()
    clock.advance(5.0)
    fail(live, "a", "rate_limit")
    assert retry_at(live) == 1015.0


def test_a_refused_key_cools_300_seconds() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    fail(live, "a", "auth")
    assert live.eligible("ab").blocked == {"a": 1300.0}
    assert live.begin("a") is None
    clock.advance(300.0)
    assert live.eligible("ab").names == ("a", "b")
    assert state(live) == "closed"


def eligible(live: LiveState, names: Sequence[str]) -> tuple[str, bool]:
    told = live.eligible(names)
    return "".join(told.names), told.panic


def test_panic_ignores_trips_once_fewer_than_half_are_eligible() -> None:
    live = fleet(*"abcd", clock=FakeClock())
    trip(live, "a")
    assert eligible(live, "abcd") == ("bcd", False)
    trip(live, "b")
    assert eligible(live, "abcd") == ("cd", False)
    trip(live, "c")
    assert eligible(live, "abcd") == ("abcd", True)
    assert live.begin("c") is None
    assert live.begin("c", ignore_trip=True) is not None


def test_panic_ignores_neither_refused_keys_nor_rate_limits() -> None:
    clock = FakeClock()
    live = fleet(*"abcd", clock=clock)
    trip(live, "a")
    for name in "bc":
        trip(live, name)
    held = [begin(live, name, ignore_trip=True) for name in "bc"]
    held[0].fail("auth")
    held[1].fail("rate_limit", retry_after_s=7.0)
    assert eligible(live, "abcd") == ("ad", True)
    assert live.eligible("abcd").blocked == {"b": 1300.0, "c": pytest.approx(1030.0)}
    for name in "bc":
        assert live.begin(name, ignore_trip=True) is None
    clock.advance(7.1)
    assert eligible(live, "abcd") == ("acd", True)


def test_without_a_trip_to_ignore_there_is_no_panic() -> None:
    live = fleet(*"abc", clock=FakeClock())
    fail(live, "a", "auth")
    fail(live, "b", "rate_limit", retry_after_s=9.0)
    assert eligible(live, "abc") == ("c", False)


def test_a_trip_of_one_that_is_held_back_anyhow_is_no_reason_for_panic() -> None:
    live = fleet("a", "b", clock=FakeClock())
    trip(live)
    begin(live, "a", ignore_trip=True).fail("auth")
    assert eligible(live, "a") == ("", False)


def test_all_held_back_leaves_nobody_and_tells_when_each_may_be_asked_again() -> None:
    live = fleet("a", "b", clock=FakeClock())
    fail(live, "a", "auth")
    fail(live, "b", "rate_limit", retry_after_s=9.0)
    told = live.eligible("ab")
    assert told.names == ()
    assert told.blocked == {"a": 1300.0, "b": pytest.approx(1009.0)}


def test_in_panic_a_call_let_through_decides_nothing_but_the_probe_does() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    trip(live)
    begin(live, "a", ignore_trip=True).succeed()
    assert state(live) == "open"
    fail(live, "b", times=5)
    clock.advance(31.0)
    probe = begin(live, "a", ignore_trip=True)
    begin(live, "a", ignore_trip=True).succeed()
    assert state(live) == "half-open"
    probe.succeed()
    assert state(live) == "slow-start"


def test_an_endpoint_without_any_other_never_trips_but_heeds_rate_limits_and_refused_keys() -> None:
    clock = FakeClock()
    live = fleet("only", clock=clock)
    fail(live, "only", times=100)
    assert state(live, "only") == "closed"
    assert eligible(live, ["only"]) == (("only"), False)
    fail(live, "only", "rate_limit", retry_after_s=3.0)
    assert live.eligible(["only"]).blocked == {"only": pytest.approx(1003.0)}


def test_an_endpoint_alone_among_the_names_given_may_be_asked_although_it_tripped() -> None:
    live = fleet("a", "b", "c", clock=FakeClock())
    trip(live)
    assert eligible(live, "a") == ("a", True)
    fail(live, "b", "auth")
    assert eligible(live, "b") == ("", False)


class Model:
    """The breaker told in whole seconds and plain lists: what the real one is held against."""

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
            ["success", "success", "transient", "transient", "transient", "rate_limit", "auth", "request", "left"]
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
        told = self.live.eligible("ab")
        assert ("a" not in told.names) == (model.held(now) or model.blocked(now))
        assert not told.panic


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@given(kinds=st.lists(st.sampled_from(["transient", "rate_limit", "auth", "request", "cancelled"]), max_size=40))
def test_whatever_fails_the_next_pick_already_knows(kinds: list[FailureClass]) -> None:
    live = fleet("a", "b", clock=FakeClock())
    for kind in kinds:
        attempt = live.begin("a")
        if attempt is None:
            break
        attempt.fail(kind)
        told = live.eligible("ab")
        assert ("a" in told.names) == (live.snapshot()["a"].state == "closed")
        assert set(told.names) | set(told.blocked) == {"a", "b"}


def test_answers_to_calls_of_before_do_not_hide_that_an_endpoint_has_begun_to_fail() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    for _ in range(100):
        begin(live, "a").succeed()
    before = [begin(live, "a") for _ in range(40)]
    for _ in range(4):
        clock.advance(0.1)
        begin(live, "a").fail("transient")
        before.pop().succeed()
    assert live.snapshot()["a"].state == "closed"
    begin(live, "a").fail("transient")
    assert live.snapshot()["a"].state == "open"
