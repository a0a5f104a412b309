from collections.abc import Sequence

import numpy as np
import pytest
from scipy import sparse

from router.classify.features import BUCKETS, SURFACE
from training.classifier.features import FeatureBlocks
from training.classifier.first_tier import build_first_tier, choose_first_tier_threshold, fit_first_tier
from training.classifier.fit import FittedClassifier, fit_classifier

RNG = np.random.default_rng(0)
RIGHT = 0
NO_OUTLIERS = np.empty(0)


def confident(*certainties: float) -> np.ndarray:
    """Return probabilities of two tasks. The arguments are those of the first task."""
    return np.array([(p, 1 - p) for p in certainties])


@pytest.mark.parametrize(
    ("wrong", "threshold", "share"),
    [
        ([], 0.51, 1.0),  # no loss: even the least confident answers stand
        (range(6), 0.51, 1.0),  # a loss of 0.6 points, with 1.28 standard errors of 0.24
        (range(7), 0.62, 0.9),  # 0.7 and 1.28 times 0.26 are too much: all answers at this confidence are dropped
        ([*range(6), 999], 0.62, 0.9),
    ],
)
def test_the_threshold_is_the_lowest_that_loses_little(wrong: Sequence[int], threshold: float, share: float) -> None:
    first = confident(*[0.615] * 100, *[0.9] * 900)
    full, targets = confident(*[0.8] * 1000), np.full(1000, RIGHT)
    first[list(wrong)] = first[list(wrong), ::-1]
    record = choose_first_tier_threshold(first, full, targets, outliers=NO_OUTLIERS, lowest=0.505)
    assert record is not None
    assert (record.threshold, record.share, record.n) == (threshold, share, 1000)


def test_wins_of_the_first_tier_make_up_for_its_losses() -> None:
    first, full = confident(*[0.9] * 1000), confident(*[0.8] * 1000)
    first[:5] = first[:5, ::-1]
    full[5:10] = full[5:10, ::-1]
    record = choose_first_tier_threshold(first, full, np.full(1000, RIGHT), outliers=NO_OUTLIERS)
    assert record is not None
    assert (record.share, record.lost) == (1.0, 0.0)


def test_a_first_tier_that_is_confident_and_wrong_has_no_threshold() -> None:
    wrong, right = confident(*[0.1] * 100), confident(*[0.9] * 100)
    assert choose_first_tier_threshold(wrong, right, np.full(100, RIGHT), outliers=NO_OUTLIERS, lowest=0.5) is None


def test_no_threshold_answers_more_than_a_twentieth_of_the_outliers() -> None:
    first, targets = confident(*[0.9] * 100), np.full(100, RIGHT)
    outliers = np.array([0.85] + [0.6] * 19)
    for lowest, threshold in ((0.5, 0.61), (0.7, 0.7)):
        record = choose_first_tier_threshold(first, first, targets, outliers=outliers, lowest=lowest)
        assert record is not None
        assert record.threshold == threshold
    record = choose_first_tier_threshold(first, first, targets, outliers=np.array([0.85, 0.85, 0.6]), lowest=0.5)
    assert record is not None
    assert record.threshold == 0.86


def make_features(targets: np.ndarray, noise: float) -> FeatureBlocks:
    n = len(targets)
    embedding = np.eye(3, dtype=np.float32)[targets] + RNG.normal(size=(n, 3)).astype(np.float32) * noise
    return FeatureBlocks(
        embedding=embedding / np.linalg.norm(embedding, axis=1, keepdims=True),
        lexical=sparse.csr_matrix((n, BUCKETS), dtype=np.float32),
        surface=np.zeros((n, len(SURFACE)), np.float32),
    )


TARGETS = np.repeat([0, 1, 2], 200)
TASKS = [f"task {i}" for i in TARGETS]
FEATURES = make_features(TARGETS, 0.3)
OUTLIERS = np.zeros((20, 3), np.float32)


@pytest.fixture(scope="module")
def fitted() -> FittedClassifier:
    return fit_classifier(FEATURES, TASKS, [str(i) for i in range(len(TARGETS))], jobs=1)


def test_a_draft_that_separates_the_tasks_answers_for_the_classifier(fitted: FittedClassifier) -> None:
    first = fit_first_tier(FEATURES.embedding, FEATURES, fitted, TARGETS[fitted.held_out], OUTLIERS)
    assert first is not None
    assert first.record.n == 600
    assert first.record.share > 0.5
    assert first.record.lost <= 0.005
    agreement = first.layer.probabilities(FEATURES.embedding).argmax(axis=1) == TARGETS
    assert agreement.mean() > 0.9


def test_a_draft_of_noise_is_not_worth_having(fitted: FittedClassifier) -> None:
    noise = RNG.normal(size=(600, 3)).astype(np.float32)
    first = fit_first_tier(noise, FEATURES, fitted, TARGETS[fitted.held_out], OUTLIERS)
    assert first is None or first.record.share < 0.05


def test_prompts_that_the_draft_has_seen_are_not_evaluated(fitted: FittedClassifier) -> None:
    unseen = np.where(np.arange(600) % 2, TARGETS[fitted.held_out], -1)
    first = fit_first_tier(FEATURES.embedding, FEATURES, fitted, unseen, OUTLIERS)
    assert first is not None
    assert first.record.n == 300


def test_too_few_prompts_to_evaluate_give_no_first_tier(fitted: FittedClassifier) -> None:
    few = np.where(np.arange(600) < 150, TARGETS[fitted.held_out], -1)
    assert fit_first_tier(FEATURES.embedding, FEATURES, fitted, few, OUTLIERS) is None


class FakeDraft:
    """A draft that looks a prompt's vector up by its text. An outlier has a vector of zeros."""

    def encode(self, texts: list[str], /) -> np.ndarray:
        vectors = {str(i): vector for i, vector in enumerate(FEATURES.embedding)}
        return np.array([vectors.get(text, np.zeros(3)) for text in texts], np.float32)


def test_building_encodes_the_texts_and_leaves_out_prompts_that_the_draft_has_seen(fitted: FittedClassifier) -> None:
    texts, seen = [str(i) for i in range(600)], np.arange(600) % 3 == 0
    first = build_first_tier(FakeDraft(), texts, TASKS, FEATURES, fitted, seen=seen)
    assert first is not None
    assert first.record.n == 400
    assert build_first_tier(None, texts, TASKS, FEATURES, fitted, seen=seen) is None
