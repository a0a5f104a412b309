from collections import Counter
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from router.strategies import Dynamic
from tests.router.strategies.fleets import chance, firsts, fits, fleet

LOADS = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 100), min_size=1)


def test_the_less_loaded_of_two_different_candidates_comes_first() -> None:
    asked = fleet("dcba", loads={"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
    # of the six pairs a wins three, b two, c one; with replacement d would win one in sixteen
    shares = {"a": 3 / 6, "b": 2 / 6, "c": 1 / 6, "d": 0}
    assert fits(Counter(firsts(Dynamic(chance()), asked, 3000)), shares)


@given(loads=LOADS, seed=st.integers(0, 99))
def test_the_rest_follow_by_load(loads: dict[str, float], seed: int) -> None:
    rest = Dynamic(chance(seed))(fleet(list(loads), loads=loads))[1:]
    assert [loads[name] for name in rest] == sorted(loads[name] for name in rest)


@given(loads=LOADS, seed=st.integers(0, 99))
def test_a_model_with_more_load_than_all_others_comes_last(loads: dict[str, float], seed: int) -> None:
    asked = fleet([*loads, "penalised"], loads=loads | {"penalised": 150.0})
    assert Dynamic(chance(seed))(asked)[-1] == "penalised"


def test_of_two_the_less_loaded_always_comes_first() -> None:
    assert firsts(Dynamic(chance()), fleet("ab", loads={"a": 2.0, "b": 1.0}), 50) == ["b"] * 50


def test_without_known_loads_every_order_is_equally_likely() -> None:
    strategy = Dynamic(chance())
    drawn = Counter("".join(strategy(fleet("abc"))) for _ in range(3000))
    assert fits(drawn, {"".join(order): 1 for order in permutations("abc")})


def test_the_same_seed_gives_the_same_rankings() -> None:
    assert len({tuple(firsts(Dynamic(chance(7)), fleet("abc"), 20)) for _ in range(3)}) == 1
