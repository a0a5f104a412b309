import numpy as np
import pytest
from scipy import sparse

from router.classify.features import BUCKETS, SURFACE
from router.classify.heads import Features
from training.classifier.features import FeatureBlocks, lexical_matrix
from training.classifier.linear import head_logits
from training.quality.design import make_design, make_widening
from training.quality.multitask import Regression, fit_weights, predict_shifts

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


def test_unfolded_heads_have_the_outputs_of_the_weights() -> None:
    features = blocks()
    design = make_design(features, seed=0)
    weights = np.random.default_rng(2).normal(size=(design.rows.shape[1], 3))
    outputs = head_logits(design.unfold(weights), features)
    assert outputs == pytest.approx(design.rows @ weights, abs=1e-3)


def test_unfolded_heads_give_the_runtime_the_same_outputs() -> None:
    features = blocks()
    heads = make_design(features, seed=0).unfold(np.random.default_rng(2).normal(size=(6 + 80 + len(SURFACE) + 1, 2)))
    for i in (0, 7):
        one = Features.of(TEXTS[i], features.embedding[i])
        alone = FeatureBlocks(embedding=one.vector[None], lexical=lexical_matrix([TEXTS[i]]), surface=one.surface[None])
        assert heads.apply(one) == pytest.approx(head_logits(heads, alone)[0], abs=1e-4)


def test_there_are_at_most_as_many_directions_as_prompts() -> None:
    features = FeatureBlocks(
        embedding=np.ones((3, 2), np.float32),
        lexical=sparse.csr_matrix((3, BUCKETS), dtype=np.float32),
        surface=np.zeros((3, len(SURFACE)), np.float32),
    )
    design = make_design(features, seed=0)
    assert design.directions.shape == (BUCKETS, 3)
    assert np.isfinite(design.rows).all()


def test_widened_rows_fit_differences_between_labels_better() -> None:
    rng = np.random.default_rng(3)
    labels = ["math", "qa"] * 100
    side = np.where(np.arange(200) % 2 == 0, 1.0, -1.0)
    rows = np.hstack([0.05 * side[:, None], rng.normal(size=(200, 5))]).astype(np.float32)
    target = (side[:, None] > 0).astype(float)
    problem = Regression(target=target, offset=np.zeros((200, 1)), loss="logistic")
    wide = make_widening(rows, labels)
    assert wide.shape == (6, 8)
    assert wide[:, :6].tolist() == np.eye(6).tolist()
    plain = problem.losses(predict_shifts(rows, fit_weights(rows, problem, 10, 10))).mean()
    assert problem.losses(predict_shifts(rows @ wide, fit_weights(rows @ wide, problem, 10, 10))).mean() < 0.8 * plain


def test_rows_without_labels_are_not_widened() -> None:
    assert make_widening(np.ones((4, 2), np.float32), [""] * 4).shape == (2, 2)
