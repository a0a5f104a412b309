"""Limits of several processes together."""

from collections.abc import Iterator

import pytest

from router.execution.limits import RateLimit, SpendCap
from tests.router.state.server import RedisServer
from tests.router.state.shared import Sharing

CAP = SpendCap(usd=1.0, window_s=100)
TEN = {"a": RateLimit(requests_per_minute=10)}


@pytest.fixture
def sharing(server: RedisServer) -> Iterator[Sharing]:
    with Sharing(server) as sharing:
        yield sharing


def test_a_limit_holds_over_all_replicas(sharing: Sharing) -> None:
    first, second = (sharing.add().make_limiter(TEN, group="models") for _ in range(2))
    admitted = [limiter.admit("a", tokens=1) for _ in range(10) for limiter in (first, second)]
    assert sum(admitted) == 10
    assert all(admitted[:10])


def test_limits_of_clients_and_models_with_the_same_name_are_apart(sharing: Sharing) -> None:
    state = sharing.add()
    one, other = (
        state.make_limiter({"a": RateLimit(requests_per_minute=1)}, group=group) for group in ("models", "clients")
    )
    assert [one.admit("a", tokens=1), other.admit("a", tokens=1), one.admit("a", tokens=1)] == [True, True, False]


def test_without_the_server_each_replica_has_its_share_of_a_limit_and_then_tells_what_it_used(
    server: RedisServer, sharing: Sharing
) -> None:
    first, second = (sharing.add().make_limiter(TEN, group="models") for _ in range(2))
    server.signal(19)  # SIGSTOP
    assert [sum(limiter.admit("a", tokens=1) for _ in range(10)) for limiter in (first, second)] == [5, 5]
    server.signal(18)  # SIGCONT
    sharing.exchange()
    assert not first.admit("a", tokens=1)


def test_a_server_that_restarts_empty_learns_again_what_was_used_and_spent(server: RedisServer, sharing: Sharing) -> None:
    states = [sharing.add() for _ in range(2)]
    limiters = [state.make_limiter(TEN, group="models") for state in states]
    budgets = [state.make_spend_tracker(CAP, name="all") for state in states]
    for limiter, budget in zip(limiters, budgets, strict=True):
        assert all(limiter.admit("a", tokens=1) for _ in range(4))
        assert budget.reserve(0.25)
        budget.settle(0.25, 0.25)
    assert budgets[0].reserve(0.25)
    sharing.exchange()
    server.stop()
    server.start()
    sharing.exchange()
    assert [limiters[1].admit("a", tokens=1) for _ in range(3)] == [True, True, False]
    assert not budgets[1].reserve(0.3)
    assert budgets[1].remaining_usd() == pytest.approx(0.25)
    budgets[0].settle(0.25, 0.0)
    sharing.exchange()
    assert budgets[1].reserve(0.5)


def test_a_budget_holds_over_all_replicas(sharing: Sharing) -> None:
    first, second = (sharing.add().make_spend_tracker(CAP, name="all") for _ in range(2))
    assert [budget.reserve(0.4) for budget in (first, second, first)] == [True, True, False]
    first.settle(0.4, 0.1)
    sharing.exchange()
    assert second.reserve(0.4)
    assert second.remaining_usd() == pytest.approx(0.1)
    assert second.reserve(0.09)
    assert not first.reserve(0.02)


def test_without_the_server_each_replica_may_spend_its_share_of_a_budget(server: RedisServer, sharing: Sharing) -> None:
    first, second = (sharing.add().make_spend_tracker(CAP, name="all") for _ in range(2))
    server.signal(19)
    for budget in (first, second):
        assert [budget.reserve(0.25) for _ in range(3)] == [True, True, False]
        assert budget.remaining_usd() == 0.0
        budget.settle(0.25, 0.25)
        budget.settle(0.25, 0.1)
    server.signal(18)
    sharing.exchange()
    assert second.reserve(0.29)
    assert not first.reserve(0.1)
    assert first.remaining_usd() == pytest.approx(0.01)


def test_what_was_spent_in_a_long_outage_is_told_in_one_sum(server: RedisServer, sharing: Sharing) -> None:
    first, second = (sharing.add().make_spend_tracker(CAP, name="all") for _ in range(2))
    server.signal(19)
    for _ in range(500):
        if first.reserve(0.0005):
            first.settle(0.0005, 0.0005)
    server.signal(18)
    before = server.client.info("commandstats")
    sharing.exchange()
    calls = [stats.get("cmdstat_evalsha", {}).get("calls", 0) for stats in (before, server.client.info("commandstats"))]  # type: ignore[union-attr]
    assert calls[1] - calls[0] < 20
    assert not second.reserve(0.76)
    assert second.reserve(0.74)


def test_the_reservations_of_a_replica_that_died_are_given_back(server: RedisServer, sharing: Sharing) -> None:
    first, second = (sharing.add().make_spend_tracker(CAP, name="all") for _ in range(2))
    assert first.reserve(0.8)
    assert not second.reserve(0.5)
    key = "{llm-router}:spend:all:reserved"
    client = server.client
    client.zadd(key, dict.fromkeys(client.zrange(key, 0, -1), 1.0))  # type: ignore[arg-type] # their lease has ended
    assert second.reserve(0.5)
