import dataclasses

import numpy as np
import pytest

from router.classify.classifier import CONTINUES
from router.classify.encoder import OnnxEncoder
from router.classify.features import SURFACE
from training.classifier import folds
from training.classifier.features import FeatureBlocks, featurize
from training.classifier.fit import fit_classifier
from training.classifier.folds import draw_cross_validated
from training.classifier.linear import CS, PARTS
from training.classifier.outliers import make_outliers


@pytest.fixture(scope="module")
def groups(tasks: list[str]) -> list[str]:
    """Each prompt is a group of its own."""
    return [str(i) for i in range(len(tasks))]


def test_prompts_that_the_encoder_was_tuned_on_are_never_held_out(
    features: FeatureBlocks, tasks: list[str], groups: list[str]
) -> None:
    seen = np.arange(len(tasks)) % 2 == 0
    fitted = fit_classifier(features, tasks, groups, seen=seen, jobs=1)
    assert fitted.held_out.tolist() == np.flatnonzero(~seen).tolist()
    assert fitted.probabilities.shape == (len(fitted.held_out), 3)
    assert ((fitted.folds == -1) == seen).all()


def test_both_parts_weigh_the_same_if_nothing_can_be_held_out_fairly(
    features: FeatureBlocks, tasks: list[str], groups: list[str]
) -> None:
    known = np.ones(len(tasks), np.bool_)
    fitted = fit_classifier(features, tasks, groups, seen=known, jobs=1)
    assert fitted.mixture == {"embedding": 0.5, "words": 0.5}
    measured = fit_classifier(features, tasks, groups, seen=known & (np.arange(len(tasks)) % 3 > 0), jobs=1)
    assert measured.mixture != fitted.mixture


def test_outliers_change_the_fit_but_are_not_reported(
    features: FeatureBlocks, tasks: list[str], groups: list[str], encoder: OnnxEncoder
) -> None:
    outliers = featurize(make_outliers(800, seed=0), encoder)
    with_them, without = (fit_classifier(features, tasks, groups, outliers=given, jobs=1) for given in (outliers, None))
    assert with_them.held_out.tolist() == without.held_out.tolist() == list(range(len(tasks)))
    assert with_them.folds.tolist() == without.folds.tolist()
    assert with_them.probabilities.shape == without.probabilities.shape
    assert all(logits.shape == with_them.probabilities.shape for logits in with_them.parts.values())
    assert not np.allclose(with_them.heads.embedding, without.heads.embedding)


def test_of_very_many_prompts_a_part_is_cross_validated_by_group(
    monkeypatch: pytest.MonkeyPatch, features: FeatureBlocks, tasks: list[str], targets: np.ndarray
) -> None:
    groups = [str(i // 2) for i in range(len(tasks))]
    assert draw_cross_validated(targets, groups, seed=0).all()
    monkeypatch.setattr(folds, "_MOST_CROSS_VALIDATED", 3 * 23)  # half of the 45
    used = draw_cross_validated(targets, groups, seed=0)
    assert 20 <= used.sum() <= 25
    assert np.bincount(targets[used]).min() >= 5
    assert not {groups[i] for i in np.flatnonzero(used)} & {groups[i] for i in np.flatnonzero(~used)}
    fitted = fit_classifier(features, tasks, groups, jobs=1)
    assert fitted.held_out.tolist() == np.flatnonzero(used).tolist()
    assert fitted.probabilities.shape == (len(fitted.held_out), 3)
    assert (fitted.folds[~used] == -1).all()


def test_held_out_probabilities_do_not_depend_on_the_held_out_tasks(
    features: FeatureBlocks, tasks: list[str], groups: list[str]
) -> None:
    fitted = fit_classifier(features, tasks, groups, jobs=1)
    assert fitted.labels == ("coding", "math", "translation")
    assert all(fitted.cs[part] in CS[part] for part in PARTS)
    assert fitted.probabilities.sum(axis=1) == pytest.approx(1)
    right = np.array([fitted.labels[i] for i in fitted.probabilities.argmax(axis=1)]) == tasks
    assert 0.5 < right.mean() <= 1
    # If all prompts look the same, only their own task could separate them.
    blind = dataclasses.replace(
        features.take(np.zeros(len(tasks), np.int64)), surface=np.zeros((len(tasks), len(SURFACE)), np.float32)
    )
    blind_fit = fit_classifier(blind, tasks, groups, jobs=1)
    blind_right = np.array([blind_fit.labels[i] for i in blind_fit.probabilities.argmax(axis=1)]) == tasks
    assert blind_right.mean() <= 0.4


def test_a_task_in_a_single_group_is_fitted_although_it_cannot_be_tested(features: FeatureBlocks) -> None:
    tasks = ["coding" if i < 12 else "math" for i in range(len(features.embedding))]
    fitted = fit_classifier(features, tasks, ["one" if task == "coding" else str(i) for i, task in enumerate(tasks)], jobs=1)
    assert fitted.probabilities[:12, 0].max() <= 0.5
    assert np.isfinite(fitted.heads.bias).all()


def test_follow_ups_are_a_label_but_not_a_task(features: FeatureBlocks, tasks: list[str], groups: list[str]) -> None:
    labels = [CONTINUES if task == "math" else task for task in tasks]
    fitted = fit_classifier(features, labels, groups, jobs=1)
    assert fitted.labels == ("coding", CONTINUES, "translation")
    assert fitted.tasks == ("coding", "translation")
    with_task = [i for i, label in enumerate(labels) if label != CONTINUES]
    assert fitted.held_out.tolist() == with_task
    assert np.flatnonzero(fitted.folds >= 0).tolist() == with_task
    assert fitted.probabilities.shape == (len(with_task), 2)
    assert fitted.probabilities.sum(axis=1) == pytest.approx(1)
    assert {part.shape for part in fitted.parts.values()} == {(len(with_task), 2)}
    of_follow_ups, of_others = fitted.follow_ups
    assert (len(of_follow_ups), len(of_others)) == (15, 30)
    assert of_follow_ups.mean() > of_others.mean()
