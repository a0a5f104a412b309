import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from router.features import BUCKETS, SURFACE
from router.heads import Features
from training.classifier import FeatureBlocks, head_logits, lexical_matrix
from training.multitask import Problem, fit, fit_path, make_design, move, widen

RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(["sum", "cat", "verse", "loop", "why", "please", "house"], 5)) for _ in range(80)]


def blocks() -> FeatureBlocks:
    rng = np.random.default_rng(1)
    embedding = rng.normal(size=(80, 6)).astype(np.float32)
    return FeatureBlocks(
        embedding=embedding / np.linalg.norm(embedding, axis=1, keepdims=True),
        lexical=lexical_matrix(TEXTS),
        surface=rng.random((80, len(SURFACE))).astype(np.float32),
    )


def problem(n: int = 200, d: int = 4, m: int = 3, *, seed: int = 0) -> tuple[np.ndarray, Problem]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)).astype(np.float32)
    target = (rng.random((n, m)) < 1 / (1 + np.exp(-(rows @ rng.normal(size=(d, m)))))).astype(float)
    return rows, Problem(target=target, offset=np.zeros((n, m)), loss="logistic")


def test_weights_of_the_design_become_heads_that_say_the_same() -> None:
    features = blocks()
    design = make_design(features, seed=0)
    weights = np.random.default_rng(2).normal(size=(design.rows.shape[1], 3))
    told = head_logits(design.unfold(weights), features)
    assert told == pytest.approx(design.rows @ weights, abs=1e-3)


def test_and_so_do_they_of_one_text_as_it_is_served() -> None:
    features = blocks()
    heads = make_design(features, seed=0).unfold(np.random.default_rng(2).normal(size=(6 + 80 + len(SURFACE) + 1, 2)))
    for i in (0, 7):
        one = Features.of(TEXTS[i], features.embedding[i])
        alone = FeatureBlocks(embedding=one.vector[None], lexical=lexical_matrix([TEXTS[i]]), surface=one.surface[None])
        assert heads.apply(one) == pytest.approx(head_logits(heads, alone)[0], abs=1e-4)


def test_the_directions_of_words_are_no_more_than_there_are_prompts() -> None:
    features = FeatureBlocks(
        embedding=np.ones((3, 2), np.float32),
        lexical=sparse.csr_matrix((3, BUCKETS), dtype=np.float32),
        surface=np.zeros((3, len(SURFACE)), np.float32),
    )
    design = make_design(features, seed=0)
    assert design.directions.shape == (BUCKETS, 3)
    assert np.isfinite(design.rows).all()


def test_without_deviations_what_is_shared_is_a_logistic_regression_on_all_models() -> None:
    rows, asked = problem()
    shared = fit(rows, asked, 2.0, np.inf)
    stacked = LogisticRegression(C=1 / 2, fit_intercept=False, tol=1e-8).fit(
        np.repeat(rows, 3, axis=0), asked.target.ravel()
    )
    assert shared[0] == pytest.approx(stacked.coef_[0], abs=2e-2)
    assert (shared[1:] == 0).all()


def test_where_nothing_is_shared_each_model_has_a_regression_of_its_own() -> None:
    rows, asked = problem()
    weights = fit(rows, asked, 1e9, 2.0)
    for model in range(3):
        alone = LogisticRegression(C=1 / 2, fit_intercept=False, tol=1e-8).fit(rows, asked.target[:, model])
        assert weights[0] + weights[1 + model] == pytest.approx(alone.coef_[0], abs=2e-2)


def test_the_squared_loss_is_that_of_ridge_regression() -> None:
    rows, _ = problem(m=1)
    target = rows @ np.array([[1.0], [0.0], [-2.0], [0.5]])
    weights = fit(rows, Problem(target=target, offset=np.full((200, 1), 0.3), loss="squared"), 1e9, 3.0)
    ridge = Ridge(3.0, fit_intercept=False).fit(rows, target[:, 0] - 0.3)
    assert weights[0] + weights[1] == pytest.approx(ridge.coef_, abs=1e-2)


def test_stronger_precisions_move_less_and_endless_ones_nothing() -> None:
    rows, asked = problem()
    sizes = [float(np.abs(move(rows, weights)).mean()) for weights in fit_path(rows, asked, [(1e6, 1e6), (30, 30), (1, 1)])]
    assert sizes == sorted(sizes)
    assert sizes[0] < 1e-3 < sizes[2]


def test_a_model_without_prompts_gets_what_is_shared_and_no_more() -> None:
    rows, asked = problem()
    target = asked.target.copy()
    target[:, 2] = np.nan
    weights = fit(rows, Problem(target=target, offset=asked.offset, loss="logistic"), 1.0, 1.0)
    assert weights[3] == pytest.approx(np.zeros(4), abs=1e-3)
    assert np.abs(weights[0]).max() > 0.1


def test_what_the_offset_tells_needs_no_weights() -> None:
    rows, asked = problem()
    told = Problem(target=1 / (1 + np.exp(-(rows @ np.ones((4, 3))))), offset=rows @ np.ones((4, 3)), loss="logistic")
    assert np.abs(fit(rows, told, 1.0, 1.0)).max() < 1e-2
    assert np.abs(fit(rows, Problem(target=told.target, offset=asked.offset, loss="logistic"), 1.0, 1.0)).max() > 0.3


def test_losses_by_hand() -> None:
    asked = Problem(target=np.array([[1.0, np.nan]]), offset=np.array([[0.0, 0.0]]), loss="logistic")
    assert asked.losses(0.0)[0, 0] == pytest.approx(np.log(2))
    assert asked.losses(np.log(3))[0, 0] == pytest.approx(np.log(4 / 3))  # 3 to 1 for what came
    assert np.isnan(asked.losses(0.0)[0, 1])
    squared = Problem(target=np.array([[3.0]]), offset=np.array([[1.0]]), loss="squared")
    assert squared.losses(0.5)[0, 0] == pytest.approx(1.5**2 / 2)


def test_differences_between_labels_cost_less_once_rows_are_widened() -> None:
    rng = np.random.default_rng(3)
    labels = ["math", "qa"] * 100
    side = np.where(np.arange(200) % 2 == 0, 1.0, -1.0)
    rows = np.hstack([0.05 * side[:, None], rng.normal(size=(200, 5))]).astype(np.float32)
    target = (side[:, None] > 0).astype(float)
    asked = Problem(target=target, offset=np.zeros((200, 1)), loss="logistic")
    wide = widen(rows, labels)
    assert wide.shape == (6, 8)
    assert wide[:, :6].tolist() == np.eye(6).tolist()
    plain = asked.losses(move(rows, fit(rows, asked, 10, 10))).mean()
    assert asked.losses(move(rows @ wide, fit(rows @ wide, asked, 10, 10))).mean() < 0.8 * plain


def test_rows_without_labels_are_not_widened() -> None:
    assert widen(np.ones((4, 2), np.float32), [""] * 4).shape == (2, 2)
