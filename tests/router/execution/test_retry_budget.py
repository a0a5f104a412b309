"""Limits of the retries in flight."""

from contextlib import ExitStack

import pytest

from router.calls import Chunk
from router.errors import AllAttemptsFailedError
from router.execution.policy import CallPolicy
from router.execution.retry_budget import RetryBudget
from router.execution.steps import More, Pause, Plan
from tests.router.execution.fakes import FakeEndpoints
from tests.router.execution.plans import DOWN, LIMITED, REPLY, asked, end, tried

ONE = CallPolicy(extra_attempts=1, extra_attempts_share=0.01)
FIRST = Chunk(text="fo")


def retry(endpoints: FakeEndpoints, plan: Plan) -> str:
    """Send a failure, wait, and return the endpoint of the retry."""
    pause = plan.send(DOWN)
    assert isinstance(pause, Pause)
    endpoints.clock.sleep(pause.seconds)
    return asked(plan.send(None))


@pytest.mark.parametrize(("calls", "limit"), [(1, 3), (19, 3), (20, 4), (24, 4), (25, 5), (100, 20)])
def test_the_budget_admits_exactly_three_retries_or_a_fifth_of_the_calls(calls: int, limit: int) -> None:
    budget = RetryBudget(CallPolicy())
    with ExitStack() as inflight:
        for _ in range(calls):
            inflight.enter_context(budget.call())
        granted = [budget.take() for _ in range(limit + 2)]
        assert [retry is not None for retry in granted] == [True] * limit + [False] * 2
        for retry_in_flight in granted[:limit]:
            assert retry_in_flight is not None
            retry_in_flight.release()
            retry_in_flight.release()  # the second release does nothing
    assert (budget._calls, budget._retries) == (0, 0)


def test_the_first_request_to_another_endpoint_is_no_retry_however_many_calls_make_one() -> None:
    endpoints = FakeEndpoints("a", "b", policy=CallPolicy(extra_attempts=0, extra_attempts_share=0))
    plans = [endpoints.plan() for _ in range(40)]
    for plan in plans:
        assert asked(next(plan)) == "a"
    assert {asked(plan.send(DOWN)) for plan in plans} == {"b"}
    for plan in plans:
        end(plan, REPLY)
    assert endpoints.at_rest()


def test_without_budget_an_endpoint_that_failed_is_not_asked_again() -> None:
    endpoints = FakeEndpoints("a", policy=ONE)
    first, second = endpoints.plan(), endpoints.plan()
    assert (tried(first), tried(second)) == (["a"], ["a"])
    assert retry(endpoints, first) == "a"
    assert isinstance(second.send(DOWN), Pause)
    endpoints.clock.sleep(0.5)
    with pytest.raises(AllAttemptsFailedError, match="too many retries are in flight") as refused:
        second.send(None)
    assert refused.value.failure is DOWN
    end(first, REPLY)
    assert endpoints.at_rest()


def test_a_retry_that_has_ended_makes_room_for_another() -> None:
    endpoints = FakeEndpoints("a", policy=ONE)
    for _ in range(3):
        plan = endpoints.plan()
        assert tried(plan) == ["a"]
        assert retry(endpoints, plan) == "a"
        end(plan, REPLY)
    assert endpoints.at_rest()


def test_after_a_rate_limit_the_same_endpoint_is_asked_again_without_a_budget() -> None:
    endpoints = FakeEndpoints("a", policy=CallPolicy(extra_attempts=0, extra_attempts_share=0))
    plan = endpoints.plan()
    assert tried(plan) == ["a"]
    pause = plan.send(LIMITED)
    assert isinstance(pause, Pause)
    endpoints.clock.sleep(pause.seconds)
    assert asked(plan.send(None)) == "a"
    end(plan, REPLY)


def test_an_open_stream_is_no_retry_any_more() -> None:
    endpoints = FakeEndpoints("a", policy=ONE)
    first, second = endpoints.plan(stream=True), endpoints.plan(stream=True)
    assert (tried(first), tried(second)) == (["a"], ["a"])
    assert retry(endpoints, first) == "a"
    assert isinstance(first.send(FIRST), More)
    assert retry(endpoints, second) == "a"
    first.close()
    second.close()
    assert endpoints.at_rest()


def test_a_plan_that_is_left_during_its_retry_gives_the_budget_back() -> None:
    endpoints = FakeEndpoints("a", policy=ONE)
    plan = endpoints.plan()
    assert tried(plan) == ["a"]
    assert retry(endpoints, plan) == "a"
    plan.close()
    assert endpoints.at_rest()
