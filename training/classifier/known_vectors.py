"""Texts and their embeddings in, a compact record out, so that a later training does not encode the same texts again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from router.errors import ModelFolderError
from router.model_folder.manifest import MANIFEST, VECTORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEVELS = 127
_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVectors:
    """Embeddings of n texts in eight bits.

    Attributes:
        encoder_sha256: Hash of the encoder.
        keys: First eight bytes of each text's SHA-256, shape (n,), ascending.
        levels: Shape (n, dim), int8.
        exponents: A level of a row is worth two to this power, shape (n,), int8.
    """

    encoder_sha256: str
    keys: NDArray[np.uint64]
    levels: NDArray[np.int8]
    exponents: NDArray[np.int8]

    @classmethod
    def of(cls, encoder_sha256: str, texts: Sequence[str], embeddings: NDArray[np.float32]) -> KnownVectors:
        """Return the record of embeddings that `round_vectors` has rounded.

        Args:
            encoder_sha256: Hash of the encoder.
            texts: n texts. A text may occur several times.
            embeddings: Their embeddings, shape (n, dim).
        """
        keys, first = np.unique(hash_texts(texts), return_index=True)
        levels, exponents = _quantise(embeddings[first])
        return cls(encoder_sha256=encoder_sha256, keys=keys, levels=levels, exponents=exponents)

    def find(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return which texts are known, shape (len(texts),), and the embeddings of those, shape (known, dim)."""
        wanted = hash_texts(texts)
        rows = np.searchsorted(self.keys, wanted)
        known = rows < len(self.keys)
        known[known] = self.keys[rows[known]] == wanted[known]
        rows = rows[known]
        return known, _restore(self.levels[rows], self.exponents[rows])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of `vectors.safetensors`."""
        encoder = np.frombuffer(bytes.fromhex(self.encoder_sha256), np.uint8)
        return {"encoder": encoder, "keys": self.keys, "levels": self.levels, "exponents": self.exponents}


def round_vectors(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return embeddings as `KnownVectors` keeps them. Rounding twice is the same as once.

    Training rounds all embeddings. So it learns the same whether it has encoded a text or knows it.

    Args:
        embeddings: Shape (n, dim).
    """
    return _restore(*_quantise(embeddings))


def read_vectors(folder: Path) -> KnownVectors | None:
    """Return the embeddings in a model folder. None if the folder is none, or keeps none.

    Args:
        folder: The folder. A file of the same name in another folder is not read.

    Raises:
        ModelFolderError: If the file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / VECTORS
    if not (folder / MANIFEST).is_file() or not path.is_file():
        return None
    try:
        arrays: Mapping[str, NDArray[Any]] = load_file(path)
        return KnownVectors(
            encoder_sha256=arrays["encoder"].tobytes().hex(),
            keys=arrays["keys"],
            levels=arrays["levels"],
            exponents=arrays["exponents"],
        )
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelFolderError(f"{path} cannot be read: {error}; remove it, then training encodes all prompts") from error


def hash_texts(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Return the first eight bytes of each text's SHA-256, shape (len(texts),)."""
    digests = [hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8] for text in texts]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _quantise(embeddings: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return levels and exponents. With powers of two as scales, rounded values are exact and round to themselves."""
    largest = np.maximum(np.abs(embeddings).max(axis=1, initial=0.0), _SMALLEST)
    exponents = np.ceil(np.log2(largest / _LEVELS)).astype(np.int8)
    return np.rint(np.ldexp(embeddings, -exponents[:, None].astype(np.int32))).astype(np.int8), exponents


def _restore(levels: NDArray[np.int8], exponents: NDArray[np.int8]) -> NDArray[np.float32]:
    return np.ldexp(levels.astype(np.float32), exponents[:, None].astype(np.int32))
