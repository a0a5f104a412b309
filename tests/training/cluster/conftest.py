"""One Ray cluster of two processors, and some thousand real prompts, for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from router.classify.encoder import OnnxEncoder
from training.classifier.features import FeatureBlocks, featurize
from training.classifier.known_vectors import read_vectors
from training.data.prompts import read_prompts

ray = pytest.importorskip("ray", reason="needs the extra 'ray'")

from training.cluster.engine import RayEngine, open_ray  # noqa: E402 - after the check that Ray is here

N = 2100


@pytest.fixture(scope="package")
def encoder(encoder_folder: Path) -> OnnxEncoder:
    return OnnxEncoder.load(encoder_folder)


@pytest.fixture(scope="package")
def prompts(root: Path) -> tuple[list[str], list[str]]:
    """Real prompts of all tasks and their tasks, drawn with seed 0."""
    rows = read_prompts(root / "data" / "prompts.csv").rows
    drawn = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:N]]
    return [row.prompt for row in drawn], [row.task for row in drawn]


@pytest.fixture(scope="package")
def features(prompts: tuple[list[str], list[str]], encoder: OnnxEncoder, model_folder: Path) -> FeatureBlocks:
    return featurize(prompts[0], encoder, known=read_vectors(model_folder))


@pytest.fixture(scope="package")
def targets(prompts: tuple[list[str], list[str]]) -> np.ndarray:
    return np.unique(prompts[1], return_inverse=True)[1]


@pytest.fixture(scope="package")
def engine() -> Iterator[RayEngine]:
    ray.init("local", num_cpus=2, object_store_memory=200 * 2**20, include_dashboard=False, log_to_driver=False)
    try:
        with open_ray(workers=2) as opened:
            yield opened
    finally:
        ray.shutdown()
