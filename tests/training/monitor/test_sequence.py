import math

import numpy as np
import pytest

from training.monitor.sequence import FEWEST, Moments, bound_difference, bound_mean, find_needed, half_width


def test_half_the_width_is_that_of_the_formula() -> None:
    # With α = 0.05, nρ² = 2 ln 20 + ln(2 ln 20) + 1 = 5.9915 + 1.7903 + 1 = 8.7818 after 1,000 observations, so that
    # √(2 · 9.7818 / (1,000 · 8.7818) · ln(√9.7818 / 0.05)) = √(0.0022277 · 4.1360).
    assert half_width(1000, 1.0) == pytest.approx(0.09599, abs=1e-5)
    assert half_width(1000, 4.0) == pytest.approx(2 * half_width(1000, 1.0))
    assert half_width(1000, 1.0, alpha=0.01) > half_width(1000, 1.0)


def test_nothing_is_said_before_the_start() -> None:
    few, enough = Moments.of([0.0, 1.0] * (FEWEST // 2 - 1)), Moments.of([0.0, 1.0] * FEWEST)
    assert math.isinf(bound_mean(few).high)
    assert math.isinf(bound_difference(few, enough).high)
    assert math.isfinite(bound_difference(enough, enough).high)


def test_equal_scores_do_not_look_certain() -> None:
    assert bound_mean(Moments.of([1.0] * FEWEST)).low < 0.98


def test_the_variance_counts_twelve_more_observations() -> None:
    assert Moments.of([0.0, 1.0] * 50) == pytest.approx((100, 0.5, 0.25 * 1.12))
    assert Moments.of([1.0] * 100) == pytest.approx((100, 1.0, 0.03))
    assert Moments.of([0.0, 0.002] * 50, least=0.0) == pytest.approx((100, 0.001, 1.12e-6))


def test_all_intervals_hold_together_however_often_one_looks() -> None:
    """The nominal rate is 5 %. Of 400 runs, 7.5 % are more than two standard errors above it."""
    rng = np.random.default_rng(0)
    most, runs = 2000, 400
    bound = np.array([half_width(n, 1.0) for n in range(1, most + 1)])
    n = np.arange(1, most + 1)
    for rate in (0.5, 0.95, 0.99):
        scores = rng.random((runs, most)) < rate
        mean = scores.cumsum(axis=1) / n
        variance = mean * (1 - mean) + 12 * 0.25 / n
        missed = (np.abs(mean - rate) > bound * np.sqrt(variance))[:, FEWEST - 1 :].any(axis=1)
        assert missed.mean() < 0.075


def test_the_number_of_needed_observations_is_enough_and_not_much_more() -> None:
    needed = find_needed(100, 0.25, 0.02)
    assert needed is not None
    assert half_width(needed, 0.25) <= 0.02 < half_width(round(0.95 * needed), 0.25)
    assert find_needed(100, 0.25, 1e-6) is None
