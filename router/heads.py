"""Linear layers on the features of a prompt: the classifier's, and what the prompt itself says of quality and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.features import hashed_ngrams, surface_features

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What the linear layers look at in one text.

    Attributes:
        vector: Its embedding, shape (dim,), of length one.
        buckets: Of its hashed n-grams, with
        values: their values, both of shape (n-grams,).
        surface: Shape (len(SURFACE),).
    """

    vector: NDArray[np.float32]
    buckets: NDArray[np.int64]
    values: NDArray[np.float32]
    surface: NDArray[np.float32]

    @classmethod
    def of(cls, text: str, vector: NDArray[np.float32]) -> Features:
        """Return the features of a text and its embedding of shape (dim,)."""
        buckets, values = hashed_ngrams(text)
        return cls(vector=vector, buckets=buckets, values=values, surface=surface_features(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """One linear layer, in the blocks of its input, all float32.

    Attributes:
        embedding: Shape (dim, outputs).
        lexical: Shape (buckets, outputs).
        surface: Shape (surface features, outputs).
        bias: Shape (outputs,).
    """

    embedding: NDArray[np.float32]
    lexical: NDArray[np.float32]
    surface: NDArray[np.float32]
    bias: NDArray[np.float32]

    def apply(self, features: Features) -> NDArray[np.float32]:
        """Return the outputs for one text, shape (outputs,)."""
        lexical = multiply(features.values, self.lexical[features.buckets])
        outputs = multiply(features.vector, self.embedding) + lexical + multiply(features.surface, self.surface) + self.bias
        return np.asarray(outputs, np.float32)


def multiply(vector: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vector @ matrix, shapes (n,) and (n, m), on this thread alone.

    A BLAS shares all but small products among threads, and waits there for a core that others keep busy.
    """
    product: NDArray[np.float32] = np.einsum("i,ij->j", vector, matrix)
    return product


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptHeads:
    """What a prompt itself says of the models, beside its task.

    Attributes:
        models: The models, in the order of both layers' outputs.
        quality: How much likelier a good answer is than the task says, in logits.
        cost: How much dearer an answer is than the task says: logarithm of the ratio.
        quality_tasks: The tasks on which `quality` was shown to beat the task alone on prompts held out; elsewhere it does
            not count.
        cost_tasks: The same for `cost`.
    """

    models: tuple[str, ...]
    quality: Heads
    cost: Heads
    quality_tasks: frozenset[str]
    cost_tasks: frozenset[str]

    def arrange(self, models: Sequence[str]) -> PromptHeads:
        """Return the heads of these models, in this order; a model that they do not know gets the mean of all."""
        places = [self.models.index(name) if name in self.models else None for name in models]
        return PromptHeads(
            models=tuple(models),
            quality=_arrange(self.quality, places),
            cost=_arrange(self.cost, places),
            quality_tasks=self.quality_tasks,
            cost_tasks=self.cost_tasks,
        )


def _arrange(heads: Heads, places: Sequence[int | None]) -> Heads:
    def columns(block: NDArray[np.float32]) -> NDArray[np.float32]:
        mean = block.mean(axis=-1)
        return np.stack([mean if place is None else block[..., place] for place in places], axis=-1)

    return Heads(
        embedding=columns(heads.embedding),
        lexical=columns(heads.lexical),
        surface=columns(heads.surface),
        bias=columns(heads.bias),
    )
