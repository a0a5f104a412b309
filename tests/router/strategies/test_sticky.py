import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest

from router import InputError, Preference, RoutingContext
from router.strategies import RoundRobin, Sticky, WeightedRandom, contextual, make_strategy
from tests.router.strategies.fleets import by_utility, firsts, fleet


def test_a_session_keeps_its_model_until_another_gains_more_than_the_cost_of_a_cold_cache() -> None:
    strategy = Sticky(switch_gain=0.1)
    turns = [(0.6, 0.5), (0.5, 0.59), (0.5, 0.61), (0.7, 0.61), (0.72, 0.61)]
    assert ["".join(strategy(by_utility({"a": a, "b": b}))) for a, b in turns] == ["ab", "ab", "ba", "ba", "ab"]


def test_the_others_follow_by_the_prompt() -> None:
    strategy = Sticky()
    strategy(by_utility({"a": 0.9, "b": 0.1, "c": 0.1}))
    assert strategy(by_utility({"c": 0.9, "b": 0.905, "a": 0.9})) == ["a", "b", "c"]


def test_a_session_moves_only_to_the_first_model_of_the_inner_strategy() -> None:
    strategy = Sticky(RoundRobin())
    asked = by_utility({"a": 0.5, "b": 0.1, "c": 0.9})
    assert strategy(asked) == ["a", "b", "c"]
    assert strategy(asked) == ["a", "b", "c"]  # c gains, but the turn is b's
    assert strategy(asked) == ["c", "a", "b"]


def test_a_session_leaves_a_lost_model_at_once_and_does_not_return_without_gain() -> None:
    strategy = Sticky()
    assert strategy(by_utility({"a": 0.52, "b": 0.5}))[0] == "a"
    assert strategy(by_utility({"b": 0.5, "c": 0.1})) == ["b", "c"]
    assert strategy(by_utility({"a": 0.52, "b": 0.5})) == ["b", "a"]


def test_a_session_leaves_a_model_below_the_floor_at_once() -> None:
    strategy = Sticky(switch_gain=math.inf)
    strategy(by_utility({"a": 0.9, "b": 0.5}))
    floored = by_utility({"a": 0.79, "b": 1.0}, preference=Preference(quality_floor=0.8))
    assert strategy(replace(floored, preference=Preference(quality_floor=0.79)))[0] == "a"
    assert strategy(floored)[0] == "b"


def test_each_session_keeps_its_own_model_and_requests_without_a_key_keep_none() -> None:
    strategy = Sticky(RoundRobin())
    assert [strategy(fleet("ab", key=key))[0] for key in ("u", "v", "u", "v", "u")] == list("ababa")
    assert firsts(strategy, fleet("ab", key=""), 4) == list("abab")


def test_turns_go_to_sessions_and_not_to_requests() -> None:
    strategy = make_strategy("sticky>round-robin")  # two requests a session: in turn by request, a would get them all
    assert [firsts(strategy, fleet("ab", key=f"session {number}"), 2) for number in range(4)] == [
        ["a", "a"],
        ["b", "b"],
        ["a", "a"],
        ["b", "b"],
    ]


def test_the_session_with_the_longest_silence_is_forgotten_first() -> None:
    strategy = Sticky(RoundRobin(), capacity=2)
    sessions = ["u", "v", "u", "w", "u", "v", "w"]
    # u a, v b, u kept, w a (v is forgotten), u kept, v b (w is forgotten), w a (u is forgotten)
    assert [strategy(fleet("ab", key=key))[0] for key in sessions] == list("abaaaba")
    assert len(strategy._kept) == 2


def test_simultaneous_requests_of_a_new_session_go_to_one_model() -> None:
    together, calls = threading.Barrier(2, timeout=30), count()

    def a_then_b(asked: RoutingContext) -> list[str]:
        together.wait()  # both threads have found no model for the session
        return ["a", "b"] if next(calls) == 0 else ["b", "a"]

    strategy = Sticky(a_then_b)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(strategy, [fleet("ab")] * 2)
    assert first == second == strategy(fleet("ab"))


def test_eight_threads_agree_on_every_sessions_model() -> None:
    strategy = Sticky(WeightedRandom())
    sessions = [f"session {number % 50}" for number in range(800)]
    with ThreadPoolExecutor(8) as pool:
        chosen = list(pool.map(lambda key: (key, strategy(fleet("abcd", key=key))[0]), sessions))
    assert len(set(chosen)) == 50


def test_a_copy_has_no_sessions_but_keeps_its_settings() -> None:
    strategy = Sticky(contextual, switch_gain=0.5, capacity=1)
    strategy(by_utility({"a": 0.9, "b": 0.1}))
    make, arguments = strategy.__reduce__()
    copy = make(*arguments)
    assert copy(by_utility({"a": 0.1, "b": 0.5}))[0] == "b"
    assert copy(by_utility({"a": 0.9, "b": 0.5}))[0] == "b"
    assert strategy(by_utility({"a": 0.1, "b": 0.5}))[0] == "a"


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"switch_gain": -0.1}, "switch_gain must be 0 or more, got -0.1"),
        ({"switch_gain": math.nan}, "switch_gain must be 0 or more, got nan"),
        ({"capacity": 0}, "capacity must be 1 or more, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        Sticky(**options)  # type: ignore[arg-type]
