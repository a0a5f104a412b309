"""Cooldowns after rate limits and refused keys."""

import pytest

from router.health.live import LiveState
from tests.router.health.fakes import FakeClock, answer, begin, fail, make_live, retry_at, seeded, state


@pytest.mark.parametrize(("asked", "cooled"), [(0.5, 0.5), (20.0, 20.0), (299.0, 299.0), (86400.0, 300.0)])
def test_a_rate_limit_cools_down_for_the_time_the_server_asks_but_at_most_300_seconds(asked: float, cooled: float) -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    fail(live, "a", "rate_limit", retry_after_s=asked)
    assert live.begin("a") is None
    assert live.eligible("ab").blocked == {"a": 1000.0 + cooled}
    clock.now = 1000.0 + cooled
    assert state(live) == "closed"
    assert live.eligible("ab").names == ("a", "b")
    assert live.begin("a") is not None


def test_a_server_is_called_again_never_before_the_time_it_named_and_at_most_10_percent_later() -> None:
    cooldowns = []
    for seed in range(200):
        live = LiveState({"a": 1.0, "b": 1.0}, clock=FakeClock(0.0), rng=seeded(seed))
        fail(live, "a", "rate_limit", retry_after_s=100.0)
        cooldowns.append(retry_at(live))
    assert 100.0 <= min(cooldowns) < 101.0
    assert 109.0 < max(cooldowns) <= 110.0


@pytest.mark.parametrize("asked", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_rate_limits_in_a_row_without_a_time_double_from_5_to_300_seconds_until_a_success(asked: float | None) -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    for expected in (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0):
        begin(live, "a").fail("rate_limit", retry_after_s=asked)
        assert retry_at(live) == pytest.approx(clock.now + expected)
        clock.advance(expected + 0.1)
    answer(live, clock, "a", 1.0)
    fail(live, "a", "rate_limit")
    assert retry_at(live) == pytest.approx(clock.now + 5.0)


def test_requests_refused_together_are_one_rate_limit_not_many_in_a_row() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    together = [begin(live, "a") for _ in range(20)]
    for attempt in together[:18]:
        attempt.fail("rate_limit")
    assert retry_at(live) == pytest.approx(1005.0)
    together[18].fail("rate_limit", retry_after_s=60.0)
    together[19].fail("rate_limit", retry_after_s=10.0)
    assert retry_at(live) == pytest.approx(1060.0)


def test_a_success_requested_before_a_rate_limit_does_not_restart_the_doubling() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    early = begin(live, "a")
    fail(live, "a", "rate_limit")
    early.succeed()
    clock.advance(5.0)
    fail(live, "a", "rate_limit")
    assert retry_at(live) == 1015.0


def test_a_refused_key_cools_300_seconds() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
    fail(live, "a", "auth")
    assert live.eligible("ab").blocked == {"a": 1300.0}
    assert live.begin("a") is None
    clock.advance(300.0)
    assert live.eligible("ab").names == ("a", "b")
    assert state(live) == "closed"
