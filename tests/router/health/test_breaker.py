"""When a breaker opens, admits a probe and closes again."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.health.live import Attempt, LiveState
from router.types import FailureClass
from tests.router.health.fakes import EXACT, FakeClock, answer, begin, fail, make_live, retry_at, seeded, state, trip

HARMLESS: list[FailureClass] = ["unable", "request", "cancelled", "rate_limit", "auth"]


def test_five_transient_failures_in_a_row_trip_and_four_do_not() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    fail(live, "a", times=4)
    assert state(live) == "closed"
    fail(live, "a")
    assert state(live) == "open"
    assert retry_at(live) == pytest.approx(1030.0)
    assert state(live, "b") == "closed"


def test_a_success_between_failures_restarts_the_count() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
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
    live = make_live("a", "b", clock=clock)
    for call in calls:
        if state(live) == "open":
            break
        run(live, clock, call, every_s=every_s)
    assert state(live) == expected


@pytest.mark.parametrize("kind", ["unable", "request", "cancelled"])
def test_faulty_requests_and_callers_who_left_neither_count_nor_cool_down(kind: FailureClass) -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    idle = live.load("a")
    fail(live, "a", kind, times=100)
    assert live.eligible(["a", "b"]).names == ("a", "b")
    assert live.load("a") == idle
    health = live.snapshot()["a"]
    assert (health.state, health.retry_at, health.penalty_s, health.failures[kind]) == ("closed", None, 0.0, 100)


@pytest.mark.parametrize("kind", HARMLESS)
def test_only_transient_failures_count_towards_a_trip_and_the_others_do_not_interrupt_them(kind: FailureClass) -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    fail(live, "a", times=4)
    fail(live, "a", kind)
    clock.advance(400.0)
    assert state(live) == "closed"
    fail(live, "a")
    assert state(live) == "open"


def test_the_nth_trip_in_a_row_cools_n_times_30_seconds_and_at_most_300() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    trip(live)
    for n in range(1, 13):
        assert retry_at(live) - clock.now == pytest.approx(min(30.0 * n, 300.0))
        clock.now = retry_at(live)
        fail(live, "a")  # the probe


def test_a_finished_slow_start_restarts_the_count_of_trips_and_an_interrupted_one_does_not() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    for advance_s, cooldown_s in ((0.0, 30.0), (29.0, 60.0), (31.0, 30.0)):
        clock.advance(advance_s)
        trip(live)
        assert retry_at(live) == pytest.approx(clock.now + cooldown_s)
        clock.advance(cooldown_s + 1)
        answer(live, clock, "a", 0.0)


def test_cooldowns_differ_by_up_to_10_percent_in_both_directions() -> None:
    cooldowns = []
    for seed in range(200):
        live = LiveState({"a": 1.0, "b": 1.0}, clock=FakeClock(0.0), rng=seeded(seed))
        trip(live)
        cooldowns.append(retry_at(live))
    assert 27.0 <= min(cooldowns) < 27.5
    assert 32.5 < max(cooldowns) <= 33.0


def test_after_the_cooldown_one_probe_is_admitted_and_all_others_wait_for_it() -> None:
    clock = FakeClock()
    live = make_live("a", "b", "c", clock=clock)
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
        live = make_live("a", "b", clock=clock)
        trip(live)
        clock.advance(31.0)
        barrier = threading.Barrier(32)

        def ask(_: int, live: LiveState = live, barrier: threading.Barrier = barrier) -> Attempt | None:
            barrier.wait()
            return live.begin("a")

        with ThreadPoolExecutor(32) as pool:
            got = list(pool.map(ask, range(32)))
        assert sum(attempt is not None for attempt in got) == live.inflight("a") == 1


@pytest.mark.parametrize("kind", ["unable", "request", "cancelled"])
def test_after_a_probe_that_decides_nothing_another_one_is_admitted(kind: FailureClass) -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    trip(live)
    clock.advance(31.0)
    fail(live, "a", kind)
    assert state(live) == "half-open"
    answer(live, clock, "a", 0.0)
    assert state(live) == "slow-start"


def test_after_a_probe_meets_a_rate_limit_another_one_is_admitted_when_the_limit_is_over() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
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


def test_calls_from_before_a_trip_decide_nothing_after_it() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
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


@given(kinds=st.lists(st.sampled_from(["transient", "rate_limit", "auth", "unable", "request", "cancelled"]), max_size=40))
def test_the_next_choice_knows_about_every_failure(kinds: list[FailureClass]) -> None:
    live = make_live("a", "b", clock=FakeClock())
    for kind in kinds:
        attempt = live.begin("a")
        if attempt is None:
            break
        attempt.fail(kind)
        result = live.eligible("ab")
        assert ("a" in result.names) == (live.snapshot()["a"].state == "closed")
        assert set(result.names) | set(result.blocked) == {"a", "b"}


def test_answers_to_earlier_calls_do_not_hide_that_an_endpoint_began_to_fail() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
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
