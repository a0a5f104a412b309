import numpy as np
import pytest

from router import Preference
from router.score.scoring import Expectation
from router.strategies import contextual
from tests.router.fakes import context, score
from training.quality.dial import choose
from training.verdict.sweep import sweep_options, sweep_prices, sweep_router


def expect(quality: object, cost_usd: object) -> Expectation:
    qualities = np.array(quality, np.float64)
    costs = np.broadcast_to(np.array(cost_usd, np.float64), qualities.shape)
    none = np.zeros_like(qualities)
    return Expectation(quality=qualities, stderr=none, cost_usd=costs, quality_by_task=qualities, shift=none)


@pytest.mark.parametrize("price", [1e-5, 3e-4, 1e-2, float("inf")])
def test_a_batch_chooses_like_the_contextual_strategy(price: float) -> None:
    rng = np.random.default_rng(0)
    expected = expect(np.round(rng.random((100, 4)), 1), np.round(rng.random((100, 4)), 1) / 100)
    chosen = choose(expected, Preference(usd_per_point=price))
    for row in range(100):
        quality, cost = expected.quality[row].tolist(), expected.cost_usd[row].tolist()
        scores = [score(f"m{j}", quality[j], cost[j], utility=quality[j] - 0.01 * (cost[j] / price)) for j in range(4)]
        assert contextual(context(*scores))[0] == f"m{chosen[row]}"


def test_a_sweep_goes_from_the_cheapest_model_for_each_prompt_to_the_best() -> None:
    quality = np.array([[0.5, 0.9, 0.9], [0.7, 0.6, 0.8]])
    cost = np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 5.0]])
    sweep = sweep_prices("x", quality, cost)
    assert sweep.choices[0].tolist() == [0, 0]  # two models cost the same for the second prompt: the better one
    assert sweep.choices[-1].tolist() == [1, 2]  # two models are best for the first prompt: the cheaper one
    assert sweep.choices.shape == (100, 2)


def test_a_given_price_weighs_quality_against_cost() -> None:
    quality, cost = np.array([[0.5, 0.9], [0.5, 0.6]]), np.array([[1.0, 3.0], [1.0, 3.0]])
    # the first prompt pays up to 0.4 / 2 points per USD, the second up to 0.1 / 2
    sweep = sweep_prices("x", quality, cost, prices=np.array([0.3, 0.1, 0.01]))
    assert sweep.choices.tolist() == [[0, 0], [0, 0], [1, 0], [1, 1], [1, 1]]


def test_there_are_two_settings_if_no_price_changes_a_choice() -> None:
    assert sweep_prices("x", np.array([[0.9, 0.1]]), np.array([[1.0, 2.0]])).choices.tolist() == [[0], [0]]


def test_presets_are_named_settings_of_the_router() -> None:
    sweep = sweep_router(expect([[0.5, 0.9], [0.5, 0.6]], [0.001, 0.01]), 0.0004)
    named = {label: sweep.choices[i].tolist() for i, label in enumerate(sweep.labels) if label}
    assert named == {"cheap": [0, 0], "balanced": [1, 0], "quality": [1, 1]}
    assert sweep_router(expect([[0.5, 0.9]], [0.001, 0.01]), None).labels == ()


def test_every_option_has_four_values_and_those_in_usd_need_a_price() -> None:
    expected = expect([[0.5, 0.9], [0.5, 0.6]], [0.001, 0.009])
    labels = {sweep.name: sweep.labels for sweep in sweep_options(expected, ["a", "b"], 1, 0.0004)}
    assert labels == {
        "quality_floor": ("0.8", "0.9", "0.95", "0.98"),
        "tolerance of max_loss": ("0", "0.02", "0.05", "0.1"),
        "usd_per_point": ("4e-06", "4e-05", "0.0004", "0.004"),
        "max_cost_usd": ("0.001", "0.005", "0.009", "0.009"),
    }
    assert [sweep.name for sweep in sweep_options(expected, ["a", "b"], 1, None)] == [
        "quality_floor",
        "tolerance of max_loss",
    ]
