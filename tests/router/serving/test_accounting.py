"""Limits per minute and the spending cap."""

import asyncio
import threading
import time

import pytest

from router import Router, RoutingContext
from router.calls import Reply, Usage
from router.errors import (
    AllAttemptsFailedError,
    BudgetExceededError,
    NoModelAvailableError,
)
from router.execution.limits import RateLimit, SpendCap
from tests.router.serving.fakes import DOWN, serve


def test_a_model_whose_limit_per_minute_is_reached_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package `limits` reads the wall clock.
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    router = serve(limits={"best": RateLimit(requests_per_minute=2)})
    assert [router.complete("hello").model for _ in range(4)] == ["best", "best", "good", "good"]
    assert router.fleet.live.inflight("best") == 0
    alone = serve(limits={name: RateLimit(requests_per_minute=1) for name in ("best", "good", "poor")})
    assert [alone.complete("hello").model for _ in range(3)] == ["best", "good", "poor"]
    with pytest.raises(BudgetExceededError, match="limits per minute of best, good, poor are reached") as refused:
        alone.complete("hello")
    assert isinstance(refused.value.__cause__, NoModelAvailableError)


def test_a_failed_call_names_the_limits_that_kept_other_models_from_answering() -> None:
    router = serve({"good": [DOWN]}, limits={"best": RateLimit(requests_per_minute=1)}, allowed={"best", "good"})
    assert router.complete("hello").model == "best"
    with pytest.raises(AllAttemptsFailedError, match=r"good: .*; the limits per minute of best are reached"):
        router.complete("hello")


def test_the_cost_of_a_rejected_answer_counts() -> None:
    router = serve(spend=SpendCap(usd=1.0), allowed={"best"})
    with pytest.raises(AllAttemptsFailedError):
        router.complete("hello", accept=lambda _: False)
    assert router.fleet.spend_tracker is not None
    # Its usage is unknown, so it counts as expected: 0.02 USD.
    assert router.fleet.spend_tracker.remaining_usd() == pytest.approx(0.98)


def test_a_spending_cap_refuses_or_asks_a_model_that_still_fits() -> None:
    refusing = serve(spend=SpendCap(usd=0.05))
    # The cost of the answers is unknown. It counts as expected: 0.02 USD.
    assert [refusing.complete("hello").model for _ in range(2)] == ["best", "best"]
    message = r"0\.01 of 0\.05 USD per 86400 s are left, but best is expected to cost 0\.02 USD"
    with pytest.raises(BudgetExceededError, match=message):
        refusing.complete("hello")
    thrifty = serve(spend=SpendCap(usd=0.05, on_spent="downgrade"))
    assert [thrifty.complete("hello").model for _ in range(3)] == ["best", "best", "poor"]


def test_the_cost_of_an_answer_counts_and_a_failure_is_free() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100)  # 0.01 + 0.01 USD
    router = serve({"best": [DOWN], "good": [Reply(text="ok", usage=usage)]}, spend=SpendCap(usd=1.0))
    assert router.complete("hello").cost_usd == pytest.approx(0.02)
    assert router.fleet.spend_tracker is not None
    assert router.fleet.spend_tracker.remaining_usd() == pytest.approx(0.98)
    failing = serve({name: [DOWN] for name in ("best", "good", "poor")}, spend=SpendCap(usd=1.0))
    with pytest.raises(AllAttemptsFailedError):
        failing.complete("hello")
    assert failing.fleet.spend_tracker is not None
    assert failing.fleet.spend_tracker.remaining_usd() == 1.0


def test_a_stream_that_is_left_counts_with_its_expected_cost() -> None:
    router = serve({"best": ["one two three"]}, spend=SpendCap(usd=1.0))
    with router.complete("count", stream=True) as stream:
        next(iter(stream))
    assert router.fleet.spend_tracker is not None
    assert router.fleet.spend_tracker.remaining_usd() == pytest.approx(0.98)
    assert router.fleet.live.inflight("best") == 0


def test_a_call_that_is_cancelled_during_its_decision_reserves_no_cost() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    def think(context: RoutingContext) -> tuple[str, ...]:
        begun.set()
        assert cancelled.wait(60)
        return tuple(context.candidates)

    async def give_up(router: Router) -> None:
        task = asyncio.create_task(router.acomplete("hello"))
        assert await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled.set()

    router = serve(strategy=think, spend=SpendCap(usd=1.0))
    asyncio.run(give_up(router))
    assert router.fleet.spend_tracker is not None
    assert router.fleet.spend_tracker.remaining_usd() == 1.0
