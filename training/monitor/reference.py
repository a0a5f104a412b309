"""The prompts of a training run in, the small sample that later prompts are compared with out. A model folder keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from router.classify.classifier import CONTINUES
from router.errors import ModelFolderError
from router.model_folder.load import ModelFolder
from router.model_folder.manifest import REFERENCE
from training.classifier.features import FeatureBlocks
from training.classifier.fit import FittedClassifier
from training.data.table import DatasetError
from training.monitor.traffic import Traffic, draw_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In half precision this is 256 × 384 × 2 bytes = 197 kB in the model folder.
_REFERENCE_PROMPTS = 256
# Guards the division by an embedding's length against 0.
_SHORTEST = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The prompts that later ones are compared with, as counts and a sample of embeddings.

    Attributes:
        tasks: The tasks.
        counts: Number of prompts of each most likely task, shape (tasks,).
        n_unsure: Number of prompts on which the classifier was unsure.
        n_classified: Number of prompts behind `n_unsure`.
        embeddings: Embeddings of a random sample, shape (k, dim), each of length one.
    """

    tasks: tuple[str, ...]
    counts: NDArray[np.int64]
    n_unsure: int
    n_classified: int
    embeddings: NDArray[np.float32]


def make_reference(traffic: Traffic, *, seed: int) -> Reference:
    """Return the task counts, the number of unsure prompts and the embeddings of at most 256 random prompts.

    Args:
        traffic: Prompts that neither the classifier nor the encoder was trained on. Held-out probabilities are fine, too.
        seed: Seed of the random choice.
    """
    traffic = traffic.take(traffic.rows_with_task())
    return Reference(
        tasks=traffic.tasks,
        counts=traffic.count_tasks(),
        n_unsure=int(traffic.unsure().sum()),
        n_classified=len(traffic),
        embeddings=traffic.embeddings[draw_rows(len(traffic), _REFERENCE_PROMPTS, seed=seed)],
    )


def make_held_out_reference(fitted: FittedClassifier, features: FeatureBlocks, *, seed: int) -> Reference:
    """Return the reference of the prompts that training held out, from their held-out probabilities.

    Args:
        fitted: The classifier.
        features: Features of all prompts that it was fitted on.
        seed: Seed of the random choice.
    """
    traffic = Traffic(
        tasks=fitted.tasks,
        threshold=fitted.threshold,
        embeddings=features.embedding[fitted.held_out],
        probabilities=fitted.probabilities,
        continues=np.zeros(len(fitted.held_out)),  # every held-out prompt has a task of its own
    )
    return make_reference(traffic, seed=seed)


def to_arrays(reference: Reference) -> dict[str, NDArray[Any]]:
    """Return a reference as the arrays of `reference.safetensors`. Embeddings are stored in half precision."""
    return {
        "counts": reference.counts.astype(np.int64),
        "embeddings": reference.embeddings.astype(np.float16),
        "unsure": np.array([reference.n_unsure, reference.n_classified], np.int64),
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]], tasks: Sequence[str]) -> Reference:
    """Return the reference that `to_arrays` stored.

    Args:
        arrays: The arrays by name.
        tasks: The tasks, in the classifier's order.

    Raises:
        ModelFolderError: If names, types or shapes of the arrays are wrong.
    """
    expected = {"counts": ("int64", 1), "embeddings": ("float16", 2), "unsure": ("int64", 1)}
    found = {name: (str(array.dtype), array.ndim) for name, array in arrays.items()}
    if found != expected or len(arrays["counts"]) != len(tasks) or len(arrays["unsure"]) != 2:  # noqa: PLR2004
        raise ModelFolderError(
            f"{REFERENCE} must have {expected} for {len(tasks)} tasks, got {found}; train the model folder again"
        )
    n_unsure, n_classified = arrays["unsure"].tolist()
    embeddings = arrays["embeddings"].astype(np.float32)
    # Half precision rounds the embeddings, so their length is no longer exactly one.
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return Reference(
        tasks=tuple(tasks),
        counts=arrays["counts"],
        n_unsure=n_unsure,
        n_classified=n_classified,
        embeddings=embeddings / np.maximum(lengths, _SHORTEST),
    )


def load_reference(model_folder: ModelFolder) -> Reference:
    """Return the reference that a model folder keeps of its training prompts.

    Raises:
        DatasetError: If the model folder keeps no reference.
        ModelFolderError: If the file is missing, damaged or changed.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    entry = next((entry for entry in model_folder.manifest.files if entry.path == REFERENCE), None)
    if entry is None:
        raise DatasetError(f"{model_folder.folder} has no {REFERENCE}; name the training prompts with --reference")
    try:
        content = (model_folder.folder / REFERENCE).read_bytes()
        # The folder was verified when it was loaded, but the file may have changed since then.
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry.sha256:
            raise ModelFolderError(
                f"{REFERENCE} must have the manifest's hash {entry.sha256}, got {digest}; train the model folder again"
            )
        arrays = load(content)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelFolderError(f"{REFERENCE} cannot be read: {error}; train the model folder again") from error
    return from_arrays(arrays, [label for label in model_folder.manifest.labels if label != CONTINUES])
