import math

import numpy as np
import pytest

from tests.training.tables import make_outcomes, two_trades
from training.quality.outcomes import Outcomes
from training.verdict.baselines import oracle, round_robin, zero_router
from training.verdict.evaluate import evaluate_choices
from training.verdict.evaluation import RoutingEvaluation
from training.verdict.sweep import Sweep, sweep_prices


def evaluate(outcomes: Outcomes, router: Sweep) -> RoutingEvaluation:
    baselines = [zero_router(outcomes), round_robin(outcomes), oracle(outcomes)]
    return evaluate_choices(router, np.zeros(len(outcomes.prompts)), baselines, outcomes, name="t", seed=0)


def test_the_figures_of_a_router_match_a_calculation_by_hand() -> None:
    # b is best: 0.75 for 4. a has 0.5 for 1. The best model for each prompt costs 2.5 and has 1.
    outcomes = make_outcomes([[1, 0], [1, 1], [0, 1], [0, 1]] * 10, [1.0, 4.0])
    perfect = Sweep(name="router", choices=np.array([[0] * 40, [0, 0, 1, 1] * 10]), labels=("", "best"))
    evaluation = evaluate(outcomes, perfect)
    router, zero = evaluation.routers[0], evaluation.routers[1]
    assert (evaluation.best, evaluation.cheapest) == ("b", "a")
    assert (evaluation.n, evaluation.left_out, evaluation.priced) == (40, 0, True)
    assert [(p.cost_usd, p.quality, p.label) for p in router.curve] == [(1, 0.5, ""), (2.5, 1, "best")]
    assert router.perf_gain.value == pytest.approx(1 / 0.75 - 1)
    # on the hull from (1, 0.5) to (2.5, 1), 0.75 costs 1.75 of 4
    assert router.cost_save is not None
    assert router.cost_save.value == pytest.approx(1 - 1.75 / 4)
    # the area below the hull: (0.75 · 1.5 + 1 · 1.5) / 3; below that of the zero router: (0.5 + 0.75) / 2
    assert router.aiq.value == pytest.approx(0.875)
    assert zero.aiq.value == pytest.approx(0.625)
    assert evaluation.differences["zero router"].value == pytest.approx(0.25)
    assert evaluation.differences["zero router"].low >= 0
    assert [model.name for model in evaluation.models] == ["b", "a"]
    # the setting that costs no more than b loses nothing; b alone loses the prompts that only a answers correctly
    assert evaluation.regret_at.label == "best"
    (task,) = evaluation.regret
    assert (task.task, task.n) == ("qa", 40)
    assert (task.regret.value, task.of_best_single.value) == pytest.approx((0, 0.25))


def test_there_is_no_pair_if_the_cheapest_model_is_the_best() -> None:
    outcomes = make_outcomes([[1, 0]] * 30, [1.0, 4.0])
    assert evaluate(outcomes, zero_router(outcomes)).pair is None


def test_no_baseline_beats_the_oracle_and_its_regret_is_zero() -> None:
    outcomes = two_trades(200)
    evaluation = evaluate(outcomes, oracle(outcomes))
    assert all(interval.value >= -1e-9 for interval in evaluation.differences.values())
    assert max(task.regret.value for task in evaluation.regret) == pytest.approx(0)


def test_without_costs_only_quality_is_measured() -> None:
    outcomes = two_trades(200)
    unpriced = make_outcomes(outcomes.score, [math.nan] * 3, tasks=outcomes.tasks)
    evaluation = evaluate(unpriced, oracle(unpriced))
    router = evaluation.routers[0]
    assert not evaluation.priced
    assert router.hull == []
    assert router.cost_save is None
    assert set(router.cost_at.values()) == {None}
    assert router.aiq.value == pytest.approx(unpriced.score.max(axis=1).mean())
    assert {model.cost_usd for model in evaluation.models} == {None}
    assert evaluation.cheapest_reaching(0.5) is None


def test_the_cheapest_model_that_reaches_a_share_of_the_best_quality_is_found() -> None:
    outcomes = make_outcomes([[1, 1, 0], [0, 1, 1], [1, 1, 1]] * 10, [2.0, 4.0, 1.0])
    evaluation = evaluate(outcomes, zero_router(outcomes))
    cheapest = [evaluation.cheapest_reaching(share) for share in (0.6, 0.7, 1.0)]
    assert [model and model.name for model in cheapest] == ["c", "b", "b"]


def test_prompts_that_some_model_lacks_are_left_out_of_all_figures() -> None:
    whole = make_outcomes([[1, 0], [0, 1]] * 20, [1.0, 4.0])
    torn = make_outcomes([*whole.score.tolist(), [1, math.nan]], [1.0, 4.0])
    router = sweep_prices("router", np.nan_to_num(torn.score), torn.cost_usd)
    evaluation = evaluate(torn, router)
    assert (evaluation.n, evaluation.left_out) == (40, 1)
    on_whole = evaluate(whole, Sweep(name="r", choices=router.choices[:, :40]))
    assert evaluation.routers[0].aiq.value == pytest.approx(on_whole.routers[0].aiq.value)


def test_the_values_of_an_option_are_listed_under_its_name() -> None:
    outcomes = make_outcomes([[1, 0], [0, 1]] * 20, [1.0, 4.0])
    option = Sweep(name="quality_floor", choices=np.array([[0] * 40, [1] * 40]), labels=("0.5", "1"))
    positions = evaluate_choices(
        zero_router(outcomes), np.zeros(40), [], outcomes, name="t", seed=0, positions=[option]
    ).positions
    assert [(p.cost_usd, p.quality, p.label) for p in positions["quality_floor"]] == [(1, 0.5, "0.5"), (4, 0.5, "1")]
