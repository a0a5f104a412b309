import numpy as np
import pytest

from training.classifier.folds import FOLDS, choose_held_out, fold_outliers, split_folds


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_in_one_fold_and_tasks_are_spread(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, targets = rng.integers(0, 60, 300).astype(str).tolist(), rng.integers(0, 3, 300)
    folds = split_folds(targets, groups, seed=seed)
    assert len(set(zip(groups, folds.tolist(), strict=True))) == len(set(groups))
    assert np.bincount(folds, minlength=FOLDS).min() > 30
    assert (folds == split_folds(targets, groups, seed=seed)).all()


def test_seen_prompts_are_held_out_only_if_too_few_others_are_left() -> None:
    targets, groups = np.arange(20) % 2, [str(i) for i in range(20)]
    assert choose_held_out(targets, groups, np.ones(20, np.bool_)).tolist() == list(range(20))
    assert choose_held_out(targets, groups, np.arange(20) > 3).tolist() == list(range(20))  # four are too few to split
    assert choose_held_out(targets, groups, np.arange(20) > 11).tolist() == list(range(12))


@pytest.mark.parametrize(
    ("n", "n_held_out", "held_out_outliers"), [(40, 780, 39), (40, 45, 2), (2, 780, 2), (0, 780, 0), (9, 19, 0)]
)
def test_outliers_are_held_out_in_proportion_to_prompts(n: int, n_held_out: int, held_out_outliers: int) -> None:
    folds = fold_outliers(n, n_held_out)
    assert (len(folds), (folds >= 0).sum()) == (n, held_out_outliers)
    assert set(folds.tolist()) <= {-1, *range(FOLDS)}
