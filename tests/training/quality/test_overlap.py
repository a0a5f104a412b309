import numpy as np
import pytest

from training.quality.overlap import measure_correlation, measure_overlap


def test_the_overlap_of_drawn_scores_is_found_again() -> None:
    rng, n = np.random.default_rng(0), 20_000
    quality = np.array([0.4, 0.6, 0.9])
    for overlap in (0.0, 0.3, 1.0):
        shared = rng.random((n, 1)) < overlap
        score = (np.where(shared, rng.random((n, 1)), rng.random((n, 3))) < quality).astype(float)
        assert measure_overlap(score, np.zeros(n, np.int64)) == pytest.approx(overlap, abs=0.03)


def test_tasks_of_different_difficulty_are_no_overlap() -> None:
    rng, n = np.random.default_rng(0), 20_000
    task = np.arange(n) % 2
    score = (rng.random((n, 2)) < np.array([0.9, 0.2])[task][:, None]).astype(float)
    assert measure_overlap(score, task) == pytest.approx(0.0, abs=0.03)


def test_without_errors_nothing_is_measured() -> None:
    assert measure_overlap(np.ones((3, 2)), np.zeros(3, np.int64)) is None
    assert measure_overlap(np.full((3, 2), np.nan), np.zeros(3, np.int64)) is None


def test_each_pair_counts_on_the_prompts_that_both_models_answered() -> None:
    right = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    gaps = np.array([[np.nan, 1.0], [0.0, np.nan], [1.0, np.nan]])
    score = np.vstack([right, gaps])
    assert measure_overlap(score, np.zeros(7, np.int64)) == 1.0
    # With two more prompts on which they differ: q = r = 1/2, both right in 2 of 6: (1/3 − 1/4) / (1/2 − 1/4)
    differing = np.vstack([score, [[1.0, 0.0], [0.0, 1.0]]])
    assert measure_overlap(differing, np.zeros(9, np.int64)) == pytest.approx(1 / 3)


def test_the_correlation_is_that_of_pairs_of_columns() -> None:
    draw = np.random.default_rng(0)
    ease, own = draw.standard_normal((4000, 1)), draw.standard_normal((4000, 2))
    score = (ease + own < 0.3).astype(float)
    found = measure_correlation(score, np.zeros(4000, np.int64))
    assert found == pytest.approx(np.corrcoef(score.T)[0, 1], abs=1e-9)
    assert measure_correlation(np.ones((4, 2)), np.zeros(4, np.int64)) is None
