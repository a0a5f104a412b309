import math

import numpy as np
import pytest

from router import Preference, Router, ScoringParameters
from router.score.risk import RiskCurve
from router.score.scoring import Expectation
from router.strategies import contextual
from tests.router.fakes import context, model, score
from tests.training.tables import make_outcomes
from training.quality.dial import choose, find_knee, measure_risk


def expect(quality: object, cost_usd: object) -> Expectation:
    qualities = np.array(quality, np.float64)
    costs = np.broadcast_to(np.array(cost_usd, np.float64), qualities.shape)
    none = np.zeros_like(qualities)
    return Expectation(quality=qualities, stderr=none, cost_usd=costs, quality_by_task=qualities, shift=none)


def test_the_knee_is_the_cost_of_a_point_from_the_cheapest_to_the_best_model() -> None:
    # Prompt 1 gains 0.4 for 0.02 USD. Prompt 2 gains nothing, its cheapest model is the best. Mean: 20 points for 0.01 USD.
    assert find_knee(expect([[0.5, 0.8, 0.9], [0.6, 0.5, 0.6]], [0.001, 0.003, 0.021])) == pytest.approx(0.01 / 20)


def test_at_the_knee_the_curve_is_farthest_above_the_line_between_its_ends() -> None:
    rng = np.random.default_rng(0)
    quality = np.sort(rng.random((50, 6)), axis=1)
    expectation = expect(quality, np.geomspace(0.001, 0.1, 6))
    knee = find_knee(expectation)
    assert knee is not None

    def spend(price: float) -> tuple[float, float]:
        chosen = (expectation.quality - 0.01 * expectation.cost_usd / price).argmax(axis=1)
        return float(expectation.quality[np.arange(50), chosen].mean()), float(
            expectation.cost_usd[np.arange(50), chosen].mean()
        )

    low, high = (quality[:, 0].mean(), 0.001), (quality[:, -1].mean(), 0.1)

    def above(price: float) -> float:
        reached, paid = spend(price)
        return reached - (low[0] + (high[0] - low[0]) * (paid - low[1]) / (high[1] - low[1]))

    assert all(above(knee) >= above(knee * factor) - 1e-9 for factor in np.geomspace(0.01, 100, 41))


def test_there_is_no_knee_if_better_models_do_not_cost_more() -> None:
    assert find_knee(expect([[0.9, 0.5]], [0.001, 0.003])) is None
    assert find_knee(expect([[0.5, 0.9]], [math.nan, math.nan])) is None
    assert find_knee(expect([[0.5, 0.9]], [0.001, 0.001])) is None


def test_models_of_unknown_cost_do_not_move_the_knee() -> None:
    assert find_knee(expect([[0.5, 0.9, 1.0]], [0.001, 0.005, math.nan])) == pytest.approx(0.01 * 0.004 / 0.4)


@pytest.mark.parametrize("tolerance", [-math.inf, -0.05, 0.0, 0.1, 0.5])
def test_training_and_the_router_choose_the_same_model_within_a_tolerance(tolerance: float) -> None:
    rng = np.random.default_rng(1)
    quality, cost = np.round(rng.random((200, 4)), 1), np.round(rng.random((200, 4)), 1)
    preference = Preference(reference="m2", tolerance=tolerance)
    chosen = choose(expect(quality, cost), preference, reference=2)
    for row in range(200):
        scores = [score(f"m{j}", float(quality[row, j]), float(cost[row, j])) for j in range(4)]
        assert contextual(context(*scores, preference=preference))[0] == f"m{chosen[row]}"


def test_an_unknown_cost_counts_as_the_median_of_the_others() -> None:
    within = Preference(reference="m0", tolerance=0.0)
    assert choose(expect([[0.5] * 4], [[5.0, math.nan, 1.0, 3.0]]), within, reference=0).tolist() == [2]
    assert choose(expect([[0.5] * 3], [[5.0, math.nan, 3.0]]), within, reference=0).tolist() == [2]
    assert choose(expect([[0.5, 0.9]], [[math.nan] * 2]), within, reference=0).tolist() == [1]


def test_the_curve_has_loss_and_saving_of_switching() -> None:
    # a is right on all 200 prompts. b is right on every other one, and exactly there it is expected to be as good as a.
    half = np.arange(200) % 2 == 0
    scores = np.stack([np.ones(200), half.astype(float)], axis=1)
    expectation = expect(np.where(half[:, None], (0.9, 0.9), (0.9, 0.7)), [0.01, 0.001])
    curve = measure_risk(expectation, make_outcomes(scores, [0.01, 0.001]))
    assert curve is not None
    at = dict(zip(curve.tolerances, zip(curve.losses, curve.savings, strict=True), strict=True))
    assert (curve.reference, curve.n) == ("a", 200)
    assert at[-0.05] == pytest.approx((0.0, 0.0))
    assert at[0.0] == pytest.approx((0.0, 0.45))  # half of the prompts cost a tenth
    assert at[0.3] == pytest.approx((0.5, 0.9))
    assert curve.choose(0.02, 0.95) == pytest.approx(0.19)
    assert dict(zip(curve.tolerances, curve.deviations, strict=True))[0.3] == pytest.approx(0.5)


def test_prompts_of_one_group_count_as_fewer() -> None:
    half = np.arange(200) % 2 == 0
    scores = np.stack([np.ones(200), half.astype(float)], axis=1)
    expectation = expect(np.full((200, 2), 0.9), [0.01, 0.001])
    alone = measure_risk(expectation, make_outcomes(scores, [0.01, 0.001]))
    paired = measure_risk(
        expectation, make_outcomes(scores, [0.01, 0.001], groups=[f"{i % 2} {i // 8}" for i in range(200)])
    )
    assert alone is not None
    assert paired is not None
    assert paired.deviations[-1] == pytest.approx(2 * alone.deviations[-1])


def test_there_is_no_curve_with_few_prompts_or_one_model() -> None:
    assert measure_risk(expect(np.ones((99, 2)), [1, 2]), make_outcomes(np.ones((99, 2)), [1, 2])) is None
    assert measure_risk(expect(np.ones((200, 1)), [1]), make_outcomes(np.ones((200, 1)), [1])) is None


def test_the_bound_holds_as_often_as_its_confidence() -> None:
    # The true loss is known here. At confidence 0.9 it may exceed 0.05 in 20 of 200 benchmarks.
    wrong = 0
    gaps = np.linspace(0, 0.3, 31)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        gap = rng.choice(gaps, 400)
        scores = (rng.random((400, 2)) < np.stack([np.full(400, 0.8), 0.8 - gap], axis=1)).astype(float)
        curve = measure_risk(
            expect(np.stack([np.full(400, 0.8), 0.8 - gap], axis=1), [0.01, 0.001]), make_outcomes(scores, [0.01, 0.001])
        )
        assert curve is not None
        if curve.reference == "a":
            tolerance = curve.choose(0.05, 0.9)
            wrong += float(np.where(gaps <= tolerance, gaps, 0).mean()) > 0.05
    assert wrong <= 20


def test_a_router_uses_the_curve() -> None:
    curve = RiskCurve(reference="big", n=900, tolerances=[0.1], losses=[0.0], deviations=[0.0], savings=[0.5])
    router = Router(
        [model("big", 0.9, cost_usd=1.0), model("small", 0.85, cost_usd=0.1)], parameters=ScoringParameters(risk=curve)
    )
    assert router.route("hm", max_loss=0.01).model == "small"
