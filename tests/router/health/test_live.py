import asyncio
import math
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from itertools import count

import pytest

from router.errors import InputError
from router.health.live import Attempt, LiveState
from router.types import FailureClass
from tests.router.health.fakes import FakeClock, answer, begin, fail, seeded

KINDS: list[FailureClass] = ["transient", "rate_limit", "auth", "unable", "request", "cancelled"]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let the interpreter switch between threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def make_live(*names: str, clock: FakeClock) -> LiveState:
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
    live = make_live("a", "b", "c", clock=clock)
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


def test_a_penalty_is_at_least_5_seconds_and_30_if_no_latency_is_known() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    fail(live, "a")
    assert live.load("a") == pytest.approx(30.0)
    answer(live, clock, "b", 0.1)
    fail(live, "b")
    assert live.load("b") == pytest.approx(5.0)


def test_a_failure_changes_no_latency_however_fast_it_was() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    answer(live, clock, "a", 2.0)
    attempt = begin(live, "a")
    clock.advance(0.05)
    attempt.first_token()
    attempt.fail("transient")
    health = live.snapshot()["a"]
    assert health.predicted_s == pytest.approx(2.0)
    assert (health.completed, health.latencies.count) == (1, 1)


def test_if_the_clock_went_back_the_answer_counts_and_no_latency_changes() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    answer(live, clock, "a", -5.0)
    health = live.snapshot()["a"]
    assert (health.completed, health.inflight, health.ttft_s, health.p50_s) == (1, 0, None, None)
    assert live.load("a") == 1.0


def test_the_load_is_infinite_while_an_endpoint_is_tried_for_the_first_time() -> None:
    clock = FakeClock()
    live = make_live("known", "new", clock=clock)
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


def test_on_a_cold_start_no_endpoint_is_refused() -> None:
    live = make_live("a", "b", clock=FakeClock())
    for name in "aabb":
        begin(live, name)
    result = live.eligible("ab")
    assert (result.names, result.blocked, result.panic) == (("a", "b"), {}, False)


def test_eligible_keeps_the_given_order_and_leaves_out_all_others() -> None:
    live = make_live(*"abc", clock=FakeClock())
    fail(live, "b", "auth")
    assert live.eligible("cba").names == ("c", "a")
    assert live.eligible("ca").blocked == {}
    assert live.eligible("").names == ()


def test_the_next_choice_sees_a_cooldown() -> None:
    live = make_live("a", "b", clock=FakeClock())
    attempt = begin(live, "a")
    assert live.eligible("ba").names == ("b", "a")
    attempt.fail("rate_limit")
    assert live.eligible("ab").names == ("b",)
    assert live.begin("a") is None


def test_later_attempts_of_a_call_can_start_a_cooldown_too() -> None:
    live = make_live(*"abcd", clock=FakeClock())
    for name, kind in zip("abc", ("rate_limit", "auth", "rate_limit"), strict=True):
        fail(live, name, kind)  # type: ignore[arg-type] # three attempts of one request
    assert live.eligible("abcd").names == ("d",)
    assert set(live.eligible("abcd").blocked) == set("abc")


def test_failures_of_later_attempts_count_towards_a_trip_like_those_of_first_ones() -> None:
    live = make_live("first", "second", "third", clock=FakeClock())
    for _ in range(5):
        fail(live, "first", "request")
        fail(live, "second")
    assert live.snapshot()["second"].state == "open"


@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize("again", [None, *KINDS])
def test_an_attempt_is_reported_exactly_once_and_later_reports_do_nothing(
    kind: FailureClass | None, again: FailureClass | None
) -> None:
    live = make_live("a", "b", clock=FakeClock())
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
def test_leaving_the_block_without_a_report_counts_as_cancelled_after_any_exception(error: type[BaseException]) -> None:
    live = make_live("a", "b", clock=FakeClock())

    def ask() -> None:
        with begin(live, "a"):
            assert live.inflight("a") == 1
            raise error

    with pytest.raises(error):
        ask()
    health = live.snapshot()["a"]
    assert (health.inflight, health.failures["cancelled"], health.completed) == (0, 1, 0)


def test_cancelled_tasks_leave_nothing_in_flight() -> None:
    live = make_live("a", "b", clock=FakeClock())

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


def test_a_stream_that_is_dropped_leaves_nothing_in_flight() -> None:
    live = make_live("a", "b", clock=FakeClock())

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
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert live.inflight("a") == 0


@pytest.mark.usefixtures("hasty_threads")
def test_16_threads_lose_no_count_and_never_see_a_negative_one() -> None:
    # Each look at the clock takes a second, so that cooldowns end after some calls, however fast the machine is.
    # next() on itertools.count is atomic in CPython.
    seconds = count()
    live = LiveState(dict.fromkeys("abcd", 1.0), clock=lambda: float(next(seconds)), rng=seeded())

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
    healths = live.snapshot().values()
    assert [health.inflight for health in healths] == [0, 0, 0, 0]
    assert sum(health.completed + sum(health.failures.values()) for health in healths) == begun > 16
    assert sum(health.latencies.count for health in healths) == sum(health.completed for health in healths)


@pytest.mark.usefixtures("hasty_threads")
def test_of_many_reports_at_once_one_counts() -> None:
    live = make_live("a", "b", clock=FakeClock())
    attempt, barrier = begin(live, "a"), threading.Barrier(16)

    def report_once(kind: FailureClass | None) -> None:
        barrier.wait()
        report(attempt, kind)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(report_once, [*KINDS, None] * 2 + KINDS[:2]))
    health = live.snapshot()["a"]
    assert health.inflight == 0
    assert health.completed + sum(health.failures.values()) == 1


def test_a_snapshot_does_not_change() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
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
    assert health.failures == {
        "transient": 1,
        "rate_limit": 0,
        "auth": 0,
        "unable": 0,
        "request": 0,
        "rejected": 0,
        "cancelled": 0,
    }
    # The last was the slowest, so that it counts in full: 1.5 s, then 1.5 s for 100 tokens.
    assert (health.ttft_s, health.s_per_token, health.predicted_s) == pytest.approx((1.5, 0.015, 6.0))
    assert health.penalty_s == pytest.approx(180.0)
    assert (health.p50_s, health.p95_s, health.p99_s) == pytest.approx((2.0, 2.0, 2.0), rel=0.01)
    assert health.latencies.count == 3
    with pytest.raises(FrozenInstanceError):
        health.inflight = 0  # type: ignore[misc]


def test_the_latencies_of_a_models_endpoints_can_be_merged() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    for name, seconds in (("a", 1.0), ("a", 2.0), ("b", 8.0), ("b", 9.0), ("b", 10.0)):
        answer(live, clock, name, seconds)
    healths = live.snapshot()
    both = healths["a"].latencies.merge(healths["b"].latencies)
    assert both.quantile(0.5) == pytest.approx(8.0, rel=0.01)
    assert live.snapshot()["a"].latencies.count == 2


def test_a_refused_key_is_logged_as_an_error_that_names_the_endpoint(caplog: pytest.LogCaptureFixture) -> None:
    live = make_live("a", "b", clock=FakeClock())
    for kind in ("transient", "unable", "request", "cancelled", "rate_limit"):
        fail(live, "b", kind)  # the operator can repair none of these
    fail(live, "a", "auth")
    assert [(record.name, record.levelname) for record in caplog.records] == [("contextual_llm_router", "ERROR")]
    assert "endpoint a refused the key" in caplog.text


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_weight_that_is_not_positive_and_finite_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="the weight of endpoint 'b' must be positive and finite, got"):
        LiveState({"a": 1.0, "b": weight})


def test_the_error_for_an_unknown_endpoint_lists_the_known_ones() -> None:
    live = make_live("a", "b", clock=FakeClock())
    for ask in (live.load, live.inflight, live.weight, live.begin, lambda name: live.eligible(["a", name])):
        with pytest.raises(InputError, match="endpoint 'c' is unknown; known: a, b"):
            ask("c")


def test_an_unknown_failure_class_is_refused_and_the_attempt_stays_in_flight() -> None:
    live = make_live("a", "b", clock=FakeClock())
    attempt = begin(live, "a")
    rule = "kind must be one of transient, rate_limit, auth, unable, request, rejected, cancelled, got 'timeout'"
    with pytest.raises(InputError, match=rule):
        attempt.fail("timeout")  # type: ignore[arg-type] # the point
    assert live.inflight("a") == 1
    attempt.fail("transient")
    assert live.snapshot()["a"].failures["transient"] == 1
