import numpy as np
import pytest

from training.classifier.folds import FOLDS, Split, choose_held_out, draw_folds, fold_outliers, split_folds


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
    held_out = np.arange(n_held_out)
    for n_folds in (1, FOLDS):
        folds = fold_outliers(n, Split(used=np.ones(n_held_out, np.bool_), held_out=held_out, folds=held_out % n_folds))
        assert (len(folds), (folds >= 0).sum()) == (n, held_out_outliers)
        assert set(folds.tolist()) <= {-1, *range(n_folds)}


def test_with_a_tuned_encoder_the_other_prompts_are_held_out_at_once() -> None:
    rng = np.random.default_rng(0)
    targets, seen = rng.integers(0, 3, 3000), rng.random(3000) < 0.9
    split = draw_folds(targets, [str(i) for i in range(3000)], seen, seed=0)
    assert split.held_out.tolist() == np.flatnonzero(~seen).tolist()
    assert set(split.folds.tolist()) == {-1, 0}


def test_of_a_label_that_the_encoder_has_not_seen_only_a_fifth_is_held_out_by_group() -> None:
    rng = np.random.default_rng(0)
    targets = np.concatenate([rng.integers(0, 3, 3000), np.full(100, 3)])
    seen = np.concatenate([rng.random(3000) < 0.9, np.zeros(100, np.bool_)])
    # Some groups of the new label contain a prompt of another label, which then stays on the same side.
    groups = [str(i) for i in range(3000)] + [str(i // 2 if i < 40 else 4000 + i // 2) for i in range(100)]
    split = draw_folds(targets, groups, seen, seed=0)
    new = split.folds[3000:] == 0
    assert 15 <= new.sum() <= 25
    sides = {(groups[i], bool(split.folds[i] == 0)) for i in np.flatnonzero(~seen).tolist()}
    assert len(sides) == len({group for group, _ in sides})
    others = np.array([group not in set(groups[3000:]) for group in groups])
    assert (split.folds[~seen & others] == 0).all()


def test_with_an_encoder_that_is_not_tuned_every_prompt_is_held_out_in_one_of_five_folds() -> None:
    targets = np.arange(300) % 3
    split = draw_folds(targets, [str(i) for i in range(300)], None, seed=0)
    assert set(split.folds.tolist()) == set(range(FOLDS))
