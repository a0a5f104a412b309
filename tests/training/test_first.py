import numpy as np
import pytest
from scipy import sparse

from router.classifier import softmax
from router.features import BUCKETS, SURFACE
from training.classifier import FeatureBlocks, FittedClassifier, fit_classifier
from training.first import choose_threshold, fit_first, fit_linear

RNG = np.random.default_rng(0)
WAYS = RNG.normal(size=(3, 6)).astype(np.float32) * 2


def test_a_linear_teacher_is_learnt_as_it_is() -> None:
    vectors = RNG.normal(size=(500, 6)).astype(np.float32)
    told = softmax(np.asarray(vectors @ WAYS.T + [0.5, 0.0, -0.5], np.float64))
    layer = fit_linear(vectors, told, strength=1e-6)
    np.testing.assert_allclose(layer.tell(vectors), told, atol=0.02)


def test_columns_that_never_change_do_no_harm_and_units_do_not_matter() -> None:
    vectors = RNG.normal(size=(300, 6)).astype(np.float32)
    told = softmax(np.asarray(vectors @ WAYS.T, np.float64))
    constant = np.concatenate([vectors, np.zeros((300, 1), np.float32)], axis=1)
    plain = fit_linear(vectors, told).tell(vectors)
    np.testing.assert_allclose(fit_linear(constant, told).tell(constant), plain, atol=0.01)
    np.testing.assert_allclose(fit_linear(vectors * 1000, told).tell(vectors * 1000), plain, atol=0.01)


def confident(*certainties: float) -> np.ndarray:
    """Probabilities of two tasks, the first of them so likely."""
    return np.array([(p, 1 - p) for p in certainties])


RIGHT = 0
NO_STRAYS = np.empty(0)


@pytest.mark.parametrize(
    ("wrong", "threshold", "share"),
    [
        ([], 0.51, 1.0),  # loses nothing: even what is hardly sure stands
        ([0, 1], 0.51, 1.0),  # 0.2 points, with 1.28 standard errors of 0.14
        ([0, 1, 2], 0.62, 0.9),  # 0.3 and 1.28 times 0.17 are too much: all of that confidence are left
        ([0, 1, 999], 0.62, 0.9),
    ],
)
def test_the_threshold_is_the_lowest_that_loses_half_a_point_at_most(
    wrong: list[int], threshold: float, share: float
) -> None:
    first = confident(*[0.615] * 100, *[0.9] * 900)
    full, targets = confident(*[0.8] * 1000), np.full(1000, RIGHT)
    first[wrong] = first[wrong, ::-1]
    record = choose_threshold(first, full, targets, strays=NO_STRAYS, least=0.505)
    assert record is not None
    assert (record.threshold, record.share, record.n) == (threshold, share, 1000)


def test_what_the_first_tier_wins_pays_for_what_it_loses() -> None:
    first, full = confident(*[0.9] * 1000), confident(*[0.8] * 1000)
    first[:5] = first[:5, ::-1]
    full[5:10] = full[5:10, ::-1]
    record = choose_threshold(first, full, np.full(1000, RIGHT), strays=NO_STRAYS)
    assert record is not None
    assert (record.share, record.lost) == (1.0, 0.0)


def test_a_first_tier_that_is_wrong_wherever_it_is_sure_is_none() -> None:
    wrong, right = confident(*[0.1] * 100), confident(*[0.9] * 100)
    assert choose_threshold(wrong, right, np.full(100, RIGHT), strays=NO_STRAYS, least=0.5) is None


def test_no_threshold_answers_more_than_a_twentieth_of_what_asks_for_nothing() -> None:
    first, targets = confident(*[0.9] * 100), np.full(100, RIGHT)
    strays = np.array([0.85] + [0.6] * 19)
    for least, threshold in ((0.5, 0.61), (0.7, 0.7)):
        record = choose_threshold(first, first, targets, strays=strays, least=least)
        assert record is not None
        assert record.threshold == threshold
    record = choose_threshold(first, first, targets, strays=np.array([0.85, 0.85, 0.6]), least=0.5)
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
FEATURES = make_features(TARGETS, 0.3)
UNHEARD = np.zeros((20, 3), np.float32)


@pytest.fixture(scope="module")
def fitted() -> FittedClassifier:
    return fit_classifier(FEATURES, [f"task {i}" for i in TARGETS], [str(i) for i in range(len(TARGETS))], jobs=1)


def test_a_draft_that_hears_the_task_answers_for_the_classifier(fitted: FittedClassifier) -> None:
    first = fit_first(FEATURES.embedding, FEATURES, fitted, TARGETS[fitted.judged], UNHEARD)
    assert first is not None
    assert first.record.n == 600
    assert first.record.share > 0.5
    assert first.record.lost <= 0.005
    agreement = first.layer.tell(FEATURES.embedding).argmax(axis=1) == TARGETS
    assert agreement.mean() > 0.9


def test_a_draft_that_hears_nothing_is_not_worth_having(fitted: FittedClassifier) -> None:
    deaf = RNG.normal(size=(600, 3)).astype(np.float32)
    first = fit_first(deaf, FEATURES, fitted, TARGETS[fitted.judged], UNHEARD)
    assert first is None or first.record.share < 0.05


def test_prompts_that_the_draft_has_seen_do_not_judge_it(fitted: FittedClassifier) -> None:
    unseen = np.where(np.arange(600) % 2, TARGETS[fitted.judged], -1)
    first = fit_first(FEATURES.embedding, FEATURES, fitted, unseen, UNHEARD)
    assert first is not None
    assert first.record.n == 300


def test_too_few_prompts_to_judge_it_are_none(fitted: FittedClassifier) -> None:
    few = np.where(np.arange(600) < 150, TARGETS[fitted.judged], -1)
    assert fit_first(FEATURES.embedding, FEATURES, fitted, few, UNHEARD) is None
