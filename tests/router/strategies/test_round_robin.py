from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

from hypothesis import given
from hypothesis import strategies as st

from router.strategies import RoundRobin
from tests.router.strategies.fleets import Yielding, firsts, fleet

SETS = st.lists(st.sampled_from("abcdef"), min_size=1, unique=True)


def test_each_model_comes_first_in_turn_and_the_others_follow_in_the_order_of_their_turns() -> None:
    strategy = RoundRobin()
    assert ["".join(strategy(fleet("abc"))) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


@given(history=st.lists(SETS), present=SETS)
def test_a_cycle_is_exact_whatever_the_candidates_were_before(history: list[list[str]], present: list[str]) -> None:
    strategy = RoundRobin()
    for names in history:
        strategy(fleet(names))
    for _ in range(2):
        assert sorted(firsts(strategy, fleet(present), len(present))) == sorted(present)


@given(history=st.lists(SETS), present=SETS)
def test_a_ranking_is_the_order_of_the_next_cycle(history: list[list[str]], present: list[str]) -> None:
    strategy = RoundRobin()
    for names in history:
        strategy(fleet(names))
    ranking = strategy(fleet(present))
    assert [ranking[0], *firsts(strategy, fleet(present), len(present) - 1)] == ranking


def test_alternating_candidates_share_evenly_too() -> None:
    strategy = RoundRobin()  # a position modulo n would give every call to a and to c
    assert [strategy(fleet(names))[0] for names in ("ab", "cd") * 4] == list("acbdacbd")


def test_a_model_that_returns_is_next_once_and_gets_no_burst() -> None:
    strategy = RoundRobin()
    assert firsts(strategy, fleet("abc"), 3) == list("abc")
    assert firsts(strategy, fleet("ab"), 20) == list("ab") * 10
    assert firsts(strategy, fleet("abc"), 6) == list("cabcab")


def test_loads_and_weights_do_not_matter() -> None:
    busy = fleet("ab", loads={"a": 9.0}, inflight={"a": 9}, weights={"b": 9.0})
    assert firsts(RoundRobin(), busy, 4) == list("abab")


def test_eight_threads_get_exact_shares() -> None:
    strategy, asked = RoundRobin(), fleet([Yielding(name) for name in "abc"])
    with ThreadPoolExecutor(8) as pool:
        ran = list(pool.map(firsts, repeat(strategy, 8), repeat(asked), repeat(150)))
    assert Counter(chain.from_iterable(ran)) == dict.fromkeys("abc", 400)
