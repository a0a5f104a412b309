import math

import numpy as np
import pytest

from tests.training.tables import make_outcomes
from training.verdict.curves import average_quality, convex_hull, cost_to_reach, curve_figures
from training.verdict.score_table import tabulate

HULL = [(1.0, 0.5), (2.0, 0.7), (4.0, 0.8)]


def test_the_hull_is_concave_and_never_falls() -> None:
    # (1.5, 0.55) is below the line from (1, 0.5) to (2, 0.7). (3, 0.6) is worse than (2, 0.7), which costs less.
    points = [(4.0, 0.8), (1.0, 0.5), (2.0, 0.7), (1.5, 0.55), (3.0, 0.6), (5.0, 0.8), (1.0, 0.4)]
    assert convex_hull(points) == HULL


def test_of_points_on_a_line_only_the_ends_are_corners() -> None:
    assert convex_hull([(0, 0), (1, 1), (2, 2)]) == [(0, 0), (2, 2)]


def test_average_quality_is_the_area_over_the_span() -> None:
    # (0.5 + 0.7)/2 · 1 + (0.7 + 0.8)/2 · 2 = 2.1 over 3
    assert average_quality(HULL, 1, 4) == pytest.approx(0.7)
    # beyond its ends the hull keeps the quality of its first and last corner: 0.5 · 1 + 2.1 + 0.8 · 2 = 4.2 over 6
    assert average_quality(HULL, 0, 6) == pytest.approx(0.7)
    assert average_quality(HULL, 2, 3) == pytest.approx(0.725)
    assert average_quality(HULL, 2, 2) == pytest.approx(0.7)


@pytest.mark.parametrize(("quality", "cost"), [(0.4, 1), (0.5, 1), (0.6, 1.5), (0.75, 3), (0.8, 4), (0.81, math.inf)])
def test_the_cost_of_a_quality_is_read_off_the_hull(quality: float, cost: float) -> None:
    assert cost_to_reach(HULL, quality) == pytest.approx(cost)


def test_the_figures_of_a_curve_match_a_calculation_by_hand() -> None:
    # a: 0.5 for 1, b: 1 for 3; the settings: all a, a for the first prompt and b for the second, all b
    outcomes = make_outcomes([[1, 1], [0, 1]], [1.0, 3.0])
    table = tabulate(outcomes, seed=0)
    aiq, at95, at98, at100, gain, save = curve_figures(table, np.array([[0, 0], [0, 1], [1, 1]]), np.full((1, 2), 0.5))[0]
    # the hull is (1, 0.5), (2, 1): 0.75 · 1 + 1 · 1 over 2
    assert aiq == pytest.approx(0.875)
    assert [at95, at98, at100] == pytest.approx([1.9, 1.96, 2.0])
    assert gain == pytest.approx(0)
    assert save == pytest.approx(1 / 3)


def test_a_quality_that_is_never_reached_has_infinite_cost() -> None:
    table = tabulate(make_outcomes([[1, 1], [0, 1]], [1.0, 3.0]), seed=0)
    _, at95, _, at100, gain, save = curve_figures(table, np.array([[0, 0]]), np.full((1, 2), 0.5))[0]
    assert (at95, at100, save) == (math.inf, math.inf, -math.inf)
    assert gain == pytest.approx(-0.5)
