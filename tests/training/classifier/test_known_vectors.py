from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from router.errors import ModelFolderError
from tests.training.conftest import CountingEncoder
from training.classifier.features import featurize
from training.classifier.known_vectors import KnownVectors, read_vectors, round_vectors

ROWS = st.lists(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3), min_size=1, max_size=5)


@given(rows=ROWS)
def test_rounding_changes_little_and_twice_is_once(rows: list[list[float]]) -> None:
    vectors = np.array(rows, np.float32)
    rounded = round_vectors(vectors)
    # A level is worth at most a 64th of the largest number, and rounding moves by half a level.
    assert (np.abs(rounded - vectors) <= np.abs(vectors).max(axis=1, keepdims=True) / 127 + 1e-12).all()
    assert np.array_equal(round_vectors(rounded), rounded)


@given(rows=ROWS)
def test_kept_vectors_are_the_rounded_ones(rows: list[list[float]]) -> None:
    vectors, texts = round_vectors(np.array(rows, np.float32)), [f"text {i}" for i in range(len(rows))]
    known, found = KnownVectors.of("00" * 32, texts, vectors).find([*texts[::-1], "another"])
    assert known.tolist() == [True] * len(texts) + [False]
    assert np.array_equal(found, vectors[::-1])


def test_known_texts_are_not_encoded_again_and_the_features_are_the_same(
    counting_encoder: CountingEncoder, tmp_path: Path
) -> None:
    texts = ["one", "two", "three", "two"]
    first = featurize(texts, counting_encoder).embedding  # type: ignore[arg-type]
    save_file(KnownVectors.of(counting_encoder.sha256, texts, first).to_arrays(), tmp_path / "vectors.safetensors")
    (tmp_path / "manifest.json").touch()
    known = read_vectors(tmp_path)
    counting_encoder.encoded = 0
    again = featurize(["four", *texts], counting_encoder, known=known).embedding  # type: ignore[arg-type]
    assert counting_encoder.encoded == 1
    assert np.array_equal(again[1:], first)
    # Vectors of another encoder are of no use.
    counting_encoder.sha256 = "1" * 64
    featurize(texts, counting_encoder, known=known)  # type: ignore[arg-type]
    assert counting_encoder.encoded == 1 + len(set(texts))


def test_a_missing_file_means_none_and_a_damaged_one_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "vectors.safetensors"
    assert read_vectors(tmp_path) is None
    file.write_bytes(b"damaged")
    # Without a manifest it is no model folder, and the file is somebody else's.
    assert read_vectors(tmp_path) is None
    (tmp_path / "manifest.json").touch()
    assert read_vectors(tmp_path / "none") is None
    with pytest.raises(ModelFolderError, match=r"cannot be read: .*; remove it, then training encodes all prompts"):
        read_vectors(tmp_path)
    save_file({"keys": np.zeros(1)}, file)
    with pytest.raises(ModelFolderError, match="remove it"):
        read_vectors(tmp_path)
