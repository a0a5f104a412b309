import itertools

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from router.classify.classifier import softmax
from training.classifier.engine import FitJob
from training.classifier.features import FeatureBlocks
from training.classifier.linear import CS, PARTS, Part, make_design, weigh_rare
from training.cluster.optimum import Sums, fit_sums
from training.cluster.shard import BLOCK_ROWS, Shard


def cut(part: Part, matrix: object, targets: np.ndarray, *, shards: int) -> Sums:
    """Return the sums of shards in this process, which are as even as blocks allow."""
    blocks = -(-len(targets) // BLOCK_ROWS)
    cuts = [*(blocks * shard // shards * BLOCK_ROWS for shard in range(shards)), len(targets)]
    made = [Shard({part: matrix[start:end]}, targets[start:end], start) for start, end in itertools.pairwise(cuts)]

    def sums(problem, point, direction=None):
        if direction is None:
            return sum(shard.evaluate(problem, point) for shard in reversed(made))
        return sum(shard.multiply(problem, point, direction) for shard in made)

    return sums


@pytest.mark.parametrize("part", PARTS)
def test_the_optimum_is_that_of_scikit_learn_for_the_weakest_and_the_strongest_regularisation(
    features: FeatureBlocks, targets: np.ndarray, part: Part
) -> None:
    design, n_labels = make_design(features, part), int(targets.max()) + 1
    job = FitJob(part=part, rows=np.arange(len(targets)), cs=(CS[part][0], CS[part][-1]))
    columns = design.matrix.shape[1]
    path = fit_sums(cut(part, design.matrix, targets, shards=2), 0, job, targets, n_labels, columns=columns)
    # In double precision and up to a small gradient, because its usual tolerance stops far from the optimum.
    model = LogisticRegression(solver="newton-cg", tol=1e-8, max_iter=1000, warm_start=True)
    exact = design.matrix.astype(np.float64)
    for c, fit in zip(job.cs, path, strict=True):
        model.set_params(C=c).fit(exact, targets, sample_weight=weigh_rare(targets))
        assert np.abs(softmax(fit.logits(design.matrix)) - model.predict_proba(exact)).max() < 1e-5


@pytest.mark.parametrize("labels", [(0, 2), (1, 3, 4)])
def test_labels_that_do_not_occur_and_two_labels_are_as_in_scikit_learn(labels: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    targets, matrix = np.array(labels)[rng.integers(len(labels), size=300)], rng.normal(size=(300, 5)).astype(np.float32)
    rows = np.arange(0, 300, 2)
    job = FitJob(part="embedding", rows=rows, cs=(1.0,))
    (fit,) = fit_sums(cut("embedding", matrix, targets, shards=1), 0, job, targets, 5, columns=5)
    model = LogisticRegression(tol=1e-10).fit(
        matrix[rows].astype(np.float64), targets[rows], sample_weight=weigh_rare(targets[rows])
    )
    found = softmax(fit.logits(matrix))
    assert found[:, labels] == pytest.approx(model.predict_proba(matrix.astype(np.float64)), abs=1e-5)
    assert np.delete(found, labels, axis=1).max() < 1e-9
    (alone,) = fit_sums(
        cut("embedding", matrix, targets, shards=1),
        1,
        FitJob(part="embedding", rows=np.flatnonzero(targets == labels[0]), cs=(1.0,)),
        targets,
        5,
        columns=5,
    )
    assert softmax(alone.logits(matrix))[:, labels[0]].min() > 1 - 1e-9


@pytest.mark.parametrize("sparse_rows", [True, False])
def test_sums_are_the_same_bits_however_the_blocks_are_cut(sparse_rows: bool) -> None:
    rng = np.random.default_rng(0)
    n = 5 * BLOCK_ROWS + 17
    matrix = rng.normal(size=(n, 7)).astype(np.float32)
    targets, rows = rng.integers(3, size=n), np.flatnonzero(rng.random(n) < 0.7)
    given = sparse.csr_matrix(matrix) if sparse_rows else matrix
    job = FitJob(part="words", rows=rows, cs=(0.01, 1.0))
    paths = [fit_sums(cut("words", given, targets, shards=k), 0, job, targets, 3, columns=7) for k in (1, 2, 5)]
    first, *others = [[(fit.weights.tobytes(), fit.bias.tobytes()) for fit in path] for path in paths]
    assert all(other == first for other in others)


def test_a_shard_that_has_forgotten_its_last_step_gives_the_same_product() -> None:
    rng = np.random.default_rng(0)
    matrix, targets = rng.normal(size=(50, 4)).astype(np.float32), rng.integers(3, size=50)
    asked = []

    def record(problem, point, direction=None):
        asked.append((problem, point, direction))
        return sums(problem, point, direction)

    sums = cut("embedding", matrix, targets, shards=1)
    fit_sums(record, 0, FitJob(part="embedding", rows=np.arange(50), cs=(1.0,)), targets, 3, columns=4)
    products = [given for given in asked if given[2] is not None]
    for given in products:
        assert np.array_equal(cut("embedding", matrix, targets, shards=1)(*given), sums(*given))
