from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, permutations, repeat

from hypothesis import given, settings
from hypothesis import strategies as st

from router.strategies import SmoothWeighted, WeightedRandom, weighted_key
from tests.router.strategies.fleets import Yielding, chance, firsts, fits, fleet

WEIGHT = st.floats(0.01, 100)
WHOLE = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 9), min_size=1)
WEIGHTS = st.dictionaries(st.sampled_from("abcdef"), WEIGHT, min_size=1)
SHARES = st.dictionaries(
    st.sampled_from("abcdef"), st.floats(0.2, 5), min_size=1
)  # no share is too small for a chi-square test
USERS = [f"user-{number}" for number in range(2000)]


def test_the_heavier_model_is_spread_over_the_cycle() -> None:
    asked = fleet("abc", weights={"a": 5.0})
    assert "".join(firsts(SmoothWeighted(), asked, 14)) == "aabacaaaabacaa"


def test_the_others_follow_by_their_debt() -> None:
    strategy, asked = SmoothWeighted(), fleet("abc", weights={"a": 1.0, "b": 2.0, "c": 3.0})
    # owed, in sixths: 1 2 3, c pays: 1 2 -3; 2 4 0, b pays: 2 -2 0; 3 0 3, a pays: -3 0 3; -2 2 6
    assert ["".join(strategy(asked)) for _ in range(4)] == ["cba", "bac", "acb", "cba"]


@given(WHOLE)
def test_whole_weights_are_the_exact_counts_in_a_cycle(weights: dict[str, int]) -> None:
    strategy, asked = SmoothWeighted(), fleet(list(weights), weights=weights)
    for _ in range(3):
        assert Counter(firsts(strategy, asked, sum(weights.values()))) == weights


@given(calls=st.lists(WEIGHTS, max_size=8), times=st.integers(1, 20))
def test_no_model_is_n_requests_behind_its_share_however_weights_and_candidates_change(
    calls: list[dict[str, float]], times: int
) -> None:
    strategy, owed = SmoothWeighted(), Counter[str]()
    for weights in calls * times:
        for name, weight in weights.items():
            owed[name] += weight / sum(weights.values())  # type: ignore[assignment]
        owed[strategy(fleet(list(weights), weights=weights))[0]] -= 1
        assert len(owed) == 1 or all(abs(lag) < len(owed) - 1 + 1e-6 for lag in owed.values())


def test_the_debt_to_a_model_that_is_no_candidate_is_kept() -> None:
    strategy = SmoothWeighted()
    assert [strategy(fleet(names))[0] for names in ("ab", "c") * 4] == list("acbcacbc")


def test_rounding_changes_no_cycle_however_long_it_runs() -> None:
    asked = fleet("abcdefg")
    assert "".join(firsts(SmoothWeighted(), asked, 7 * 200)) == "abcdefg" * 200


def test_a_model_in_slow_start_gets_its_small_share_at_once_and_no_burst_afterwards() -> None:
    strategy = SmoothWeighted()
    assert Counter(firsts(strategy, fleet("ab", weights={"b": 0.1}), 11)) == {"a": 10, "b": 1}
    assert Counter(firsts(strategy, fleet("ab"), 10)) == {"a": 5, "b": 5}


def test_eight_threads_get_exact_shares() -> None:
    strategy, asked = SmoothWeighted(), fleet([Yielding(name) for name in "abc"], weights={"a": 5.0})
    with ThreadPoolExecutor(8) as pool:
        ran = list(pool.map(firsts, repeat(strategy, 8), repeat(asked), repeat(175)))
    assert Counter(chain.from_iterable(ran)) == {"a": 1000, "b": 200, "c": 200}


@settings(derandomize=True, max_examples=25, deadline=None)
@given(weights=SHARES, seed=st.integers(0, 9))
def test_a_draw_is_by_weight(weights: dict[str, float], seed: int) -> None:
    drawn = firsts(WeightedRandom(chance(seed)), fleet(list(weights), weights=weights), 3000)
    assert fits(Counter(drawn), weights)


def test_a_draw_is_without_replacement_down_to_the_last_model() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 3.0}
    strategy, asked = WeightedRandom(chance()), fleet("abc", weights=weights)
    # of six: c, then b of the three left: 3/6 · 2/3; and so on
    shares = {"".join(p): weights[p[0]] / 6 * weights[p[1]] / (6 - weights[p[0]]) for p in permutations("abc")}
    assert shares["cba"] == 1 / 3
    assert fits(Counter("".join(strategy(asked)) for _ in range(6000)), shares)


def test_the_same_seed_gives_the_same_draws() -> None:
    draws = [tuple(firsts(WeightedRandom(chance(seed)), fleet("abc"), 20)) for seed in (1, 2, 1, 2)]
    assert draws[:2] == draws[2:]
    assert draws[0] != draws[1]


def model_of(user: str, weights: Mapping[str, float]) -> str:
    return weighted_key(fleet(list(weights), weights=weights, key=user, inflight=dict.fromkeys(weights, 50)))[0]


@settings(derandomize=True, max_examples=15, deadline=None)
@given(SHARES)
def test_keys_are_shared_by_weight(weights: dict[str, float]) -> None:
    assert fits(Counter(model_of(user, weights) for user in USERS), weights)


@settings(derandomize=True, max_examples=15, deadline=None)
@given(st.lists(WEIGHT, min_size=2, max_size=4).map(sorted))
def test_a_growing_canary_keeps_its_users_and_only_takes_from_others(growth: list[float]) -> None:
    before = {user: model_of(user, {"a": 1.0, "b": 3.0}) for user in USERS[:500]}
    for weight in growth:
        after = {user: model_of(user, {"a": 1.0, "b": 3.0, "canary": weight}) for user in before}
        assert {user for user in before if after[user] != before[user]} == {
            user for user in before if after[user] == "canary" != before[user]
        }
        before = after


def test_a_canary_of_a_tenth_has_a_tenth_of_the_users_and_always_the_same() -> None:
    shares = {"stable": 9.0, "canary": 1.0}
    users = [user for user in USERS if model_of(user, shares) == "canary"]
    assert abs(len(users) - 200) < 6 * (2000 * 0.1 * 0.9) ** 0.5
    assert all(model_of(user, shares) == "canary" for user in users)
