import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import Preference
from router.score.choice import fill_unknown, find_good_enough, find_utility, rank_models

NAN = math.nan
MODELS = 4
NUMBER = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
ROW = st.lists(st.tuples(NUMBER, NUMBER | st.just(NAN), NUMBER), min_size=MODELS, max_size=MODELS)
PREFERENCES = st.sampled_from(
    [
        Preference(),
        Preference(usd_per_point=0.01),
        Preference(quality_floor=0.0),
        Preference(quality_floor=0.6),
        Preference(quality_floor=1.0),
        Preference(reference="b", tolerance=0.25),
        Preference(reference="b", tolerance=-0.25),
        Preference(reference="b"),
    ]
)
REFERENCES = st.none() | st.integers(0, MODELS - 1)


def rank(
    quality: list[float],
    cost_usd: list[float],
    preference: Preference,
    *,
    utility: list[float] | None = None,
    reference: int | None = None,
) -> list[int]:
    """Rank one row; without utilities they are the qualities."""
    arrays = (np.array(values, float) for values in (quality, cost_usd, utility or quality))
    return rank_models(*arrays, preference, reference=reference).tolist()


def good_enough(quality: list[float], preference: Preference, *, reference: int | None = None) -> list[bool]:
    return find_good_enough(np.array(quality), preference, reference=reference).tolist()


# --- one row and many


@given(rows=st.lists(ROW, min_size=1, max_size=5), preference=PREFERENCES, reference=REFERENCES)
def test_many_rows_are_ranked_like_single_rows(
    rows: list[list[tuple[float, float, float]]], preference: Preference, reference: int | None
) -> None:
    quality, cost_usd, utility = np.moveaxis(np.array(rows), -1, 0)
    together = rank_models(quality, cost_usd, utility, preference, reference=reference)
    alone = [rank_models(*row, preference, reference=reference) for row in zip(quality, cost_usd, utility, strict=True)]
    assert together.tolist() == np.stack(alone).tolist()
    enough = find_good_enough(quality, preference, reference=reference)
    assert enough.tolist() == [find_good_enough(row, preference, reference=reference).tolist() for row in quality]


@given(rows=st.lists(ROW, min_size=1, max_size=5))
def test_many_rows_get_the_utilities_and_medians_of_single_rows(rows: list[list[tuple[float, float, float]]]) -> None:
    quality, cost_usd, latency_s = np.moveaxis(np.array(rows), -1, 0)
    preference = Preference(usd_per_point=0.5, seconds_per_point=2.0)
    np.testing.assert_array_equal(fill_unknown(cost_usd), np.stack([fill_unknown(row) for row in cost_usd]))
    together = find_utility(quality, cost_usd, preference, latency_s=latency_s)
    triples = zip(quality, cost_usd, latency_s, strict=True)
    np.testing.assert_array_equal(together, np.stack([find_utility(q, c, preference, latency_s=s) for q, c, s in triples]))


@given(row=ROW, preference=PREFERENCES, reference=REFERENCES)
def test_a_ranking_names_every_model_once_and_a_good_enough_one_first(
    row: list[tuple[float, float, float]], preference: Preference, reference: int | None
) -> None:
    quality, cost_usd, utility = np.array(row).T
    ranking = rank_models(quality, cost_usd, utility, preference, reference=reference).tolist()
    assert sorted(ranking) == list(range(MODELS))
    enough = find_good_enough(quality, preference, reference=reference)[ranking].tolist()
    assert enough == sorted(enough, reverse=True)
    assert enough[0]


# --- weighed: utility


def test_a_preference_that_weighs_ranks_by_utility() -> None:
    assert rank([0.9, 0.1, 0.5], [1, 1, 1], Preference(), utility=[0.1, 0.3, 0.2]) == [1, 2, 0]


def test_of_equal_utilities_the_cheaper_model_comes_first_and_an_unknown_cost_last() -> None:
    assert rank([0.5] * 4, [3, 1, NAN, 2], Preference()) == [1, 3, 0, 2]


def test_of_equal_utilities_and_costs_the_order_of_the_columns_decides() -> None:
    assert rank([0.5] * 3, [1, 1, 1], Preference()) == [0, 1, 2]
    assert rank([0.5] * 3, [NAN, NAN, NAN], Preference()) == [0, 1, 2]


def test_every_model_is_good_enough_for_a_preference_that_weighs() -> None:
    assert good_enough([0.9, 0.0], Preference(usd_per_point=0.01)) == [True, True]


# --- quality_floor


@pytest.mark.parametrize(
    ("floor", "ranking"), [(1.0, [0, 1, 2, 3]), (0.75, [1, 0, 2, 3]), (0.5, [2, 1, 0, 3]), (0.0, [3, 2, 1, 0])]
)
def test_the_cheapest_model_that_reaches_the_floor_comes_first_and_the_others_follow_by_quality(
    floor: float, ranking: list[int]
) -> None:
    assert rank([1.0, 0.75, 0.5, 0.25], [9, 2, 1, 0.1], Preference(quality_floor=floor)) == ranking


def test_a_floor_is_a_share_of_the_best_quality() -> None:
    assert good_enough([0.5, 0.4, 0.39], Preference(quality_floor=0.8)) == [True, True, False]


def test_the_best_model_always_reaches_the_floor() -> None:
    best = 0.1 + 0.2  # with rounding, a share of it may be larger than it
    assert good_enough([best, 0.3], Preference(quality_floor=1.0)) == [True, False]
    assert good_enough([0.0, 0.0], Preference(quality_floor=1.0)) == [True, True]


def test_an_unknown_cost_comes_last_of_the_good_enough_models_and_equal_costs_go_by_quality() -> None:
    assert rank([1.0, 0.9, 0.95, 0.1], [NAN, 1, 1, 0.1], Preference(quality_floor=0.5)) == [2, 1, 0, 3]


def test_of_equal_models_below_the_floor_the_order_of_the_columns_decides() -> None:
    assert rank([0.1, 1.0, 0.1], [2, 1, 1], Preference(quality_floor=0.5)) == [1, 0, 2]


# --- max_loss: reference and tolerance


@pytest.mark.parametrize(
    ("tolerance", "first"),
    [(-math.inf, 1), (-0.125, 0), (0.0, 0), (0.0625, 2), (0.125, 2), (0.5, 3)],
    ids=["none is shown to lose so little", "must look better", "as good", "within", "exactly at", "large"],
)
def test_the_cheapest_model_within_the_tolerance_of_the_reference_comes_first(tolerance: float, first: int) -> None:
    quality, cost_usd = [0.875, 0.75, 0.6875, 0.25], [3.0, 9.0, 2.0, 1.0]
    assert rank(quality, cost_usd, Preference(reference="b", tolerance=tolerance), reference=1)[0] == first


def test_the_reference_is_always_good_enough() -> None:
    preference = Preference(reference="b", tolerance=-math.inf)
    assert good_enough([0.9, 0.1, 0.5], preference, reference=1) == [False, True, False]


def test_without_the_reference_the_best_model_of_each_row_takes_its_place() -> None:
    preference = Preference(reference="gone", tolerance=0.125)
    quality = np.array([[0.875, 0.75, 0.5], [0.25, 0.375, 0.5]])
    assert find_good_enough(quality, preference).tolist() == [[True, True, False], [False, True, True]]
    assert rank([0.875, 0.75, 0.5], [3, 2, 1], preference) == [1, 0, 2]


# --- utility and unknown figures


def test_utility_is_quality_less_the_prices_of_cost_and_time() -> None:
    preference = Preference(usd_per_point=0.001, seconds_per_point=2.0)
    utility = find_utility(np.array([0.8]), np.array([0.005]), preference, latency_s=np.array([4.0]))
    assert utility == pytest.approx([0.8 - 0.05 - 0.02])


def test_without_prices_utility_is_quality() -> None:
    assert find_utility(np.array([0.8]), np.array([5.0]), Preference(), latency_s=np.array([9.0])).tolist() == [0.8]


def test_a_cost_or_latency_that_is_unknown_for_all_takes_nothing() -> None:
    preference = Preference(usd_per_point=0.001, seconds_per_point=1.0)
    assert find_utility(np.array([0.8, 0.7]), np.array([NAN, NAN]), preference).tolist() == [0.8, 0.7]


def test_an_unknown_value_is_the_median_of_the_known_values_of_its_row() -> None:
    filled = fill_unknown(np.array([[1.0, 3.0, 10.0, NAN], [NAN, 2.0, 4.0, NAN]]))
    assert filled.tolist() == [[1, 3, 10, 3], [3, 2, 4, 3]]


def test_values_stay_as_they_are_if_all_or_none_are_unknown() -> None:
    assert fill_unknown(np.array([1.0, 2.0])).tolist() == [1, 2]
    assert np.isnan(fill_unknown(np.array([NAN, NAN]))).all()
