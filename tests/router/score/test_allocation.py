import math

import numpy as np
import pytest
from numpy.typing import NDArray

from router import InputError
from router.score.allocation import Allocation, allocate

# Three prompts, three models. Cheapest: 0.2 + 0.5 + 0.4 for 1 + 1 + 1. Steps by falling quality per USD: prompt 0 to model 1
# (+0.4 for 1), prompt 2 to model 2 (+0.4 for 4), prompt 0 to model 2 (+0.1 for 2); prompt 1 has its best from the start.
QUALITY = np.array([[0.2, 0.6, 0.7], [0.5, 0.5, 0.4], [0.4, 0.45, 0.8]])
COST_USD = np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [1.0, 3.0, 5.0]])
KINDS = ("independent", "proportional", "same prices", "ties", "masked")


def chosen(budget_usd: float) -> list[int]:
    return allocate(QUALITY, COST_USD, budget_usd).choices.tolist()


def draw(rng: np.random.Generator, kind: str, n: int, m: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    quality, cost_usd = rng.random((n, m)), 10 ** rng.uniform(-5, -1, (n, m))
    if kind == "proportional":
        cost_usd = 0.01 * quality + 0.001
    elif kind == "same prices":
        cost_usd = np.tile(10 ** rng.uniform(-5, -1, m), (n, 1))
        quality = np.clip(rng.random(m) + rng.normal(0, 0.05, (n, m)), 0, 1)
    elif kind == "ties":
        quality, cost_usd = np.round(quality, 1), np.round(rng.random((n, m)), 1) + 0.1
    elif kind == "masked":
        mask = rng.random((n, m)) < 0.3
        mask[np.arange(n), rng.integers(0, m, n)] = False
        quality[mask], cost_usd[mask] = -math.inf, math.inf
    return quality, cost_usd


def draw_budget(rng: np.random.Generator, cost_usd: NDArray[np.float64]) -> float:
    least, most = cost_usd.min(axis=1).sum(), np.where(np.isfinite(cost_usd), cost_usd, 0).max(axis=1).sum()
    return float(least + (most - least) * rng.random() ** 3)


def solve(quality: NDArray[np.float64], cost_usd: NDArray[np.float64], budget_usd: float) -> float:
    """Return the largest summed quality, by a solver of integer programs."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    n, m = quality.shape
    usable = np.isfinite(quality).ravel()
    one_each = LinearConstraint(np.repeat(np.eye(n), m, axis=1), 1, 1)
    affordable = LinearConstraint(np.where(usable, cost_usd.ravel() / budget_usd, 0), -np.inf, 1)
    found = milp(
        -np.where(usable, quality.ravel(), 0),
        constraints=[one_each, affordable],
        integrality=np.ones(n * m),
        bounds=Bounds(0, usable.astype(float)),
    )
    assert found.status == 0
    return -float(found.fun)


def check(allocation: Allocation, quality: NDArray[np.float64], cost_usd: NDArray[np.float64], budget_usd: float) -> None:
    rows = np.arange(len(quality))
    assert allocation.cost_usd == pytest.approx(cost_usd[rows, allocation.choices].sum())
    assert allocation.quality == pytest.approx(quality[rows, allocation.choices].sum())
    assert allocation.cost_usd <= budget_usd * (1 + 1e-8)
    assert allocation.quality <= allocation.bound + 1e-9


def test_a_budget_takes_the_steps_with_the_most_quality_per_usd() -> None:
    assert chosen(3) == [0, 0, 0]
    assert chosen(4) == [1, 0, 0]
    assert chosen(8) == [1, 0, 2]
    assert chosen(10) == [2, 0, 2]


def test_the_rest_of_the_budget_buys_models_off_the_hull() -> None:
    # 2 USD are left after the first step, and the next costs 4: prompt 2 to model 1 brings 0.05, prompt 0 to model 2 0.1
    assert chosen(6) == [2, 0, 0]
    assert chosen(5.9) == [1, 0, 0]
    only_off_hull = allocate(np.array([[0.4, 0.45, 0.8]]), np.array([[1.0, 3.0, 5.0]]), 4)
    assert only_off_hull.choices.tolist() == [1]


def test_the_shadow_price_is_that_of_the_first_step_that_does_not_fit() -> None:
    assert allocate(QUALITY, COST_USD, 3).shadow_price_usd_per_point == pytest.approx(0.01 / 0.4)
    assert allocate(QUALITY, COST_USD, 4).shadow_price_usd_per_point == pytest.approx(0.01 / 0.1)
    assert allocate(QUALITY, COST_USD, 9).shadow_price_usd_per_point == pytest.approx(0.01 / 0.05)
    assert allocate(QUALITY, COST_USD, 10).shadow_price_usd_per_point == math.inf


def test_the_bound_is_that_of_the_relaxation_and_the_gap_is_the_distance_to_it() -> None:
    allocation = allocate(QUALITY, COST_USD, 6)  # 1.5 and half of the step of 0.4; the choice has 1.6
    assert allocation.bound == pytest.approx(1.7)
    assert allocation.gap == pytest.approx(0.1)
    assert allocate(QUALITY, COST_USD, 10).gap == 0


def test_of_equal_prices_the_better_model_wins_and_of_equal_qualities_the_cheaper() -> None:
    assert allocate(np.array([[0.5, 0.6]]), np.array([[1.0, 1.0]]), 1).choices.tolist() == [1]
    assert allocate(np.array([[0.5, 0.5]]), np.array([[2.0, 1.0]]), 9).choices.tolist() == [1]


def test_a_free_model_needs_no_budget() -> None:
    assert allocate(np.array([[0.5, 0.9]]), np.array([[0.0, 1.0]]), 0).choices.tolist() == [0]


def test_an_infinite_quality_or_cost_masks_a_model() -> None:
    quality, cost_usd = np.array([[0.9, 0.5], [0.9, 0.5]]), np.array([[1.0, 2.0], [1.0, 2.0]])
    quality[0, 0], cost_usd[1, 0] = -math.inf, math.inf
    assert allocate(quality, cost_usd, 4).choices.tolist() == [1, 1]


def test_a_budget_equal_to_the_cost_is_enough_however_it_is_rounded() -> None:
    n = 1000
    allocation = allocate(np.tile([0.1, 0.9], (n, 1)), np.tile([0.1, 0.3], (n, 1)), 0.3 * n)
    assert allocation.choices.all()
    assert allocate(np.tile([0.1, 0.9], (3, 1)), np.tile([0.1, 0.3], (3, 1)), 0.3).cost_usd > 0.3  # 0.30000000000000004


@pytest.mark.parametrize("kind", KINDS)
def test_small_cases_are_within_one_percent_of_the_exact_optimum(kind: str) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(60):
        # The solver needs minutes if many prompts have the same quality per USD.
        n, m = int(rng.integers(3, 7 if kind == "proportional" else 13)), int(rng.integers(2, 7))
        quality, cost_usd = draw(rng, kind, n, m)
        budget_usd = draw_budget(rng, cost_usd)
        allocation, optimum = allocate(quality, cost_usd, budget_usd), solve(quality, cost_usd, budget_usd)
        check(allocation, quality, cost_usd, budget_usd)
        assert allocation.quality >= 0.99 * optimum
        assert allocation.bound >= optimum * (1 - 1e-5)  # the solver exceeds the budget by a millionth


@pytest.mark.parametrize("kind", KINDS)
def test_the_gap_is_never_more_than_one_step(kind: str) -> None:
    rng = np.random.default_rng(5)
    for n in (1, 25, 80, 400):
        quality, cost_usd = draw(rng, kind, n, 5)
        budget_usd = draw_budget(rng, cost_usd)
        allocation = allocate(quality, cost_usd, budget_usd)
        check(allocation, quality, cost_usd, budget_usd)
        usable = np.where(np.isfinite(quality), quality, np.nan)
        assert allocation.gap <= np.nanmax(np.nanmax(usable, axis=1) - np.nanmin(usable, axis=1)) + 1e-6


def test_more_money_never_buys_less_and_a_point_never_gets_cheaper() -> None:
    quality, cost_usd = draw(np.random.default_rng(6), "independent", 8, 4)
    least, most = cost_usd.min(axis=1).sum(), cost_usd.max(axis=1).sum()
    found = [allocate(quality, cost_usd, budget) for budget in np.linspace(least, most, 50)]
    qualities = [allocation.quality for allocation in found]
    prices = [allocation.shadow_price_usd_per_point for allocation in found]
    assert qualities == sorted(qualities)
    assert prices == sorted(prices)
    assert prices[-1] == math.inf


def test_a_hundred_thousand_prompts_are_allocated_almost_exactly() -> None:
    quality, cost_usd = draw(np.random.default_rng(7), "independent", 100_000, 16)
    allocation = allocate(quality, cost_usd, 50.0)
    assert allocation.gap < 0.01
    check(allocation, quality, cost_usd, 50.0)


def test_a_budget_that_is_too_small_is_refused_and_the_smallest_possible_is_named() -> None:
    with pytest.raises(InputError, match=r"cheapest model of every prompt, got 2\.5; give 3 or more"):
        allocate(QUALITY, COST_USD, 2.5)
    uneven = np.array([[1 / 3], [1 / 7]])
    with pytest.raises(InputError) as refused:
        allocate(np.ones((2, 1)), uneven, 0.1)
    least = float(str(refused.value).split("give ")[1].split()[0])
    assert allocate(np.ones((2, 1)), uneven, least).choices.tolist() == [0, 0]


@pytest.mark.parametrize("budget", [-1.0, math.nan, math.inf, True, "1"])
def test_an_invalid_budget_is_refused(budget: float) -> None:
    with pytest.raises(InputError, match="budget_usd must be a finite number of 0 or more"):
        allocate(QUALITY, COST_USD, budget)


def test_unknown_figures_and_prompts_without_a_model_are_refused() -> None:
    unknown, masked = COST_USD.copy(), QUALITY.copy()
    unknown[1, 2], masked[2] = math.nan, -math.inf
    with pytest.raises(InputError, match="cost_usd must be known, got NaN for prompt 1"):
        allocate(QUALITY, unknown, 9)
    with pytest.raises(InputError, match="every prompt needs a model, got none for prompt 2"):
        allocate(masked, COST_USD, 9)
    with pytest.raises(InputError, match=r"the same shape \(n, m\), got \(3, 3\) and \(2, 3\)"):
        allocate(QUALITY, COST_USD[:2], 9)
    with pytest.raises(InputError, match="the same shape"):
        allocate(np.ones((0, 0)), np.ones((0, 0)), 9)
