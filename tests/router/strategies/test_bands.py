import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import InputError, Preference, RoutingContext
from router.strategies import Banded, RoundRobin, contextual, make_strategy
from tests.router.fakes import context, score
from tests.router.strategies.fleets import by_utility, firsts

UTILITY = {"a": 0.90, "b": 0.88, "c": 0.879, "d": 0.5}


def backwards(asked: RoutingContext) -> list[str]:
    return list(asked.candidates[::-1])


def test_the_right_strategy_ranks_the_band_and_the_left_one_the_others() -> None:
    assert Banded(contextual, backwards)(by_utility(UTILITY)) == ["b", "a", "c", "d"]
    assert Banded(contextual, backwards, width=0.03)(by_utility(UTILITY)) == ["c", "b", "a", "d"]
    assert Banded(contextual, backwards, width=0)(by_utility(UTILITY)) == ["a", "b", "c", "d"]
    assert Banded(contextual, backwards, width=math.inf)(by_utility(UTILITY)) == ["d", "c", "b", "a"]


def test_the_band_lies_around_the_first_of_the_left_strategy_and_holds_no_model_that_is_much_better() -> None:
    def third(asked: RoutingContext) -> list[str]:
        return ["c", "d", "b", "a"]

    assert Banded(third, backwards)(by_utility(UTILITY)) == ["c", "b", "d", "a"]  # 0.879 ± 0.02: not a


def test_with_a_floor_the_band_holds_all_models_that_reach_it() -> None:
    scores = [score("dear", 1.0, 9.0), score("fair", 0.8, 2.0), score("cheap", 0.7, 1.0), score("poor", 0.69, 0.1)]
    assert contextual(context(*scores, quality_floor=0.7)) == ["cheap", "fair", "dear", "poor"]
    assert Banded(contextual, backwards)(context(*scores, quality_floor=0.7)) == ["cheap", "fair", "dear", "poor"]
    assert Banded(contextual, RoundRobin())(context(*scores, quality_floor=0.7)) == ["dear", "fair", "cheap", "poor"]


def test_the_right_strategy_sees_only_the_band() -> None:
    seen: list[RoutingContext] = []

    def spy(asked: RoutingContext) -> list[str]:
        seen.append(asked)
        return list(asked.candidates)

    asked = by_utility(dict(reversed(UTILITY.items())), loads={"a": 1.0})
    Banded(contextual, spy)(asked)
    assert seen == [replace(asked, candidates=("b", "a"), scores={name: asked.scores[name] for name in "ba"})]


def test_a_chain_narrows_from_left_to_right() -> None:
    utility = {"a": 0.900, "b": 0.895, "c": 0.890, "d": 0.885, "e": 0.5}
    chain = Banded(contextual, Banded(backwards, RoundRobin(), width=0.006))
    # the band of a: a b c d; the band of d, the first of backwards: c d; then in turn
    assert ["".join(chain(by_utility(utility))) for _ in range(2)] == ["cdbae", "dcbae"]


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([0.5, 0.51, 0.52, 0.53, 0.6]), min_size=1))
def test_round_robin_is_even_inside_the_band_and_never_leaves_it(utility: dict[str, float]) -> None:
    best = max(utility.values())
    band = [name for name, value in utility.items() if best - value < 0.021]
    calls = firsts(make_strategy("contextual>round-robin"), by_utility(utility), 3 * len(band))
    assert Counter(calls) == dict.fromkeys(band, 3)


def test_in_the_band_the_less_loaded_comes_first() -> None:
    asked = by_utility(UTILITY, loads={"a": 3.0, "b": 2.0, "c": 1.0})
    assert make_strategy("contextual>dynamic")(asked) == ["b", "a", "c", "d"]


def test_a_floor_counts_for_any_left_strategy() -> None:
    asked = replace(by_utility({"a": 0.2, "b": 0.9, "c": 1.0}), preference=Preference(quality_floor=0.9))
    assert Banded(RoundRobin(), contextual)(asked) == ["c", "b", "a"]


@pytest.mark.parametrize("width", [-0.01, math.nan])
def test_a_width_below_zero_is_refused(width: float) -> None:
    with pytest.raises(InputError, match=f"width must be 0 or more, got {width}"):
        Banded(contextual, contextual, width=width)
