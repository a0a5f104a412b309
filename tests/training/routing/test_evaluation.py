import math

import numpy as np
import pytest

from tests.training.tables import make_outcomes, two_trades
from training.outcomes import Outcomes
from training.routing.evaluation import Dial, RoutingEvaluation, evaluate_routing, pick_pair, trace_dial
from training.routing.routers import oracle, round_robin, zero_router


def judge(outcomes: Outcomes, router: Dial, gain: np.ndarray | None = None) -> RoutingEvaluation:
    gain = np.zeros(len(outcomes.prompts)) if gain is None else gain
    return evaluate_routing(
        router, gain, [zero_router(outcomes), round_robin(outcomes), oracle(outcomes)], outcomes, name="t", seed=0
    )


def test_a_dial_goes_from_each_prompts_cheapest_model_to_its_best() -> None:
    quality = np.array([[0.5, 0.9, 0.9], [0.7, 0.6, 0.8]])
    cost = np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 5.0]])
    dial = trace_dial("x", quality, cost)
    assert dial.choices[0].tolist() == [0, 0]  # of the two that cost the same the better
    assert dial.choices[-1].tolist() == [1, 2]  # of the two as good the cheaper
    assert dial.choices.shape == (100, 2)


def test_a_given_price_weighs_quality_against_cost() -> None:
    quality, cost = np.array([[0.5, 0.9], [0.5, 0.6]]), np.array([[1.0, 3.0], [1.0, 3.0]])
    # the first prompt pays up to 0.4 / 2 points per USD, the second up to 0.1 / 2
    dial = trace_dial("x", quality, cost, prices=np.array([0.3, 0.1, 0.01]))
    assert dial.choices.tolist() == [[0, 0], [0, 0], [1, 0], [1, 1], [1, 1]]


def test_where_no_price_changes_anything_there_are_two_settings() -> None:
    assert trace_dial("x", np.array([[0.9, 0.1]]), np.array([[1.0, 2.0]])).choices.tolist() == [[0], [0]]


def test_the_pair_is_the_best_model_and_the_cheapest() -> None:
    assert pick_pair(make_outcomes([[0, 1, 1], [1, 1, 1]], [1, 3, 2])) == (2, 0)
    assert pick_pair(make_outcomes([[0, 1, 0], [1, 1, 0]], [1, 3, 1])) == (1, 0)


def test_figures_of_a_router_by_hand() -> None:
    # b is best: 0.75 for 4; a has 0.5 for 1; knowing each prompt's best costs 2 for 1
    outcomes = make_outcomes([[1, 0], [1, 1], [0, 1], [0, 1]] * 10, [1.0, 4.0])
    perfect = Dial(name="router", choices=np.array([[0] * 40, [0, 0, 1, 1] * 10]), labels=("", "best"))
    told = judge(outcomes, perfect)
    router, zero = told.routers[0], told.routers[1]
    assert (told.best, told.cheapest, told.n, told.left_out, told.priced) == ("b", "a", 40, 0, True)
    assert [(p.cost_usd, p.quality, p.label) for p in router.curve] == [(1, 0.5, ""), (2.5, 1, "best")]
    assert router.perf_gain.value == pytest.approx(1 / 0.75 - 1)
    # on the hull from (1, 0.5) to (2.5, 1), 0.75 costs 1.75 of 4
    assert router.cost_save is not None
    assert router.cost_save.value == pytest.approx(1 - 1.75 / 4)
    # the hull's area: 0.75 · 1.5 + 1 · 1.5 over 3; of the zero router (0.5 + 0.75)/2
    assert router.aiq.value == pytest.approx(0.875)
    assert zero.aiq.value == pytest.approx(0.625)
    assert told.differences["zero router"].value == pytest.approx(0.25)
    assert told.differences["zero router"].low >= 0
    assert [model.name for model in told.models] == ["b", "a"]
    # at the setting that costs no more than b nothing is lost; b alone loses the prompts that only a gets
    assert told.regret_at.label == "best"
    (task,) = told.regret
    assert (task.task, task.n) == ("qa", 40)
    assert (task.regret.value, task.of_best_single.value) == pytest.approx((0, 0.25))


def test_chance_recovers_half_the_gap_and_a_perfect_order_as_much_as_there_is() -> None:
    # b is better on a quarter of the prompts, as good on the others
    outcomes = make_outcomes([[0, 1], [1, 1], [1, 1], [1, 1]] * 25, [1.0, 4.0])
    router = trace_dial("router", outcomes.score, outcomes.cost_usd)
    lift = outcomes.score[:, 1] - outcomes.score[:, 0]
    blind, knowing = (judge(outcomes, router, gain).pair for gain in (np.zeros(100), lift))
    assert blind is not None
    assert knowing is not None
    assert (blind.strong, blind.weak) == ("b", "a")
    assert [blind.apgr.value, blind.cpt50.value, blind.cpt80.value] == pytest.approx([0.5, 0.5, 0.8])
    # a quarter of the calls recovers all of it, evenly: 1 − 0.25/2
    assert [knowing.apgr.value, knowing.cpt50.value, knowing.cpt80.value] == pytest.approx([0.875, 0.125, 0.2])
    worst = judge(outcomes, router, -lift).pair
    assert worst is not None
    assert worst.apgr.value == pytest.approx(0.125)


def test_there_is_no_pair_where_the_cheapest_is_the_best() -> None:
    outcomes = make_outcomes([[1, 0]] * 30, [1.0, 4.0])
    assert judge(outcomes, zero_router(outcomes)).pair is None


def test_nobody_beats_the_oracle_and_its_regret_is_none() -> None:
    outcomes = two_trades(200)
    told = judge(outcomes, oracle(outcomes))
    assert all(interval.value >= -1e-9 for interval in told.differences.values())
    assert max(task.regret.value for task in told.regret) == pytest.approx(0)


def test_where_no_costs_are_known_quality_alone_is_judged() -> None:
    outcomes = two_trades(200)
    unpriced = make_outcomes(outcomes.score, [math.nan] * 3, tasks=outcomes.tasks)
    told = judge(unpriced, oracle(unpriced))
    assert not told.priced
    assert told.routers[0].hull == []
    assert told.routers[0].cost_save is None
    assert set(told.routers[0].cost_at.values()) == {None}
    assert told.routers[0].aiq.value == pytest.approx(unpriced.score.max(axis=1).mean())
    assert {model.cost_usd for model in told.models} == {None}


def test_prompts_that_some_model_lacks_are_left_out_of_all_figures() -> None:
    whole = make_outcomes([[1, 0], [0, 1]] * 20, [1.0, 4.0])
    torn = make_outcomes([*whole.score.tolist(), [1, math.nan]], [1.0, 4.0])
    dial = trace_dial("router", np.nan_to_num(torn.score), torn.cost_usd)
    told = judge(torn, dial)
    assert (told.n, told.left_out) == (40, 1)
    assert told.routers[0].aiq.value == pytest.approx(
        judge(whole, Dial(name="r", choices=dial.choices[:, :40])).routers[0].aiq.value
    )


def test_positions_of_dials_are_told_by_name() -> None:
    outcomes = make_outcomes([[1, 0], [0, 1]] * 20, [1.0, 4.0])
    position = Dial(name="quality_floor", choices=np.array([[0] * 40, [1] * 40]), labels=("0.5", "1"))
    told = evaluate_routing(
        zero_router(outcomes), np.zeros(40), [], outcomes, name="t", seed=0, positions=[position]
    ).positions
    assert [(p.cost_usd, p.quality, p.label) for p in told["quality_floor"]] == [(1, 0.5, "0.5"), (4, 0.5, "1")]
