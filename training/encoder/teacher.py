"""A tuned model and texts in, its vectors of them out, as what a student learns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.encoder.batches import pool, tokenize
from training.encoder.source_model import find_prefix, hash_weights
from training.progress import Steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 32


def encode_as_teacher(
    model: Any, texts: Sequence[str], *, max_tokens: int, kept_in: Path, progress: Steps = iter
) -> NDArray[np.float32]:
    """Return the vectors of texts, shape (len(texts), dim), float32, not scaled to length one.

    They are kept in a file, because many texts take minutes. The same texts and model are not encoded again.

    Args:
        model: A sentence-transformers model.
        texts: The texts.
        max_tokens: Longest input in tokens.
        kept_in: Folder of the file.
        progress: Wraps the numbers of the batches.
    """
    key = hashlib.sha256(repr((hash_weights(model), list(texts), max_tokens)).encode("utf-8", "replace")).hexdigest()
    file = kept_in / f"teacher-{key[:16]}.npy"
    if file.is_file():
        vectors: NDArray[np.float32] = np.load(file)
        return vectors
    vectors = _encode(model, tokenize(model.tokenizer, texts, max_tokens, find_prefix(model)), progress)
    kept_in.mkdir(parents=True, exist_ok=True)
    # Renamed at the end, because an interrupted write would leave a file that cannot be read.
    written = file.with_suffix(".new")
    with written.open("wb") as stream:
        np.save(stream, vectors)
    written.replace(file)
    return vectors


def _encode(model: Any, ids: Sequence[Sequence[int]], progress: Steps) -> NDArray[np.float32]:
    import torch

    model.eval()
    # Texts of similar length together need little padding.
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    vectors = np.empty((len(ids), model[0].auto_model.config.hidden_size), np.float32)
    with torch.no_grad():
        for start in progress(range(0, len(order), _BATCH)):
            rows = order[start : start + _BATCH]
            vectors[rows] = pool(model, [ids[row] for row in rows], torch.device("cpu")).numpy()
    return vectors
