import pytest

from router import ModelScore
from router.strategies import contextual
from tests.router.fakes import context, score

FLEET = [score("best", 1.0, 9.0), score("good", 0.75, 2.0), score("fair", 0.5, 1.0), score("poor", 0.25, 0.1)]


@pytest.mark.parametrize(
    ("scores", "ranking"),
    [
        ([score("a", 0.9, utility=0.1), score("b", 0.1, utility=0.3), score("c", 0.5, utility=0.2)], ["b", "c", "a"]),
        ([score("a", 0.5, 3.0), score("b", 0.5, 1.0), score("c", 0.5), score("d", 0.5, 2.0)], ["b", "d", "a", "c"]),
        ([score("b", 0.5, 1.0), score("a", 0.5, 1.0)], ["b", "a"]),
    ],
    ids=["by utility", "ties to the cheaper, unknown last", "then the order of the model folder"],
)
def test_contextual_orders_by_utility_then_cost_then_position(scores: list[ModelScore], ranking: list[str]) -> None:
    assert contextual(context(*scores)) == ranking


@pytest.mark.parametrize(
    ("floor", "ranking"),
    [
        (1.0, ["best", "good", "fair", "poor"]),
        (0.8, ["best", "good", "fair", "poor"]),
        (0.75, ["good", "best", "fair", "poor"]),
        (0.5, ["fair", "good", "best", "poor"]),
        (0.0, ["poor", "fair", "good", "best"]),
    ],
)
def test_a_floor_puts_the_cheapest_model_that_reaches_it_first_and_the_others_by_quality(
    floor: float, ranking: list[str]
) -> None:
    assert contextual(context(*FLEET, quality_floor=floor)) == ranking


def test_with_a_floor_an_unknown_cost_comes_last_of_the_models_that_reach_it_and_equal_costs_go_by_quality() -> None:
    scores = [score("dark", 1.0), score("a", 0.9, 1.0), score("b", 0.95, 1.0), score("low", 0.1, 0.1)]
    assert contextual(context(*scores, quality_floor=0.5)) == ["b", "a", "dark", "low"]
