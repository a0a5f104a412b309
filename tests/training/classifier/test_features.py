from pathlib import Path

import numpy as np
import pytest

from router.classify.encoder import OnnxEncoder
from training.classifier.features import FeatureBlocks, default_cache, featurize


def test_a_cached_embedding_equals_a_fresh_one_and_is_not_computed_again(counting_encoder, tmp_path: Path) -> None:
    fresh = featurize(["one", "two", "one"], counting_encoder).embedding
    assert counting_encoder.encoded == 2  # the second "one" is not encoded again
    first = featurize(["one", "two", "one"], counting_encoder, cache=tmp_path).embedding
    assert counting_encoder.encoded == 4
    second = featurize(["one", "two", "one"], counting_encoder, cache=tmp_path).embedding
    assert counting_encoder.encoded == 4
    assert np.array_equal(fresh, first)
    assert np.array_equal(fresh, second)
    counting_encoder.sha256 = "1" * 64  # another encoder does not get these vectors
    featurize(["one"], counting_encoder, cache=tmp_path)
    assert counting_encoder.encoded == 5


def test_the_cache_is_private_to_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "contextual-llm-router"
    assert default_cache().stat().st_mode & 0o777 == 0o700


def test_features_can_be_taken_apart_and_joined_again(features: FeatureBlocks) -> None:
    n = len(features.embedding)
    joined = features.take(np.arange(10)).concat(features.take(np.arange(10, n)))
    assert np.array_equal(joined.embedding, features.embedding)
    assert (joined.lexical != features.lexical).nnz == 0
    assert np.array_equal(joined.surface, features.surface)


def test_no_texts_have_empty_features(encoder: OnnxEncoder, features: FeatureBlocks) -> None:
    empty = featurize([], encoder)
    assert empty.embedding.shape == (0, encoder.dim)
    assert empty.lexical.shape == (0, features.lexical.shape[1])
    assert empty.surface.shape == (0, features.surface.shape[1])
