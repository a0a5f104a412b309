from pathlib import Path

import numpy as np
import pytest

from router.errors import EncoderError
from tests.training.encoder.e5_files import PIECES, write_files
from tests.training.exporting import EXPORTS
from training.encoder.e5_model import unpacked, write_e5_model

pytestmark = EXPORTS
TEXTS = ["red cat here", "кот 猫", "dogs"]
TWICE = TEXTS * 2


def test_vectors_do_not_depend_on_the_dropped_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sentence_transformers import SentenceTransformer

    write_files(tmp_path, monkeypatch)
    files = tmp_path / "e5-small-q4.bin", tmp_path / "tokenizer.json"
    assert write_e5_model(*files, tmp_path / "all", texts=TWICE) == len(PIECES)
    monkeypatch.setattr("training.encoder.vocabulary.PIECES_BY_SCRIPT", {"LATIN": 1, "CYRILLIC": 1, "CJK": 1, "NONE": 1})
    # Of the words only those that the texts and the prefix use are kept.
    assert write_e5_model(*files, tmp_path / "few", texts=TWICE) == len(PIECES) - len(["▁blue", "▁rarely", "▁redcat"])
    everything, few = (SentenceTransformer(str(tmp_path / name), device="cpu") for name in ("all", "few"))
    assert (few.prompts["query"], few.default_prompt_name) == ("query: ", "query")
    vectors = few.encode(TEXTS)
    assert np.allclose(vectors, everything.encode(TEXTS), atol=1e-6)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    # The texts differ more than that, so that equal vectors show something.
    assert all(np.abs(vectors[i] - vectors[j]).max() > 1e-3 for i, j in ((0, 1), (0, 2), (1, 2)))


def test_an_unpacked_file_is_used_again_after_an_interruption_and_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, monkeypatch)
    file, out = str(tmp_path / "e5-small-q4.bin"), tmp_path / "encoder"
    interrupted = unpacked(file, beside=out, prompts=None)
    base = interrupted.__enter__()
    made = (Path(base) / "model.safetensors").stat().st_mtime_ns
    assert not interrupted.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    with unpacked(file, beside=out, prompts=None) as again:
        assert again == base
        assert (Path(again) / "model.safetensors").stat().st_mtime_ns == made
    assert not Path(base).exists()
    with unpacked("a/name", beside=out, prompts=None) as name:
        assert name == "a/name"


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e5-small-q4.bin").write_bytes(b"")
    with (
        pytest.raises(EncoderError, match="must have the SHA-256"),
        unpacked(str(tmp_path / "e5-small-q4.bin"), beside=tmp_path / "encoder", prompts=None),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["e5-small-q4.bin"]
