import numpy as np
import pytest

from tests.training.monitor.samples import unit
from training.monitor.two_samples import adjust, compare_counts, compare_embeddings, find_novel_distance, nearest_distances


def test_equal_samples_have_no_discrepancy() -> None:
    rng = np.random.default_rng(0)
    same = unit(np.array([[1.0, 0.0], [0.0, 1.0]]))
    mmd, p = compare_embeddings(same, same, rng=rng, permutations=99)
    assert mmd < 0.01  # negative: two equal points are in different samples, never in one
    assert p > 0.3


def test_chi_square_of_counts_by_hand() -> None:
    statistic, p = compare_counts(np.array([30, 10]), np.array([10, 30]), rng=np.random.default_rng(0), permutations=999)
    assert statistic == pytest.approx(20)  # four cells, each off by 10 of 20
    assert p < 0.005
    even, p = compare_counts(np.array([20, 20, 0]), np.array([20, 20, 0]), rng=np.random.default_rng(0), permutations=99)
    assert (even, p) == (0, 1)


def test_p_values_are_adjusted_for_their_number() -> None:
    # Sorted: 0.01, 0.02, 0.03, 0.5, multiplied by 4/1, 4/2, 4/3, 4/4. Each is at most as large as the next.
    assert adjust([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.04, 0.04])


def test_a_prompt_farther_away_than_reference_prompts_from_each_other_is_novel() -> None:
    reference = unit(np.array([[1.0, 0.1], [1.0, -0.1], [1.0, 0.0]]))
    far = find_novel_distance(reference)
    distances = nearest_distances(unit(np.array([[1.0, 0.05], [0.0, 1.0]])), reference)
    assert (distances > far).tolist() == [False, True]
