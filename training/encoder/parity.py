"""A converted encoder and its original in, the cosines between their vectors out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from router.classify.encoder import OnnxEncoder
from training.data.prompts import read_prompts

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Number of texts to compare on.
PARITY_PROMPTS = 200

# Shorter paragraphs of Python's help, such as headings, are left out.
_MIN_CHARS = 20


def parity_prompts(path: Path | None, n: int) -> list[str]:
    """Return at most n texts to compare on, always the same ones.

    Args:
        path: CSV file of prompts. None: take paragraphs of Python's own help, which are prose and code.
        n: Number of texts.
    """
    if path is not None:
        texts = [row.prompt for row in read_prompts(path, tasks=None).rows]
    else:
        from pydoc_data.topics import topics

        texts = [part for topic in sorted(topics) for part in topics[topic].split("\n\n") if len(part) > _MIN_CHARS]
    return random.Random(0).sample(texts, min(n, len(texts)))  # noqa: S311 - a sample, not a secret


def compare_vectors(original: Any, encoder: OnnxEncoder, prompts: Sequence[str]) -> NDArray[np.float64]:
    """Return the cosine of the two vectors of each prompt, shape (n,). Both models get the same token ids.

    Args:
        original: A sentence-transformers model.
        encoder: The converted encoder.
        prompts: n texts.
    """
    import torch

    cosines = []
    for text in prompts:
        ids = torch.tensor([encoder.tokenize(text)])
        features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if "token_type_ids" in encoder.record.inputs:
            features["token_type_ids"] = torch.zeros_like(ids)
        with torch.no_grad():
            vector = original(features)["sentence_embedding"][0].numpy()
        cosines.append(float(vector @ encoder.encode([text])[0] / np.linalg.norm(vector)))
    return np.array(cosines)
