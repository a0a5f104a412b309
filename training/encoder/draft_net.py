"""Vectors of word pieces in, a trainable draft encoder with a linear head out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from router.classify.draft import EDGE, WIDTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EMBEDDING_DROPOUT, _POOL_DROPOUT = 0.1, 0.2


class DraftNet:
    """The draft encoder with a linear head, as torch parameters. `router.classify.draft` computes the same without torch.

    Args:
        torch: The package.
        tokens: First vectors of the word pieces, shape (n, d). The pieces are numbered from 1.
        filters: Number of filters.
        n_labels: Number of labels.
    """

    def __init__(self, torch: Any, tokens: NDArray[np.float32], filters: int, n_labels: int) -> None:
        self._torch = torch
        # The first row stands for all other pieces and for padding.
        others = np.zeros((1, tokens.shape[1]), np.float32)
        tokens = np.concatenate([others, tokens])
        self._tokens = torch.nn.Embedding.from_pretrained(torch.from_numpy(tokens), freeze=False, padding_idx=0)
        self._edges = torch.nn.Parameter(torch.zeros(2, EDGE, tokens.shape[1]))
        self._convolution = torch.nn.Conv1d(tokens.shape[1], filters, WIDTH, padding=WIDTH // 2)
        self._head = torch.nn.Linear(2 * filters, n_labels)

    @property
    def parameters(self) -> list[Any]:
        """All parameters to train."""
        modules = (self._tokens, self._convolution, self._head)
        return [self._edges, *(parameter for module in modules for parameter in module.parameters())]

    def log_probabilities(self, ids: Sequence[Sequence[int]]) -> Any:
        """Return log-probabilities, shape (n, labels), with dropout.

        Args:
            ids: Numbers of the word pieces of n texts. Each text has at least one.
        """
        torch, functional = self._torch, self._torch.nn.functional
        longest = max(map(len, ids))
        padded = torch.tensor([[*pieces, *[0] * (longest - len(pieces))] for pieces in ids])
        absent = padded == 0
        n = (~absent).sum(1)
        # The first and the last EDGE pieces get a vector for their place. All others get the row of zeros at the end.
        place = torch.arange(longest)
        zeros = torch.zeros(1, self._edges.shape[2])
        head = torch.cat([self._edges[0], zeros])[place.clamp(max=EDGE)]
        tail = torch.cat([self._edges[1], zeros])[(n[:, None] - 1 - place).clamp(-1, EDGE)]  # -1: the row of zeros
        x = functional.dropout(self._tokens(padded) + head + tail, _EMBEDDING_DROPOUT)
        x = x.masked_fill(absent[..., None], 0.0).transpose(1, 2)
        responses = functional.relu(self._convolution(x)).masked_fill(absent[:, None], 0.0)
        pooled = torch.cat([responses.sum(2) / n[:, None], responses.max(2).values], 1)
        return functional.log_softmax(self._head(functional.dropout(pooled, _POOL_DROPOUT)), 1)

    def to_arrays(self, rows: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
        """Return the arrays of a `router.classify.draft.DraftEncoder`, with the vectors of pieces as 8-bit integers.

        The head is left out. Training fits another one to the final classifier.

        Args:
            rows: Number of each word piece of the tokenizer, shape (pieces,). 0: it has none.
        """
        tokens = self._tokens.weight.detach().numpy()
        scales = np.maximum(np.abs(tokens).max(axis=1), 1e-12) / 127
        kernel = self._convolution.weight.detach().numpy().transpose(2, 1, 0)
        return {
            "rows": rows,
            "tokens": np.rint(tokens / scales[:, None]).astype(np.int8),
            "scales": scales.astype(np.float32),
            "edges": self._edges.detach().numpy().copy(),
            "kernel": np.ascontiguousarray(kernel),
            "bias": self._convolution.bias.detach().numpy().copy(),
        }
