"""Which endpoints are eligible if too few are left."""

from collections.abc import Sequence

import pytest

from router.health.live import LiveState
from tests.router.health.fakes import FakeClock, begin, fail, make_live, state, trip


def eligible(live: LiveState, names: Sequence[str]) -> tuple[str, bool]:
    result = live.eligible(names)
    return "".join(result.names), result.panic


def test_panic_ignores_trips_once_fewer_than_half_are_eligible() -> None:
    live = make_live(*"abcd", clock=FakeClock())
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
    live = make_live(*"abcd", clock=clock)
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
    live = make_live(*"abc", clock=FakeClock())
    fail(live, "a", "auth")
    fail(live, "b", "rate_limit", retry_after_s=9.0)
    assert eligible(live, "abc") == ("c", False)


def test_a_tripped_endpoint_with_a_refused_key_causes_no_panic() -> None:
    live = make_live("a", "b", clock=FakeClock())
    trip(live)
    begin(live, "a", ignore_trip=True).fail("auth")
    assert eligible(live, "a") == ("", False)


def test_if_all_are_blocked_none_is_eligible_and_each_has_the_end_of_its_cooldown() -> None:
    live = make_live("a", "b", clock=FakeClock())
    fail(live, "a", "auth")
    fail(live, "b", "rate_limit", retry_after_s=9.0)
    result = live.eligible("ab")
    assert result.names == ()
    assert result.blocked == {"a": 1300.0, "b": pytest.approx(1009.0)}


def test_in_panic_only_the_probe_decides() -> None:
    clock = FakeClock()
    live = make_live("a", "b", clock=clock)
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


def test_a_single_endpoint_never_trips_but_obeys_rate_limits_and_refused_keys() -> None:
    clock = FakeClock()
    live = make_live("only", clock=clock)
    fail(live, "only", times=100)
    assert state(live, "only") == "closed"
    assert eligible(live, ["only"]) == (("only"), False)
    fail(live, "only", "rate_limit", retry_after_s=3.0)
    assert live.eligible(["only"]).blocked == {"only": pytest.approx(1003.0)}


def test_a_tripped_endpoint_is_eligible_if_it_is_the_only_one_given() -> None:
    live = make_live("a", "b", "c", clock=FakeClock())
    trip(live)
    assert eligible(live, "a") == ("a", True)
    fail(live, "b", "auth")
    assert eligible(live, "b") == ("", False)
