"""Features of a prompt come in, the outputs of linear layers for its task, its quality and its cost go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.classify.features import hashed_ngrams, surface_features

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The inputs of the linear layers for one text.

    Attributes:
        vector: Embedding, shape (dim,), of length one.
        buckets: Buckets of the hashed n-grams, shape (n-grams,).
        values: Values of the hashed n-grams, shape (n-grams,).
        surface: Surface features, shape (len(SURFACE),).
    """

    vector: NDArray[np.float32]
    buckets: NDArray[np.int64]
    values: NDArray[np.float32]
    surface: NDArray[np.float32]

    @classmethod
    def of(cls, text: str, vector: NDArray[np.float32]) -> Features:
        """Return the features of a text.

        Args:
            text: The text.
            vector: Its embedding, shape (dim,).
        """
        buckets, values = hashed_ngrams(text)
        return cls(vector=vector, buckets=buckets, values=values, surface=surface_features(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """The weights of one linear layer, by the blocks of its input, all float32.

    Attributes:
        embedding: Weights of the embedding, shape (dim, outputs).
        lexical: Weights of the n-grams, shape (buckets, outputs).
        surface: Weights of the surface features, shape (surface features, outputs).
        bias: Shape (outputs,).
    """

    embedding: NDArray[np.float32]
    lexical: NDArray[np.float32]
    surface: NDArray[np.float32]
    bias: NDArray[np.float32]

    def apply(self, features: Features) -> NDArray[np.float32]:
        """Return the outputs for one text, shape (outputs,)."""
        lexical = multiply(features.values, self.lexical[features.buckets])
        # The order of the sum is part of the result: float32 rounds each addition.
        outputs = multiply(features.vector, self.embedding) + lexical + multiply(features.surface, self.surface) + self.bias
        return np.asarray(outputs, np.float32)


def multiply(vector: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vector @ matrix, for shapes (n,) and (n, m), on this thread alone.

    A BLAS splits all but small products among threads. If other work keeps a core busy, it waits there.
    """
    product: NDArray[np.float32] = np.einsum("i,ij->j", vector, matrix)
    return product


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptHeads:
    """Linear layers that shift each model's expected quality and cost by the prompt's text, beyond its task.

    Attributes:
        models: The models, in the order of the outputs of both layers.
        quality: Shift of the quality, in logits.
        cost: Shift of the cost, as the logarithm of a ratio.
        quality_tasks: Tasks on which `quality` beats the task alone on held-out prompts. Other tasks ignore it.
        cost_tasks: Tasks on which `cost` beats the task alone on held-out prompts. Other tasks ignore it.
    """

    models: tuple[str, ...]
    quality: Heads
    cost: Heads
    quality_tasks: frozenset[str]
    cost_tasks: frozenset[str]

    def arrange(self, models: Sequence[str]) -> PromptHeads:
        """Return the heads with one output per model, in this order. A model without an output gets the mean of all."""
        columns = [self.models.index(name) if name in self.models else None for name in models]
        return PromptHeads(
            models=tuple(models),
            quality=_arrange(self.quality, columns),
            cost=_arrange(self.cost, columns),
            quality_tasks=self.quality_tasks,
            cost_tasks=self.cost_tasks,
        )


def _arrange(heads: Heads, columns: Sequence[int | None]) -> Heads:
    """Return heads with these columns as outputs. None stands for the mean of all columns."""

    def pick(block: NDArray[np.float32]) -> NDArray[np.float32]:
        mean = block.mean(axis=-1)
        return np.stack([mean if column is None else block[..., column] for column in columns], axis=-1)

    return Heads(
        embedding=pick(heads.embedding),
        lexical=pick(heads.lexical),
        surface=pick(heads.surface),
        bias=pick(heads.bias),
    )
