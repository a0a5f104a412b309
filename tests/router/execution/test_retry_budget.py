"""Limits of the extra attempts in flight."""

from contextlib import ExitStack

import pytest

from router.errors import (
    AllAttemptsFailedError,
)
from router.execution.policy import CallPolicy
from router.execution.retry_budget import RetryBudget
from tests.router.execution.fakes import FakeEndpoints
from tests.router.execution.plans import DOWN, REPLY, end, tried


@pytest.mark.parametrize(("calls", "limit"), [(1, 3), (19, 3), (20, 4), (24, 4), (25, 5), (100, 20)])
def test_the_budget_admits_exactly_three_extra_attempts_or_a_fifth_of_the_calls(calls: int, limit: int) -> None:
    budget = RetryBudget(CallPolicy())
    with ExitStack() as inflight:
        for _ in range(calls):
            inflight.enter_context(budget.call())
        granted = [inflight.enter_context(budget.extra_attempt()) for _ in range(limit + 2)]
    assert granted == [True] * limit + [False] * 2
    assert (budget._calls, budget._extra) == (0, 0)


def test_without_budget_a_failure_is_final() -> None:
    endpoints = FakeEndpoints("a", "b", policy=CallPolicy(extra_attempts=1))
    first, second = endpoints.plan(), endpoints.plan()
    assert tried(first, DOWN) == ["a", "b"]
    assert tried(second) == ["a"]
    with pytest.raises(AllAttemptsFailedError, match="too many extra attempts"):
        second.send(DOWN)
    end(first, REPLY)
    assert endpoints.at_rest()


def test_an_extra_attempt_that_has_ended_makes_room_for_another() -> None:
    endpoints = FakeEndpoints("a", "b", policy=CallPolicy(extra_attempts=1))
    for _ in range(3):
        plan = endpoints.plan()
        assert tried(plan, DOWN) == ["a", "b"]
        end(plan, REPLY)
