import asyncio
import math
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError

import pytest

from router.errors import InputError
from router.health import Attempt, HealthPolicy, LiveState
from router.types import FailureClass
from tests.router.health.clock import FakeClock, answer, begin, fail, seeded

KINDS: list[FailureClass] = ["transient", "rate_limit", "auth", "request", "cancelled"]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that give way to one another as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def fleet(*names: str, clock: FakeClock) -> LiveState:
    return LiveState(dict.fromkeys(names, 1.0), clock=clock, rng=seeded())


def test_load_is_predicted_seconds_times_requests_and_this_one_by_weight() -> None:
    clock = FakeClock()
    live = LiveState({"a": 2.0, "b": 1.0}, clock=clock)
    answer(live, clock, "a", 3.0)
    assert live.load("a") == pytest.approx(1.5)
    attempts = [begin(live, "a"), begin(live, "a")]
    assert live.inflight("a") == 2
    assert live.load("a") == pytest.approx(4.5)
    for attempt in attempts:
        attempt.fail("cancelled")
    assert live.load("a") == pytest.approx(1.5)
    assert live.load("b") == pytest.approx(3.0)


@pytest.mark.parametrize("kind", ["transient", "rate_limit", "auth"])
def test_after_a_failure_the_load_is_30_medians_and_falls_to_the_predicted_in_30_seconds(kind: FailureClass) -> None:
    clock = FakeClock()
    live = fleet("a", "b", "c", clock=clock)
    for name, seconds in (("a", 2.0), ("b", 1.0), ("c", 6.0)):
        answer(live, clock, name, seconds)
    clock.advance(3600.0)
    fail(live, "b", kind)
    for after_s, penalty_s in ((0.0, 60.0), (15.0, 30.0), (14.0, 2.0)):
        clock.advance(after_s)
        assert live.load("b") == pytest.approx(penalty_s)
        assert live.snapshot()["b"].penalty_s == pytest.approx(penalty_s)
    for after_s in (1.0, 1000.0):
        clock.advance(after_s)
        assert live.load("b") == pytest.approx(1.0)
        assert live.snapshot()["b"].penalty_s == 0.0
    assert live.load("a") < 60.0


def test_a_penalty_is_at_least_5_seconds_and_30_where_no_latency_is_known() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    fail(live, "a")
    assert live.load("a") == pytest.approx(30.0)
    answer(live, clock, "b", 0.1)
    fail(live, "b")
    assert live.load("b") == pytest.approx(5.0)


def test_a_failure_however_fast_teaches_no_latency() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    answer(live, clock, "a", 2.0)
    attempt = begin(live, "a")
    clock.advance(0.05)
    attempt.first_token()
    attempt.fail("transient")
    health = live.snapshot()["a"]
    assert health.predicted_s == pytest.approx(2.0)
    assert (health.completed, health.latencies.count) == (1, 1)


def test_a_clock_that_went_back_counts_the_answer_and_teaches_no_latency() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    answer(live, clock, "a", -5.0)
    health = live.snapshot()["a"]
    assert (health.completed, health.inflight, health.ttft_s, health.p50_s) == (1, 0, None, None)
    assert live.load("a") == 1.0


def test_one_that_has_not_answered_yet_looks_busy_beyond_measure_while_it_is_tried() -> None:
    clock = FakeClock()
    live = fleet("known", "new", clock=clock)
    answer(live, clock, "known", 1.0)
    assert live.load("new") == pytest.approx(1.0)
    first = begin(live, "new")
    assert live.load("new") == math.inf
    assert live.eligible(["new", "known"]).names == ("new", "known")  # it may be asked: load is no refusal
    first.fail("request")
    assert live.load("new") == pytest.approx(1.0)
    second = begin(live, "new")
    clock.advance(1.0)
    second.succeed()
    begin(live, "new")
    assert live.load("new") == pytest.approx(2.0)


def test_on_a_cold_start_nobody_is_refused() -> None:
    live = fleet("a", "b", clock=FakeClock())
    for name in "aabb":
        begin(live, name)
    told = live.eligible("ab")
    assert (told.names, told.blocked, told.panic) == (("a", "b"), {}, False)


def test_eligible_keeps_the_order_given_and_knows_nothing_of_those_not_given() -> None:
    live = fleet(*"abc", clock=FakeClock())
    fail(live, "b", "auth")
    assert live.eligible("cba").names == ("c", "a")
    assert live.eligible("ca").blocked == {}
    assert live.eligible("").names == ()


def test_a_cooldown_is_visible_to_the_very_next_pick() -> None:
    live = fleet("a", "b", clock=FakeClock())
    attempt = begin(live, "a")
    assert live.eligible("ba").names == ("b", "a")
    attempt.fail("rate_limit")
    assert live.eligible("ab").names == ("b",)
    assert live.begin("a") is None


def test_every_later_attempt_of_a_request_can_cool_a_model_down_too() -> None:
    live = fleet(*"abcd", clock=FakeClock())
    for name, kind in zip("abc", ("rate_limit", "auth", "rate_limit"), strict=True):
        fail(live, name, kind)  # type: ignore[arg-type] # three attempts of one request
    assert live.eligible("abcd").names == ("d",)
    assert set(live.eligible("abcd").blocked) == set("abc")


def test_failures_of_later_attempts_count_towards_a_trip_like_those_of_first_ones() -> None:
    live = fleet("first", "second", "third", clock=FakeClock())
    for _ in range(5):
        fail(live, "first", "request")
        fail(live, "second")
    assert live.snapshot()["second"].state == "open"


@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize("again", [None, *KINDS])
def test_an_attempt_is_reported_exactly_once_and_later_reports_do_nothing(
    kind: FailureClass | None, again: FailureClass | None
) -> None:
    live = fleet("a", "b", clock=FakeClock())
    with begin(live, "a") as attempt:
        report(attempt, kind)
        once = live.snapshot()
        report(attempt, again)
    assert live.snapshot() == once
    assert live.inflight("a") == 0
    assert once["a"].completed + sum(once["a"].failures.values()) == 1


def report(attempt: Attempt, kind: FailureClass | None) -> None:
    attempt.succeed() if kind is None else attempt.fail(kind)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_leaving_the_block_unreported_is_a_cancelled_request_whatever_was_raised(error: type[BaseException]) -> None:
    live = fleet("a", "b", clock=FakeClock())

    def ask() -> None:
        with begin(live, "a"):
            assert live.inflight("a") == 1
            raise error

    with pytest.raises(error):
        ask()
    health = live.snapshot()["a"]
    assert (health.inflight, health.failures["cancelled"], health.completed) == (0, 1, 0)


def test_cancelled_tasks_leave_nothing_in_flight() -> None:
    live = fleet("a", "b", clock=FakeClock())

    async def ask() -> None:
        with begin(live, "a"):
            await asyncio.sleep(3600)

    async def ask_and_leave() -> None:
        tasks = [asyncio.create_task(ask()) for _ in range(100)]
        await asyncio.sleep(0)
        assert live.inflight("a") == 100
        for task in tasks[:60]:
            task.cancel()
        await asyncio.wait(tasks[:60])
        assert live.inflight("a") == 40
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*tasks[60:]), timeout=0.001)

    asyncio.run(ask_and_leave())
    assert live.inflight("a") == 0
    assert live.snapshot()["a"].failures["cancelled"] == 100


def test_a_stream_nobody_reads_on_leaves_nothing_in_flight() -> None:
    live = fleet("a", "b", clock=FakeClock())

    def stream() -> Iterator[str]:
        with begin(live, "a") as attempt:
            yield "first"
            attempt.succeed()

    chunks = stream()
    assert next(chunks) == "first"
    assert live.inflight("a") == 1
    del chunks
    assert live.inflight("a") == 0


def test_a_report_that_comes_while_its_thread_holds_the_lock_does_not_hang() -> None:
    # As when the garbage collector closes an abandoned stream in the middle of `load`.
    abandoned: list[Attempt] = []

    def clock() -> float:
        if abandoned:
            abandoned.pop().fail("cancelled")
        return 0.0

    live = LiveState({"a": 1.0, "b": 1.0}, clock=clock)
    abandoned.append(begin(live, "a"))
    thread = threading.Thread(target=live.load, args=("a",), daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert live.inflight("a") == 0


@pytest.mark.usefixtures("hasty_threads")
def test_16_threads_lose_no_count_and_never_see_a_negative_one() -> None:
    live = LiveState(dict.fromkeys("abcd", 1.0), policy=HealthPolicy(auth_cooldown_s=1e-3), rng=seeded())

    def work(thread: int) -> int:
        rng, begun = seeded(thread), 0
        for _ in range(300):
            name = rng.choice("abcd")
            attempt = live.begin(name, ignore_trip=live.eligible("abcd").panic)
            if attempt is None:
                continue
            begun += 1
            with attempt:
                attempt.first_token()
                assert live.inflight(name) >= 1
                assert min(live.load(name), live.weight(name)) > 0
                report(attempt, rng.choice([None, None, None, *KINDS]))
                report(attempt, rng.choice([None, *KINDS]))
            assert min(health.inflight for health in live.snapshot().values()) >= 0
        return begun

    with ThreadPoolExecutor(16) as pool:
        begun = sum(pool.map(work, range(16)))
    told = live.snapshot().values()
    assert [health.inflight for health in told] == [0, 0, 0, 0]
    assert sum(health.completed + sum(health.failures.values()) for health in told) == begun > 16
    assert sum(health.latencies.count for health in told) == sum(health.completed for health in told)


@pytest.mark.usefixtures("hasty_threads")
def test_of_many_reports_at_once_one_counts() -> None:
    live = fleet("a", "b", clock=FakeClock())
    attempt, barrier = begin(live, "a"), threading.Barrier(16)

    def tell(kind: FailureClass | None) -> None:
        barrier.wait()
        report(attempt, kind)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(tell, [*KINDS, None] * 2 + KINDS[:4]))
    health = live.snapshot()["a"]
    assert health.inflight == 0
    assert health.completed + sum(health.failures.values()) == 1


def test_a_snapshot_is_values_that_stay_as_they_were() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    for seconds in (1.0, 2.0, 3.0):
        attempt = begin(live, "a")
        clock.advance(seconds / 2)
        attempt.first_token()
        clock.advance(seconds / 2)
        attempt.succeed(output_tokens=100)
    fail(live, "a")
    out = begin(live, "a")
    health = live.snapshot()["a"]
    out.succeed()
    fail(live, "a")
    clock.advance(100.0)
    assert (health.name, health.state, health.retry_at) == ("a", "closed", None)
    assert (health.inflight, health.completed) == (1, 3)
    assert health.failures == {"transient": 1, "rate_limit": 0, "auth": 0, "request": 0, "cancelled": 0}
    # The last was the slowest, so that it counts in full: 1.5 s, then 1.5 s for 100 tokens.
    assert (health.ttft_s, health.s_per_token, health.predicted_s) == pytest.approx((1.5, 0.015, 6.0))
    assert health.penalty_s == pytest.approx(180.0)
    assert (health.p50_s, health.p95_s, health.p99_s) == pytest.approx((2.0, 2.0, 2.0), rel=0.01)
    assert health.latencies.count == 3
    with pytest.raises(FrozenInstanceError):
        health.inflight = 0  # type: ignore[misc]


def test_the_latencies_of_a_models_endpoints_can_be_merged() -> None:
    clock = FakeClock()
    live = fleet("a", "b", clock=clock)
    for name, seconds in (("a", 1.0), ("a", 2.0), ("b", 8.0), ("b", 9.0), ("b", 10.0)):
        answer(live, clock, name, seconds)
    told = live.snapshot()
    both = told["a"].latencies.merge(told["b"].latencies)
    assert both.quantile(0.5) == pytest.approx(8.0, rel=0.01)
    assert live.snapshot()["a"].latencies.count == 2


def test_a_refused_key_is_logged_as_an_error_that_names_the_endpoint(caplog: pytest.LogCaptureFixture) -> None:
    live = fleet("a", "b", clock=FakeClock())
    for kind in ("transient", "request", "cancelled", "rate_limit"):
        fail(live, "b", kind)  # none of these is the operator's to mend
    fail(live, "a", "auth")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "endpoint a refused the key" in caplog.text


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_weight_that_is_not_positive_and_finite_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="the weight of endpoint 'b' must be positive and finite, was"):
        LiveState({"a": 1.0, "b": weight})


def test_an_unknown_endpoint_is_told_with_those_that_are_known() -> None:
    live = fleet("a", "b", clock=FakeClock())
    for ask in (live.load, live.inflight, live.weight, live.begin, lambda name: live.eligible(["a", name])):
        with pytest.raises(InputError, match="endpoint 'c' is unknown; known: a, b"):
            ask("c")


def test_an_unknown_failure_class_is_refused_and_the_attempt_still_stands() -> None:
    live = fleet("a", "b", clock=FakeClock())
    attempt = begin(live, "a")
    with pytest.raises(
        InputError, match="kind must be one of transient, rate_limit, auth, request, cancelled, was 'timeout'"
    ):
        attempt.fail("timeout")  # type: ignore[arg-type] # the point
    assert live.inflight("a") == 1
    attempt.fail("transient")
    assert live.snapshot()["a"].failures["transient"] == 1


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("cooldown_s", 0.0, "cooldown_s must be positive and finite, was 0.0"),
        ("penalty_min_s", -1.0, "penalty_min_s must be positive and finite, was -1.0"),
        ("slow_start_s", math.nan, "slow_start_s must be positive and finite, was nan"),
        ("auth_cooldown_s", math.inf, "auth_cooldown_s must be positive and finite, was inf"),
        ("trip_failure_share", 1.5, "trip_failure_share must be a share, at most 1"),
        ("jitter_share", 1.0, "jitter_share must be a share"),
        ("cooldown_s", 301.0, "cooldown_s must not exceed cooldown_max_s, was 301.0 > 300.0"),
        ("rate_limit_cooldown_s", 400.0, "rate_limit_cooldown_s must not exceed rate_limit_cooldown_max_s"),
        ("latency_decay_min_s", 121.0, "latency_decay_min_s must not exceed latency_decay_max_s"),
    ],
)
def test_a_policy_that_breaks_its_rules_tells_rule_and_value(field: str, value: float, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        HealthPolicy(**{field: value})  # type: ignore[arg-type]
