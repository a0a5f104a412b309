import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save
from tokenizers import Tokenizer

from router import EncoderError
from router.classify.draft import EDGE, WIDTH
from router.classify.encoder import OnnxEncoder
from router.classify.encoder_record import DRAFT_FILE, MODEL_FILE, RECORD_FILE, TOKENIZER_FILE, DistillationRecord
from router.classify.text import cut

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


def test_an_empty_list_gives_no_rows(encoder: OnnxEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_text_alone_gives_the_same_vector_as_in_a_list(encoder: OnnxEncoder) -> None:
    assert all(
        np.array_equal(encoder.encode([text])[0], row) for text, row in zip(TEXTS, encoder.encode(TEXTS), strict=True)
    )


def test_eight_threads_give_the_vectors_of_one(encoder: OnnxEncoder) -> None:
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda text: encoder.encode([text])[0], TEXTS * 8))
    assert np.array_equal(np.stack(rows), np.tile(encoder.encode(TEXTS), (8, 1)))


def test_similar_texts_have_similar_vectors(encoder: OnnxEncoder) -> None:
    request, same, other = encoder.encode(["translate this into French", "put this into French", "integrate x squared"])
    assert float(request @ same) > float(request @ other)


def test_a_long_text_keeps_head_and_tail_within_max_tokens(encoder: OnnxEncoder) -> None:
    record = encoder.record
    start, finish = (encoder.tokenize(word)[len(record.special_before)] for word in ("start", "finish"))
    ids = encoder.tokenize(("start " * 200 + "middle " * 400 + "finish " * 200).strip())
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


def test_a_pickled_copy_gives_the_same_vectors_under_the_same_hash(encoder: OnnxEncoder) -> None:
    copy = pickle.loads(pickle.dumps(encoder))  # noqa: S301 - made on this line
    assert np.array_equal(copy.encode(TEXTS), encoder.encode(TEXTS))
    assert (copy.sha256, copy.name, copy.dim) == (encoder.sha256, encoder.name, encoder.dim)


def test_another_record_gives_another_hash(encoder: OnnxEncoder, model_folder: Path) -> None:
    assert changed(encoder, model_folder, prefix="query: ").sha256 != encoder.sha256


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="is not an encoder folder"):
        OnnxEncoder.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        (MODEL_FILE, b"no graph", "refuses the encoder's graph"),
        (MODEL_FILE, b"", "refuses the encoder's graph"),
        (TOKENIZER_FILE, b"{}", "tokenizer.json cannot be read"),
        (RECORD_FILE, b'{"name": "x"}', "is not an encoder folder"),
        (RECORD_FILE, b"[", "is not an encoder folder"),
    ],
)
def test_files_with_wrong_content_are_refused(
    model_folder: Path, tmp_path: Path, name: str, content: bytes, rule: str
) -> None:
    shutil.copytree(model_folder / "encoder", tmp_path / "encoder")
    (tmp_path / "encoder" / name).write_bytes(content)
    with pytest.raises(EncoderError, match=rule):
        OnnxEncoder.load(tmp_path / "encoder")


def load_lazily(encoder: OnnxEncoder, folder: Path, **given: object) -> OnnxEncoder:
    model, tokenizer = ((folder / "encoder" / name).read_bytes() for name in (MODEL_FILE, TOKENIZER_FILE))
    return OnnxEncoder(encoder.record, **({"model": model, "tokenizer": tokenizer} | given))  # type: ignore[arg-type]


def test_the_graph_is_opened_and_verified_once_by_the_first_text(encoder: OnnxEncoder, model_folder: Path) -> None:
    verified: list[OnnxEncoder] = []
    lazy = load_lazily(encoder, model_folder, verify=verified.append)
    assert lazy.pieces("hello")
    assert verified == []
    with ThreadPoolExecutor(8) as pool:
        vectors = list(pool.map(lambda _: lazy.encode(["hello"])[0], range(16)))
    assert verified == [lazy]
    assert all(np.array_equal(vector, encoder.encode(["hello"])[0]) for vector in vectors)


def test_a_graph_that_cannot_be_opened_raises_the_same_error_each_time(encoder: OnnxEncoder, model_folder: Path) -> None:
    lazy = load_lazily(encoder, model_folder, model=b"no graph")
    for _ in range(2):
        with pytest.raises(EncoderError, match="refuses the encoder's graph"):
            lazy.encode(["hello"])


def test_an_encoder_that_fails_verification_encodes_nothing(encoder: OnnxEncoder, model_folder: Path) -> None:
    def refuse(_: OnnxEncoder) -> None:
        raise EncoderError("other vectors")

    lazy = load_lazily(encoder, model_folder, verify=refuse)
    for _ in range(2):
        with pytest.raises(EncoderError, match="other vectors"):
            lazy.encode(["hello"])


def test_without_onnx_runtime_the_error_names_it(
    encoder: OnnxEncoder, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EncoderError, match="ONNX Runtime cannot be imported"):
        load_lazily(encoder, model_folder).open()


def draft_arrays(pieces: int) -> dict[str, np.ndarray]:
    shapes = {"scales": (pieces,), "edges": (2, EDGE, 2), "kernel": (WIDTH, 2, 3), "bias": (3,)}
    whole = {"rows": np.zeros(pieces, np.int32), "tokens": np.ones((pieces, 2), np.int8)}
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()} | whole


def test_a_draft_beside_the_graph_does_not_change_the_hash(encoder: OnnxEncoder, model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder / "encoder", tmp_path / "encoder")
    distillation = DistillationRecord(
        teacher_sha256="0" * 64, texts=2, made=1, files={"a.csv": {"ours": "CC0-1.0"}}, epochs=1, seed=0, seen=""
    )
    record = msgspec.structs.replace(encoder.record, draft=distillation)
    (tmp_path / "encoder" / RECORD_FILE).write_bytes(msgspec.json.encode(record))
    (tmp_path / "encoder" / DRAFT_FILE).unlink(missing_ok=True)
    with pytest.raises(EncoderError, match="is not an encoder folder"):
        OnnxEncoder.load(tmp_path / "encoder")
    (tmp_path / "encoder" / DRAFT_FILE).write_bytes(b"no arrays")
    with pytest.raises(EncoderError, match="cannot be read"):
        OnnxEncoder.load(tmp_path / "encoder")
    (tmp_path / "encoder" / DRAFT_FILE).write_bytes(save(draft_arrays(encoder.vocabulary_size + 9)))
    drafted = OnnxEncoder.load(tmp_path / "encoder")
    with pytest.raises(EncoderError, match=f"must have all {encoder.vocabulary_size} pieces of the tokenizer, got 7"):
        load_lazily(encoder, model_folder, draft=draft_arrays(7))
    assert drafted.sha256 == encoder.sha256
    assert drafted.draft is not None
    np.testing.assert_array_equal(drafted.encode(["hello"]), encoder.encode(["hello"]))
    again = pickle.loads(pickle.dumps(drafted))  # noqa: S301
    np.testing.assert_array_equal(again.draft.encode(["hello"]), drafted.draft.encode(["hello"]))


@pytest.mark.parametrize(
    "text",
    [
        "word " * 300,
        "x" * 399 + " " + "y " * 600,
        "a, b; " * 400,
        "字" * 1200,
        "字 " * 800,
        ("long " * 80 + "x" * 1500 + " short") * 2,
        "q" * 3000,
        " " * 2000 + "end",
    ],
)
def test_the_pieces_of_head_and_tail_are_those_of_the_whole(encoder: OnnxEncoder, text: str) -> None:
    tokenizer = Tokenizer.from_str(encoder._tokenizer.to_str())
    whole = tokenizer.encode(cut(text), add_special_tokens=False).ids
    room = encoder.record.max_tokens - len(encoder.record.special_before) - len(encoder.record.special_after)
    head, tail = room - room // 2, room // 2
    assert encoder.pieces(text) == (whole if len(whole) <= room else whole[:head] + whole[-tail:])
    assert encoder.pieces(text, 9) == (whole if len(whole) <= 9 else whole[:5] + whole[-4:])
