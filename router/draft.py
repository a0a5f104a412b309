"""A small encoder in numpy, distilled from the task classifier: what the first tier looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from router.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pieces that are looked at, of a long text half of them at its head and half at its tail: twice as many tell no more.
PIECES = 64
EDGE = 8
WIDTH = 3
# OpenBLAS shares products of more multiplications among threads, and waits there for a core that others keep busy: measured
# 48 ms instead of 0.4. Smaller ones it computes at once.
_MOST_MULTIPLICATIONS = 1 << 18


class DraftEncoder:
    """One convolution over word pieces, pooled by mean and maximum (Kim, 2014, arXiv 1408.5882), without ONNX Runtime.

    Thread-safe. Pickles.

    Args:
        pieces: Turns a text to the ids of its word pieces, without special tokens.
        arrays: `tokens`, int8 of shape (pieces, d), and `scales`, float32 of shape (pieces,): the vector of a piece is their
            product; `edges`, float32 of shape (2, EDGE, d): what is added to the first pieces, and to the last, the very
            last one first; `kernel`, float32 of shape (WIDTH, d, filters), and `bias`, of shape (filters,).

    Attributes:
        arrays: The arrays.

    Raises:
        EncoderError: If an array is missing or of another type or shape.
    """

    def __init__(self, pieces: Callable[[str], Sequence[int]], arrays: Mapping[str, NDArray[Any]]) -> None:
        check_draft(arrays)
        self._pieces = pieces
        self.arrays = dict(arrays)
        self._tokens, self._scales, self._edges = arrays["tokens"], arrays["scales"], arrays["edges"]
        self._kernel, self._bias = arrays["kernel"], arrays["bias"]
        self._rows = max(1, _MOST_MULTIPLICATIONS // self._kernel[0].size)

    @property
    def name(self) -> str:
        """What kind of encoder it is."""
        return "draft"

    @property
    def dim(self) -> int:
        """Length of a vector: two numbers a filter."""
        return 2 * len(self._bias)

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), dim), float32, no number below zero; a text without pieces is all zeros."""
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            ids = np.asarray(self._pieces(text), np.int64)
            if len(ids):
                vector[:] = self._pool(ids)
        return vectors

    def _pool(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        n, near = len(ids), min(len(ids), EDGE)
        blocks = -(-n // self._rows)
        padded = np.zeros((blocks * self._rows + WIDTH - 1, self._tokens.shape[1]), np.float32)
        inside = padded[WIDTH // 2 : WIDTH // 2 + n]
        np.multiply(self._tokens[ids], self._scales[ids, None], out=inside)
        inside[:near] += self._edges[0, :near]
        inside[n - near :] += self._edges[1, near - 1 :: -1]
        shifted = (padded[k : k + blocks * self._rows].reshape(blocks, self._rows, -1) for k in range(WIDTH))
        heard = sum(block @ kernel for block, kernel in zip(shifted, self._kernel, strict=True))
        heard = np.maximum(heard.reshape(blocks * self._rows, -1)[:n] + self._bias, 0.0)
        return np.concatenate([np.add.reduce(heard) / n, np.maximum.reduce(heard)])

    def __reduce__(self) -> tuple[object, ...]:
        return DraftEncoder, (self._pieces, self.arrays)


def check_draft(arrays: Mapping[str, NDArray[Any]]) -> None:
    """See that the arrays are those of a draft encoder.

    Raises:
        EncoderError: If one is missing or of another type or shape.
    """
    n, d = arrays["tokens"].shape if "tokens" in arrays and arrays["tokens"].ndim == 2 else (0, 0)  # noqa: PLR2004
    filters = arrays["bias"].size if "bias" in arrays else 0
    wanted = {
        "tokens": ("int8", (n, d)),
        "scales": ("float32", (n,)),
        "edges": ("float32", (2, EDGE, d)),
        "kernel": ("float32", (WIDTH, d, filters)),
        "bias": ("float32", (filters,)),
    }
    found = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
    if found != wanted or not (n and d and filters):
        raise EncoderError(
            f"a draft encoder must hold the arrays {wanted}, held {found}; make it again with `llm-router-train distil`"
        )
