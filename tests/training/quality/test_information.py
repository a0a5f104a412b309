import numpy as np
import pytest

from training.quality.information import Knowledge, Purchase, make_plan, pick_prompts

FREE = {"usd_per_point": [np.inf], "horizon": 1000.0}


def know(mean: list[list[float]], deviation: list[list[float]], **others: object) -> Knowledge:
    shape = np.array(mean).shape
    given = {
        "cost_usd": np.zeros(shape),
        "measure_usd": np.ones(shape),
        "share": np.full(shape[1], 1 / shape[1]),
        "available": np.full(shape, 1000),
    }
    covariance = np.array([np.diag(np.square(row)) for row in deviation])
    return Knowledge(mean=np.array(mean), covariance=covariance, **(given | others))  # type: ignore[arg-type]


def test_scores_are_bought_where_the_best_model_is_in_doubt() -> None:
    # On the first task model 0 leads by far and both are well known. On the second they are close and unknown.
    knowledge = know([[0.9, 0.5], [0.2, 0.5]], [[0.01, 0.2], [0.01, 0.2]])
    plan = make_plan(knowledge, budget_usd=100, **FREE)
    assert {purchase.task for purchase in plan.purchases} == {1}
    assert sum(purchase.cost_usd for purchase in plan.purchases) <= 100


def test_a_task_that_nobody_asks_for_is_not_measured() -> None:
    knowledge = know([[0.5, 0.5], [0.5, 0.5]], [[0.2, 0.2], [0.2, 0.2]], share=np.array([1.0, 0.0]))
    assert {purchase.task for purchase in make_plan(knowledge, budget_usd=60, **FREE).purchases} == {0}


def test_the_gain_of_a_score_by_hand() -> None:
    # One model at 0.5 ± 0.2 against one that is known to be at 0.5. Twenty scores of variance 0.25 move its mean by a normal
    # variable of deviation 0.04 / √(0.04 + 0.0125). The choice gains the positive part of it: deviation / √(2π).
    knowledge = know([[0.5], [0.5]], [[0.2], [0.0]])
    deviation = 0.04 / np.sqrt(0.04 + 0.25 / 20)
    plan = make_plan(knowledge, budget_usd=20, usd_per_point=[np.inf], horizon=1.0)
    first = plan.purchases[0]
    assert first.n == 5
    assert first.gain == pytest.approx(0.04 / np.sqrt(0.04 + 0.25 / 5) / np.sqrt(2 * np.pi))
    # Bought in parts, the variances of the moves add up to that of the whole.
    moved = sum((purchase.gain * np.sqrt(2 * np.pi)) ** 2 for purchase in plan.purchases)
    assert sum(purchase.n for purchase in plan.purchases) == 20
    assert moved == pytest.approx(deviation**2)


def test_a_score_on_one_task_tells_of_a_related_one() -> None:
    related = np.array([[[0.04, 0.04], [0.04, 0.0401]], [[0, 0], [0, 0]]])
    knowledge = Knowledge(
        mean=np.array([[0.5, 0.5], [0.5, 0.5]]),
        covariance=related,
        cost_usd=np.zeros((2, 2)),
        measure_usd=np.array([[1.0, 100.0], [np.nan, np.nan]]),
        share=np.array([0.0, 1.0]),
        available=np.full((2, 2), 100),
    )
    # Only the second task is asked for, but scores on the first cost a hundredth and tell almost as much.
    assert {purchase.task for purchase in make_plan(knowledge, budget_usd=100, **FREE).purchases} == {0}


def test_a_plan_ends_where_more_would_not_pay() -> None:
    knowledge = know([[0.5], [0.5]], [[0.2], [0.2]])
    many, few = (make_plan(knowledge, budget_usd=1e4, usd_per_point=[0.001], horizon=n) for n in (1e6, 1e3))
    assert not many.pays
    assert not few.pays
    assert sum(p.cost_usd for p in few.purchases) < sum(p.cost_usd for p in many.purchases) < 1e4
    assert make_plan(knowledge, budget_usd=20, usd_per_point=[0.001], horizon=1e6).pays
    assert make_plan(knowledge, budget_usd=1e4, usd_per_point=[0.001], horizon=10).purchases == ()


def test_no_pair_is_bought_twice_and_none_that_is_known() -> None:
    scored = np.zeros((10, 2), np.bool_)
    scored[:4, 0] = True
    task = np.array([0] * 8 + [1] * 2)
    buy = [Purchase(model=0, task=0, n=3, cost_usd=0, gain=0), Purchase(model=0, task=0, n=20, cost_usd=0, gain=0)]
    pairs = pick_prompts(scored, [*buy, Purchase(model=1, task=0, n=2, cost_usd=0, gain=0)], task, seed=0)
    assert sorted(pairs[:4]) == [(4, 0), (5, 0), (6, 0), (7, 0)]
    # Prompts with a score of another model come first, because only there models can be compared.
    assert all(i < 4 and model == 1 for i, model in pairs[4:])
