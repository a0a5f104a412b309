from pathlib import Path

import numpy as np
import pytest

from router import Router
from router.classify.encoder import OnnxEncoder
from training.classifier.engine import FitJob, LocalEngine
from training.classifier.features import featurize
from training.classifier.fit import fit_classifier
from training.classifier.linear import make_design
from training.cluster.engine import RayEngine


def test_a_cluster_gives_the_vectors_of_this_machine_in_the_same_order(engine: RayEngine, encoder, prompts) -> None:
    texts = prompts[0][:70]
    here = np.stack(list(LocalEngine().encode(texts, encoder)))
    assert np.array_equal(np.stack(list(engine.encode(texts, encoder))), here)
    assert list(engine.encode([], encoder)) == []


def test_the_blocks_of_an_actor_that_dies_are_encoded_again(engine: RayEngine, encoder, prompts, kill_one) -> None:
    texts = prompts[0][:200]
    vectors = iter(engine.encode(texts, encoder))
    found = [next(vectors)]
    kill_one("EncodingActor")
    found += vectors
    assert np.array_equal(np.stack(found), np.stack(list(LocalEngine().encode(texts, encoder))))


def test_vectors_that_are_kept_are_not_sent_to_the_cluster(counting_encoder, tmp_path: Path) -> None:
    sent: list[list[str]] = []

    def encode(texts, encoder):
        sent.append(texts)
        return encoder.encode(texts)

    first = featurize(["one", "two"], counting_encoder, encode=encode, cache=tmp_path).embedding
    second = featurize(["two", "three", "one"], counting_encoder, encode=encode, cache=tmp_path).embedding
    assert sent == [["one", "two"], ["three"]]
    assert np.array_equal(first, second[[2, 0]])


def test_fits_do_not_depend_on_the_number_of_shards_nor_on_an_actor_that_dies(
    engine: RayEngine, features, targets, kill_one
) -> None:
    designs = {"embedding": make_design(features, "embedding")}
    rows = np.flatnonzero(np.arange(len(targets)) % 5 > 0)
    jobs = [
        FitJob(part="embedding", rows=rows, cs=(0.1,)),
        FitJob(part="embedding", rows=np.arange(len(targets)), cs=(0.1, 1.0)),
    ]
    n_labels = int(targets.max()) + 1
    alone = [fit for path in RayEngine(1).load(designs, targets, n_labels)(jobs) for fit in path]
    paths = iter(engine.load(designs, targets, n_labels)(jobs))
    both = [*next(paths)]
    kill_one("Shard")
    both += next(paths)
    assert [fit.weights.tobytes() for fit in both] == [fit.weights.tobytes() for fit in alone]
    assert [fit.bias.tobytes() for fit in both] == [fit.bias.tobytes() for fit in alone]


def test_cross_validation_chooses_the_same_strengths_on_a_cluster(engine: RayEngine, small, encoder_folder: Path) -> None:
    texts, tasks = [row["prompt"] for row in small.prompts], [row["task"] for row in small.prompts]
    features = featurize(texts, OnnxEncoder.load(encoder_folder))
    groups = [str(i) for i in range(len(texts))]
    there, here = (fit_classifier(features, tasks, groups, engine=used, jobs=1) for used in (engine, None))
    assert there.cs == here.cs
    assert there.labels == here.labels
    assert np.abs(there.probabilities - here.probabilities).max() < 0.01


def test_a_folder_that_a_cluster_trained_routes_like_one_of_this_machine(
    engine: RayEngine, tmp_path: Path, trained, small, train_small
) -> None:
    train_small(tmp_path / "model", engine=engine)
    there, here = Router.load(tmp_path / "model"), Router.load(trained[0])
    texts = [row["prompt"] for row in (*small.prompts, *small.others)]
    assert [there.route(text).model for text in texts] == [here.route(text).model for text in texts]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--address", "127.0.0.1:1"), "add --engine ray"),
        (("--address", "127.0.0.1:1", "--engine", "ray"), "must be HOST:PORT of a running Ray cluster, got '127.0.0.1:1'"),
        (("--address", "somewhere", "--engine", "ray"), "must be HOST:PORT of a running Ray cluster, got 'somewhere'"),
    ],
)
def test_an_address_without_a_cluster_is_an_error(run_command, small_files, tmp_path: Path, options, message) -> None:
    given = ("train", "--prompts", small_files[0], "--benchmark", small_files[1], "--out", tmp_path / "model")
    code, _, errors = run_command(*given, *options)
    assert code == 2
    assert message in errors
