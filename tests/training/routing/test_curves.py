import math

import numpy as np
import pytest

from tests.training.tables import make_outcomes
from training.datasets import DatasetError
from training.routing.curves import (
    average_quality,
    complete_prompts,
    convex_hull,
    cost_to_reach,
    curve_figures,
    interval_of,
    resample,
    tabulate,
)

HULL = [(1.0, 0.5), (2.0, 0.7), (4.0, 0.8)]


def test_the_hull_rises_ever_less_and_never_falls() -> None:
    # (1.5, 0.55) lies below the line from (1, 0.5) to (2, 0.7), (3, 0.6) below what is reached for less, (5, 0.8) is dearer
    points = [(4.0, 0.8), (1.0, 0.5), (2.0, 0.7), (1.5, 0.55), (3.0, 0.6), (5.0, 0.8), (1.0, 0.4)]
    assert convex_hull(points) == HULL


def test_points_on_a_line_keep_its_ends_alone() -> None:
    assert convex_hull([(0, 0), (1, 1), (2, 2)]) == [(0, 0), (2, 2)]


def test_average_quality_is_the_area_over_the_span() -> None:
    # (0.5 + 0.7)/2 · 1 + (0.7 + 0.8)/2 · 2 = 2.1 over 3
    assert average_quality(HULL, 1, 4) == pytest.approx(0.7)
    # before the first corner its quality counts, after the last one that: 0.5 · 1 + 2.1 + 0.8 · 2 = 4.2 over 6
    assert average_quality(HULL, 0, 6) == pytest.approx(0.7)
    assert average_quality(HULL, 2, 3) == pytest.approx(0.725)
    assert average_quality(HULL, 2, 2) == pytest.approx(0.7)


@pytest.mark.parametrize(("quality", "cost"), [(0.4, 1), (0.5, 1), (0.6, 1.5), (0.75, 3), (0.8, 4), (0.81, math.inf)])
def test_a_quality_costs_what_the_hull_says(quality: float, cost: float) -> None:
    assert cost_to_reach(HULL, quality) == pytest.approx(cost)


def test_figures_of_a_curve_by_hand() -> None:
    # a: 0.5 for 1, b: 1 for 3; the settings: all a, a for the first prompt and b for the second, all b
    outcomes = make_outcomes([[1, 1], [0, 1]], [1.0, 3.0])
    table = tabulate(outcomes, seed=0)
    aiq, at95, at98, at100, gain, save = curve_figures(table, np.array([[0, 0], [0, 1], [1, 1]]), np.full((1, 2), 0.5))[0]
    # the hull is (1, 0.5), (2, 1): 0.75 · 1 + 1 · 1 over 2
    assert aiq == pytest.approx(0.875)
    assert [at95, at98, at100] == pytest.approx([1.9, 1.96, 2.0])
    assert gain == pytest.approx(0)
    assert save == pytest.approx(1 / 3)


def test_a_quality_that_is_not_reached_costs_infinitely_much() -> None:
    table = tabulate(make_outcomes([[1, 1], [0, 1]], [1.0, 3.0]), seed=0)
    _, at95, _, at100, gain, save = curve_figures(table, np.array([[0, 0]]), np.full((1, 2), 0.5))[0]
    assert (at95, at100, save) == (math.inf, math.inf, -math.inf)
    assert gain == pytest.approx(-0.5)


def test_only_prompts_that_every_model_answered_are_judged() -> None:
    nan = math.nan
    outcomes = make_outcomes([[1, 1], [nan, 1], [0, 1], [1, 0]], [[1, 2], [1, 2], [1, nan], [1, 2]])
    assert complete_prompts(outcomes).tolist() == [True, False, False, True]
    unpriced = make_outcomes([[1, 1], [0, 1]], [[1, nan], [2, nan]])
    assert complete_prompts(unpriced).tolist() == [True, True]
    assert not tabulate(unpriced, seed=0).priced


def test_fewer_than_two_groups_are_refused_with_the_remedy() -> None:
    with pytest.raises(DatasetError, match="at least 2 in different groups, found 1 among 2 prompts; measure more"):
        complete_prompts(make_outcomes([[1, 1], [0, 1]], [1, 2], groups=["one", "one"]))


def test_resamples_keep_groups_whole_and_are_the_same_for_every_statistic() -> None:
    outcomes = make_outcomes([[1], [0], [1], [0]], [1], groups=["x", "x", "y", "z"])
    table = tabulate(outcomes, seed=3)
    weights = resample(lambda drawn: drawn, table)
    assert weights.shape == (1001, 4)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights[0].tolist() == [0.25] * 4
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights == resample(lambda drawn: drawn, table)).all()
    assert weights[1:].std() > 0.1


def test_an_interval_has_percentiles_that_occur_and_leaves_out_what_is_not_defined() -> None:
    figures = np.array([7.0, *range(1, 42), math.nan])
    told = interval_of(figures)
    assert (told.value, told.low, told.high) == (7, 2, 40)
    endless = interval_of(np.array([1.0, *[1.0] * 30, *[math.inf] * 10]))
    assert (endless.low, endless.high) == (1, math.inf)
