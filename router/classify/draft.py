"""The draft encoder of the first tier: a small convolution in numpy, distilled from the task classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from router.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Most word pieces per text: half from the head, half from the tail. Twice as many did not help.
PIECES = 64
# Pieces at each end of a text that get a vector for their place.
EDGE = 8
# Pieces that one filter covers.
WIDTH = 3
# OpenBLAS splits a larger product among threads. If other work keeps a core busy, it waits there: 48 ms measured instead of
# 0.4. It computes a smaller product at once.
_MAX_MULTIPLICATIONS = 1 << 18


class DraftEncoder:
    """One convolution over word pieces, pooled by mean and maximum (Kim, 2014, arXiv 1408.5882), without ONNX Runtime.

    Thread-safe. Pickles.

    The arrays, with v word pieces, n vectors of d numbers, and f filters:

    - `rows`, int32 of shape (v,): the vector of each piece. Pieces that no text of the distillation has share the first one.
    - `tokens`, int8 of shape (n, d), and `scales`, float32 of shape (n,): a vector is their product.
    - `edges`, float32 of shape (2, EDGE, d): added to the first pieces, and to the last ones, counted from the end.
    - `kernel`, float32 of shape (WIDTH, d, f), and `bias`, float32 of shape (f,): the convolution.

    Args:
        pieces: Turns a text into the ids of its word pieces, without special tokens.
        arrays: The arrays by name.

    Attributes:
        arrays: The arrays by name.

    Raises:
        EncoderError: If an array is missing, or has another type or shape.
    """

    def __init__(self, pieces: Callable[[str], Sequence[int]], arrays: Mapping[str, NDArray[Any]]) -> None:
        check_draft(arrays)
        self._pieces = pieces
        self.arrays = dict(arrays)
        self._rows_of, self._tokens, self._scales = arrays["rows"], arrays["tokens"], arrays["scales"]
        self._edges, self._kernel, self._bias = arrays["edges"], arrays["kernel"], arrays["bias"]
        self._block = max(1, _MAX_MULTIPLICATIONS // self._kernel[0].size)

    @property
    def name(self) -> str:
        """The kind of encoder."""
        return "draft"

    @property
    def dim(self) -> int:
        """Length of a vector: two numbers per filter."""
        return 2 * len(self._bias)

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), dim), float32, with no number below zero.

        A text without pieces gives zeros.
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            ids = np.asarray(self._pieces(text), np.int64)
            if len(ids):
                vector[:] = self._pool(ids)
        return vectors

    def _pool(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return mean and maximum of the filters over the pieces, shape (dim,)."""
        n, rows = len(ids), self._block
        blocks = -(-n // rows)
        # Zeros at both ends, so that the filters see every piece in every place; and a whole number of blocks.
        padded = np.zeros((blocks * rows + WIDTH - 1, self._tokens.shape[1]), np.float32)
        self._embed(ids, out=padded[WIDTH // 2 : WIDTH // 2 + n])
        shifted = (padded[k : k + blocks * rows].reshape(blocks, rows, -1) for k in range(WIDTH))
        outputs = sum(block @ kernel for block, kernel in zip(shifted, self._kernel, strict=True))
        outputs = np.maximum(outputs.reshape(blocks * rows, -1)[:n] + self._bias, 0.0)
        return np.concatenate([np.add.reduce(outputs) / n, np.maximum.reduce(outputs)])

    def _embed(self, ids: NDArray[np.int64], *, out: NDArray[np.float32]) -> None:
        """Write the vectors of the pieces, shape (pieces, d), with the vectors of their places added."""
        n, near = len(ids), min(len(ids), EDGE)
        rows = self._rows_of[ids]
        np.multiply(self._tokens[rows], self._scales[rows, None], out=out)
        out[:near] += self._edges[0, :near]
        out[n - near :] += self._edges[1, near - 1 :: -1]

    def __reduce__(self) -> tuple[object, ...]:
        return DraftEncoder, (self._pieces, self.arrays)


def check_draft(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise an error if the arrays are not those of a draft encoder.

    Raises:
        EncoderError: If an array is missing, or has another type or shape.
    """
    n, d = arrays["tokens"].shape if "tokens" in arrays and arrays["tokens"].ndim == 2 else (0, 0)  # noqa: PLR2004
    filters, pieces = (arrays[name].size if name in arrays else 0 for name in ("bias", "rows"))
    expected = {
        "rows": ("int32", (pieces,)),
        "tokens": ("int8", (n, d)),
        "scales": ("float32", (n,)),
        "edges": ("float32", (2, EDGE, d)),
        "kernel": ("float32", (WIDTH, d, filters)),
        "bias": ("float32", (filters,)),
    }
    found = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
    if found != expected or not (n and d and filters and pieces):
        raise EncoderError(
            f"a draft encoder must hold the arrays {expected}, got {found}; make it again with `llm-router-train distil`"
        )
    low, high = arrays["rows"].min(), arrays["rows"].max()
    if not 0 <= low <= high < n:
        raise EncoderError(
            f"rows of a draft encoder must be between 0 and {n - 1}, got {low} to {high}; make it again with "
            "`llm-router-train distil`"
        )
