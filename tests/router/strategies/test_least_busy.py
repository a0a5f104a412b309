from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from router.strategies import LeastBusy
from tests.router.strategies.fleets import chance, firsts, fits, fleet

BUSY = st.tuples(st.integers(0, 9), st.sampled_from([0.25, 1.0, 4.0]))


def test_the_fewest_requests_in_flight_for_the_capacity_come_first() -> None:
    asked = fleet("abcd", inflight={"a": 1, "b": 6, "c": 4}, weights={"a": 0.25, "b": 2.0})  # 4, 3, 4 / 1 = 4, none
    assert LeastBusy()(asked)[:2] == ["d", "b"]


@given(fleets=st.dictionaries(st.sampled_from("abcdef"), BUSY, min_size=1), seed=st.integers(0, 99))
def test_no_model_follows_a_busier_one(fleets: dict[str, tuple[int, float]], seed: int) -> None:
    inflight = {name: n for name, (n, _) in fleets.items()}
    weights = {name: weight for name, (_, weight) in fleets.items()}
    ranking = LeastBusy(chance(seed))(fleet(list(fleets), inflight=inflight, weights=weights))
    busyness = [inflight[name] / weights[name] for name in ranking]
    assert busyness == sorted(busyness)


def test_with_equal_weights_ties_are_drawn_evenly() -> None:
    asked = fleet("abcd", inflight={"a": 1, "b": 1, "c": 1, "d": 2})
    assert fits(Counter(firsts(LeastBusy(chance()), asked, 3000)), {"a": 1, "b": 1, "c": 1, "d": 0})


def test_idle_models_share_by_weight() -> None:
    weights = {"a": 4.0, "b": 1.0, "restarted": 0.1}
    drawn = firsts(LeastBusy(chance()), fleet(list(weights), weights=weights), 5000)
    assert fits(Counter(drawn), weights)
