import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest

from router import EncoderError
from router.encoder import MODEL_FILE, RECORD_FILE, TOKENIZER_FILE, OnnxEncoder

TEXTS = ["hello", "def f(x): return x + 1", "為什麼天空是藍的？", "", "\ud800\0", "word " * 500]


@pytest.fixture(scope="module")
def encoder(model_folder: Path) -> OnnxEncoder:
    return OnnxEncoder.load(model_folder / "encoder")


def changed(encoder: OnnxEncoder, folder: Path, **changes: object) -> OnnxEncoder:
    record = msgspec.structs.replace(encoder.record, **changes)
    model, tokenizer = ((folder / "encoder" / name).read_bytes() for name in (MODEL_FILE, TOKENIZER_FILE))
    return OnnxEncoder(record, model=model, tokenizer=tokenizer)


def test_rows_are_finite_float32_of_length_one(encoder: OnnxEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), encoder.dim), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


def test_no_texts_give_no_rows(encoder: OnnxEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_text_alone_gives_the_same_vector_as_in_a_list(encoder: OnnxEncoder) -> None:
    assert all(
        np.array_equal(encoder.encode([text])[0], row) for text, row in zip(TEXTS, encoder.encode(TEXTS), strict=True)
    )


def test_eight_threads_give_the_vectors_of_one(encoder: OnnxEncoder) -> None:
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda text: encoder.encode([text])[0], TEXTS * 8))
    assert np.array_equal(np.stack(rows), np.tile(encoder.encode(TEXTS), (8, 1)))


def test_like_means_near(encoder: OnnxEncoder) -> None:
    asked, same, other = encoder.encode(["translate this into French", "put this into French", "integrate x squared"])
    assert float(asked @ same) > float(asked @ other)


def test_a_long_text_keeps_head_and_tail_within_max_tokens(encoder: OnnxEncoder) -> None:
    record = encoder.record
    start, finish = (encoder.tokenize(word)[len(record.special_before)] for word in ("start", "finish"))
    ids = encoder.tokenize("start " * 100 + "middle " * 200 + "finish " * 100)
    room = record.max_tokens - len(record.special_before) - len(record.special_after)
    kept = [start] * (room - room // 2) + [finish] * (room // 2)
    assert ids == [*record.special_before, *kept, *record.special_after]


def test_a_short_text_is_not_padded(encoder: OnnxEncoder) -> None:
    assert len(encoder.tokenize("start")) == 1 + len(encoder.record.special_before + encoder.record.special_after)


def test_a_prefix_stands_before_every_text(encoder: OnnxEncoder, model_folder: Path) -> None:
    prefixed = changed(encoder, model_folder, prefix="query: ")
    assert np.array_equal(prefixed.encode(["hello"]), encoder.encode(["query: hello"]))


def test_cls_pooling_takes_the_first_token(encoder: OnnxEncoder, model_folder: Path) -> None:
    first = changed(encoder, model_folder, pooling="cls").encode(["hello", "good bye"])
    assert np.linalg.norm(first, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert not np.allclose(first, encoder.encode(["hello", "good bye"]), atol=0.01)


def test_it_pickles_and_gives_the_same_vectors_under_the_same_hash(encoder: OnnxEncoder) -> None:
    copy = pickle.loads(pickle.dumps(encoder))  # noqa: S301 - made on this line
    assert np.array_equal(copy.encode(TEXTS), encoder.encode(TEXTS))
    assert (copy.sha256, copy.name, copy.dim) == (encoder.sha256, encoder.name, encoder.dim)


def test_another_record_is_another_hash(encoder: OnnxEncoder, model_folder: Path) -> None:
    assert changed(encoder, model_folder, prefix="query: ").sha256 != encoder.sha256


def test_a_missing_folder_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="is no encoder folder"):
        OnnxEncoder.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        (MODEL_FILE, b"no graph", "refuses the encoder's graph"),
        (MODEL_FILE, b"", "refuses the encoder's graph"),
        (TOKENIZER_FILE, b"{}", "tokenizer.json cannot be read"),
        (RECORD_FILE, b'{"name": "x"}', "is no encoder folder"),
        (RECORD_FILE, b"[", "is no encoder folder"),
    ],
)
def test_bytes_that_are_not_what_the_name_says_are_refused(
    model_folder: Path, tmp_path: Path, name: str, content: bytes, rule: str
) -> None:
    shutil.copytree(model_folder / "encoder", tmp_path / "encoder")
    (tmp_path / "encoder" / name).write_bytes(content)
    with pytest.raises(EncoderError, match=rule):
        OnnxEncoder.load(tmp_path / "encoder")
