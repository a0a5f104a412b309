import copy
import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router import InputError, Router, RoutingContext, Strategy
from router.strategies import STRATEGIES, Banded, RoundRobin, Sticky, contextual, make_strategy, register_strategy
from tests.router.fakes import context, model, score


def last_first(asked: RoutingContext) -> Sequence[str]:
    return asked.candidates[::-1]


def make_last_first() -> Strategy:
    return last_first


register_strategy("last-first", make_last_first)

COMPOSED = [
    "contextual>dynamic",
    "cascade>dynamic",
    "model-aware>contextual>weighted",
    "sticky>contextual>consistent-hash",
    "dynamic>sticky",
]
every_strategy = pytest.mark.parametrize("spec", [*STRATEGIES, *COMPOSED])

FLEET = [score("best", 1.0, 9.0), score("good", 0.75, 2.0), score("fair", 0.5, 1.0), score("poor", 0.25, 0.1)]

NUMBER = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
SCORES = st.lists(st.tuples(NUMBER, st.none() | NUMBER, NUMBER), min_size=1, max_size=6)
NAMES = [f"m{i}" for i in range(6)]


def facts(values: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, float]]:
    """Draw facts of some models. Others are missing, and some models are no candidates."""
    return st.dictionaries(st.sampled_from([*NAMES, "gone"]), values)


LIVE = st.fixed_dictionaries(
    {"loads": facts(st.floats(0, 1e6)), "inflight": facts(st.integers(0, 1000)), "weights": facts(st.floats(1e-3, 1e3))}
)
ASKED = st.tuples(SCORES, LIVE, st.none() | NUMBER, st.text(st.characters(), max_size=5))


def ask(rows: Sequence[tuple[float, float | None, float]], floor: float | None, **given: object) -> RoutingContext:
    scores = [
        score(name, quality, cost, utility=utility, quality_by_task={"math": quality, "coding": utility})
        for name, (quality, cost, utility) in zip(NAMES, rows, strict=False)
    ]
    return replace(context(*scores, quality_floor=floor), **given)  # type: ignore[arg-type]


@every_strategy
@settings(max_examples=50, deadline=None)
@given(calls=st.lists(ASKED, max_size=4))
def test_a_strategy_ranks_every_candidate_exactly_once_and_a_copy_the_same_way(
    spec: str, calls: Sequence[tuple[list[tuple[float, float | None, float]], Mapping[str, object], float | None, str]]
) -> None:
    strategy = make_strategy(spec)
    twin = copy.deepcopy(strategy)  # the same state and the same seed
    for rows, live, floor, key in calls:
        asked = ask(rows, floor, key=key, **live)
        ranking = list(strategy(asked))
        assert sorted(ranking) == sorted(asked.candidates)
        assert list(twin(asked)) == ranking


@every_strategy
def test_a_strategy_ranks_a_single_candidate_without_known_facts(spec: str) -> None:
    strategy = make_strategy(spec)
    for key in ("", "user-1", "user-1"):
        assert list(strategy(replace(context(score("only", 0.5)), key=key))) == ["only"]


@every_strategy
def test_a_strategy_pickles(spec: str) -> None:
    strategy = pickle.loads(pickle.dumps(make_strategy(spec)))  # noqa: S301 - made on this line
    assert sorted(strategy(context(*FLEET))) == ["best", "fair", "good", "poor"]


@every_strategy
def test_eight_threads_get_complete_rankings(spec: str) -> None:
    strategy = make_strategy(spec)
    asked = [replace(context(*FLEET[: 1 + n % 4]), key=f"user-{n % 7}") for n in range(400)]
    with ThreadPoolExecutor(8) as pool:
        rankings = list(pool.map(strategy, asked))
    assert [sorted(ranking) for ranking in rankings] == [sorted(one.candidates) for one in asked]


@every_strategy
def test_a_router_takes_a_strategy_by_name(spec: str) -> None:
    decision = Router([model("a", 0.5), model("b", 0.5), model("c", 0.1)], strategy=spec).route("go on")
    assert (decision.strategy, sorted(decision.ranking)) == (spec, ["a", "b", "c"])


def test_routers_do_not_share_turns() -> None:
    profiles = [model("a"), model("b")]
    routers = [Router(profiles, strategy="round-robin") for _ in range(2)]
    assert [[router.route("go on").model for router in routers] for _ in range(3)] == [["a", "a"], ["b", "b"], ["a", "a"]]


def test_names_compose_to_the_right_and_sticky_wraps_the_rest() -> None:
    made = make_strategy(" contextual > sticky>last-first>round-robin")
    assert isinstance(made, Banded)
    assert isinstance(made.right, Sticky)
    inner = made.right._inner
    assert isinstance(inner, Banded)
    assert (made.left, inner.left, type(inner.right)) == (contextual, last_first, RoundRobin)


@pytest.mark.parametrize("spec", ["best", "", ">", "contextual>", "contextual>best", "Contextual", ["contextual"], None])
def test_an_unknown_name_is_refused_and_the_known_ones_are_listed(spec: object) -> None:
    with pytest.raises(InputError, match=r"one of \['contextual', .*'sticky', .*'last-first'.*\].* joined by '>', got"):
        make_strategy(spec)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", " mine", "mine>yours"])
def test_a_name_that_cannot_be_part_of_a_composition_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"must not be empty or contain '>' or outer spaces, got {name!r}"):
        register_strategy(name, make_last_first)


def test_a_name_cannot_be_registered_again_except_for_the_same_maker() -> None:
    register_strategy("last-first", make_last_first)
    with pytest.raises(InputError, match="'contextual' is taken; choose another"):
        register_strategy("contextual", make_last_first)
    assert make_strategy("contextual") is contextual


def test_a_function_instead_of_its_maker_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match="maker of 'mine' must take no arguments; for a function give 'lambda: function'"):
        register_strategy("mine", last_first)  # type: ignore[arg-type]
    assert "mine" not in STRATEGIES
