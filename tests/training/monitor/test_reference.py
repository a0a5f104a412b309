from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from router.errors import ModelFolderError
from router.model_folder.load import load_model_folder
from router.model_folder.manifest import REFERENCE
from tests.training.monitor.samples import TASKS, traffic
from training.data.table import DatasetError
from training.monitor.reference import from_arrays, load_reference, make_reference, to_arrays


def test_a_reference_is_restored_from_its_arrays_and_has_at_most_256_embeddings() -> None:
    reference = make_reference(traffic(400, seed=1), seed=0)
    again = from_arrays(to_arrays(reference), TASKS)
    assert len(again.embeddings) == 256
    assert (again.counts == reference.counts).all()
    assert (again.n_unsure, again.n_classified) == (reference.n_unsure, 400)
    assert again.embeddings == pytest.approx(reference.embeddings, abs=1e-3)


@pytest.mark.parametrize("change", [{"counts": np.zeros(3, np.int64)}, {"more": np.zeros(1)}, {"unsure": np.zeros(2)}])
def test_arrays_that_are_no_reference_are_refused(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(ModelFolderError, match="train the model folder again"):
        from_arrays(to_arrays(make_reference(traffic(40, seed=1), seed=0)) | change, TASKS)


def test_follow_ups_are_not_in_the_reference() -> None:
    follow_ups = replace(traffic(100, seed=1), continues=np.where(np.arange(100) < 30, 0.9, 0.1))
    assert make_reference(follow_ups, seed=0).n_classified == 70


def test_a_reference_counts_unsure_prompts() -> None:
    mixed = replace(traffic(10, seed=1), probabilities=np.array([[0.55, 0.45]] * 3 + [[0.9, 0.1]] * 7))
    reference = make_reference(mixed, seed=0)
    assert (reference.n_unsure, reference.n_classified, reference.counts.tolist()) == (3, 10, [10, 0])


def test_the_shipped_folder_keeps_a_reference(model_folder: Path) -> None:
    loaded = load_model_folder(model_folder)
    reference = load_reference(loaded)
    assert reference.n_classified == loaded.manifest.metrics["n"]


def test_a_folder_without_a_reference_names_the_option_to_set(model_folder: Path) -> None:
    loaded = load_model_folder(model_folder)
    files = [entry for entry in loaded.manifest.files if entry.path != REFERENCE]
    bare = replace(loaded, manifest=msgspec.structs.replace(loaded.manifest, files=files))
    with pytest.raises(DatasetError, match="name the training prompts with --reference"):
        load_reference(bare)


def test_a_reference_that_changed_since_loading_is_refused(model_folder: Path, tmp_path: Path) -> None:
    loaded = replace(load_model_folder(model_folder), folder=tmp_path)
    with pytest.raises(ModelFolderError, match="cannot be read"):
        load_reference(loaded)
    (tmp_path / REFERENCE).write_bytes(b"damaged")
    with pytest.raises(ModelFolderError, match=r"must have the manifest's hash .*; train the model folder again"):
        load_reference(loaded)
