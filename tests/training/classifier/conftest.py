"""The small prompts of the training tests as texts, targets and features."""

from pathlib import Path

import numpy as np
import pytest

from router.classify.encoder import OnnxEncoder
from training.classifier.features import FeatureBlocks, featurize

TASKS = ("coding", "math", "translation")


@pytest.fixture(scope="module")
def texts(small) -> list[str]:
    return [row["prompt"] for row in small.prompts]


@pytest.fixture(scope="module")
def tasks(small) -> list[str]:
    return [row["task"] for row in small.prompts]


@pytest.fixture(scope="module")
def targets(tasks: list[str]) -> np.ndarray:
    return np.array([TASKS.index(task) for task in tasks])


@pytest.fixture(scope="module")
def encoder(encoder_folder: Path) -> OnnxEncoder:
    return OnnxEncoder.load(encoder_folder)


@pytest.fixture(scope="session")
def features(small, encoder_folder: Path) -> FeatureBlocks:
    return featurize([row["prompt"] for row in small.prompts], OnnxEncoder.load(encoder_folder))
