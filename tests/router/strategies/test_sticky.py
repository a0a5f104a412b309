import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest

from router import InputError, Preference, RoutingContext
from router.strategies import RoundRobin, Sticky, WeightedRandom, contextual, make_strategy
from tests.router.fakes import model
from tests.router.strategies.fleets import by_utility, firsts, fleet

# A point is worth 0.001 USD, so 1,000 tokens that cost 1 USD less per million weigh 0.01 of utility.
WEIGHED = Preference(usd_per_point=0.001)
# Each token in a warm cache costs 1 USD per million less.
PROFILES = {name: model(name, input_usd_per_mtok=1.1, cached_input_usd_per_mtok=0.1, cache_lifetime_s=300) for name in "ab"}


def ask(a: float, b: float, **facts: object) -> RoutingContext:
    return by_utility({"a": a, "b": b}, **{"preference": WEIGHED, "profiles": PROFILES, **facts})  # type: ignore[arg-type]


def test_a_session_moves_if_the_gain_over_its_rest_exceeds_the_cost_of_a_cold_cache() -> None:
    strategy = Sticky()
    assert strategy(ask(0.6, 0.5, tokens=10_000)) == ["a", "b"]
    # b gains 0.08 now and as much on one more request. The warm cache saves 0.1 now, and later both caches are warm.
    assert strategy(ask(0.5, 0.53, tokens=10_000)) == ["a", "b"]
    assert strategy(ask(0.5, 0.58, tokens=10_000)) == ["b", "a"]


def test_a_session_that_goes_on_longer_moves_for_less() -> None:
    strategy = Sticky()
    strategy(ask(0.6, 0.5, tokens=10_000))
    # 0.019 on each request: once five more are expected, they pay for the cold cache, which costs 0.1.
    chosen = [strategy(ask(0.5, 0.519, tokens=10_000))[0] for _ in range(6)]
    assert chosen == ["a", "a", "a", "a", "b", "b"]


def test_a_request_of_another_task_does_not_count_for_the_rest() -> None:
    strategy = Sticky()
    strategy(ask(0.6, 0.5, tokens=10_000))
    other = ask(0.5, 0.58, tokens=10_000)
    assert strategy(replace(other, prediction=replace(other.prediction, task="writing")))[0] == "a"


def test_a_cache_that_has_grown_cold_keeps_nobody() -> None:
    strategy = Sticky()
    strategy(ask(0.6, 0.5, tokens=10_000, now_s=0.0))
    other = replace(ask(0.5, 0.53, tokens=10_000, now_s=301.0), preference=WEIGHED)
    assert strategy(other)[0] == "b"


def test_differences_within_the_error_of_the_estimates_move_nobody() -> None:
    strategy = Sticky(switch_gain=0.1)
    turns = [(0.6, 0.5), (0.5, 0.59), (0.5, 0.61), (0.7, 0.61), (0.72, 0.61)]
    assert ["".join(strategy(by_utility({"a": a, "b": b}))) for a, b in turns] == ["ab", "ab", "ba", "ba", "ab"]


def test_a_session_stays_inside_a_tool_call_unless_its_model_is_lost() -> None:
    strategy = Sticky()
    strategy(ask(0.6, 0.5))
    inside = ask(0.1, 0.9, in_tool_call=True)
    assert strategy(inside) == ["a", "b"]
    assert strategy(inside).reasons == ("the session keeps a inside a tool call",)
    assert strategy(by_utility({"b": 0.9, "c": 0.1}, in_tool_call=True)) == ["b", "c"]


def test_a_stronger_model_takes_over_a_stuck_session_until_the_task_changes() -> None:
    strategy = Sticky()
    cheap = by_utility({"a": 0.6, "b": 0.5, "c": 0.4}, tokens=100)
    better = {"a": 0.5, "b": 0.7, "c": 0.9}
    scores = {name: replace_quality(cheap, name, quality) for name, quality in better.items()}
    cheap = replace(cheap, scores=scores)
    assert strategy(cheap)[0] == "a"
    stuck = replace(cheap, stuck="the same tool error again", tokens=200)
    # b is better by more than two points, and has the higher utility of the two that are.
    assert strategy(stuck)[0] == "b"
    assert strategy(stuck).reasons == ("the session keeps the stronger b until the task changes",)  # a retry of the client
    assert strategy(replace(cheap, tokens=300))[0] == "b"
    again = strategy(replace(stuck, tokens=400))
    assert again == ["c", "a", "b"]
    assert again.reasons == ("the same tool error again, so the stronger c takes over from b",)
    assert strategy(replace(stuck, tokens=500)).reasons == ("the same tool error again, but no model is stronger than c",)
    changed = strategy(replace(cheap, prediction=replace(cheap.prediction, task="writing"), tokens=600))
    assert (changed[0], changed.reasons) == ("a", ("the task has changed, so the session no longer needs the stronger c",))


def replace_quality(context: RoutingContext, name: str, quality: float) -> object:
    import msgspec

    return msgspec.structs.replace(context.scores[name], quality=quality, bound=quality)


def test_the_others_follow_by_the_prompt() -> None:
    strategy = Sticky()
    strategy(by_utility({"a": 0.9, "b": 0.1, "c": 0.1}))
    assert strategy(by_utility({"c": 0.9, "b": 0.905, "a": 0.9})) == ["a", "b", "c"]


def test_a_session_moves_only_to_the_first_model_of_the_inner_strategy() -> None:
    strategy = Sticky(RoundRobin())
    asked = by_utility({"a": 0.5, "b": 0.1, "c": 0.9})
    assert strategy(asked) == ["a", "b", "c"]
    assert strategy(asked)[0] == "a"  # c gains, but the turn is b's
    assert strategy(asked) == ["c", "a", "b"]


def test_a_session_leaves_a_lost_model_at_once_and_says_so() -> None:
    strategy = Sticky()
    assert strategy(by_utility({"a": 0.52, "b": 0.5}))[0] == "a"
    moved = strategy(by_utility({"b": 0.5, "c": 0.1}))
    assert (moved, moved.reasons) == (["b", "c"], ("the session leaves a, which cannot be chosen now",))
    assert strategy(by_utility({"a": 0.505, "b": 0.5})) == ["b", "a"]


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
