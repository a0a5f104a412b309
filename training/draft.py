"""Distil a draft encoder: a convolution that learns, from texts without labels, what the full classifier says of them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from router.draft import EDGE, PIECES, WIDTH
from router.encoder import OnnxEncoder
from router.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Steps = Callable[[Sequence[int]], Iterable[int]]

_WARM_UP, _WEIGHT_DECAY, _EMBEDDING_DROPOUT, _POOL_DROPOUT = 0.3, 0.01, 0.1, 0.2
# Batches are of texts of about one length: standard deviation, in pieces, of what that is blurred by.
_LENGTH_BLUR = 8.0
_EMBEDDING_DEVIATION = 0.5
_WORD, _MOST_CHARACTERS = re.compile(r"\S+\s*"), 3000
_CROPS, _CROPS_OF_HEAD, _SPLICES_HEAD_FIRST = 0.45, 0.7, 0.65
_HEAD_JOINTS, _TAIL_JOINTS = (" ", "\n", "\n\n", ": ", ". "), (" ", "\n", "\n\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRecipe:
    """How to distil.

    Attributes:
        dim: Length of a piece's vector.
        filters: Of the convolution; the draft's vectors are twice as long.
        epochs: How often each text is seen.
        batch: Texts in a step.
        learning_rate: At its highest.
        seed: Of every random choice.
    """

    dim: int = 96
    filters: int = 128
    epochs: int = 6
    batch: int = 128
    learning_rate: float = 2e-3
    seed: int = 0


def make_texts(texts: Sequence[str], n: int, *, seed: int) -> list[str]:
    """Return up to n different texts made of parts of others, such as people never wrote but might have.

    Short crops, for prompts are often shorter than the texts at hand; and splices, the head of one before the middle of
    another or such a middle before a tail, for a request is told by its words and not by what it is about.
    """
    rng = random.Random(f"made {seed}")  # noqa: S311 - texts, no secrets
    words = [found for text in texts if (found := _WORD.findall(text[:_MOST_CHARACTERS]))]
    made = (_crop(rng, words) if rng.random() < _CROPS else _splice(rng, words) for _ in range(n if words else 0))
    return list(dict.fromkeys(text for text in made if text))


def _crop(rng: random.Random, words: Sequence[Sequence[str]]) -> str:
    text, n = rng.choice(words), rng.randint(3, 18)
    start = 0 if rng.random() < _CROPS_OF_HEAD else rng.randrange(max(1, len(text) - n))
    return "".join(text[start : start + n]).strip()


def _splice(rng: random.Random, words: Sequence[Sequence[str]]) -> str:
    request, material = rng.choice(words), rng.choice(words)
    n, m = rng.randint(3, 20), rng.randint(3, 40)
    start = rng.randrange(max(1, len(material) - m))
    middle = "".join(material[start : start + m]).strip()
    if rng.random() < _SPLICES_HEAD_FIRST:
        return "".join(request[:n]).strip() + rng.choice(_HEAD_JOINTS) + middle
    return middle + rng.choice(_TAIL_JOINTS) + "".join(request[-n:]).strip()


def distil(
    texts: Sequence[str],
    probabilities: NDArray[np.float64],
    encoder: OnnxEncoder,
    *,
    recipe: DraftRecipe | None = None,
    progress: Steps = iter,
) -> tuple[dict[str, NDArray[Any]], float]:
    """Fit a draft encoder under a linear head to a teacher's probabilities (Hinton et al., 2015, arXiv 1503.02531).

    Args:
        texts: n texts.
        probabilities: What the teacher says of each, shape (n, labels).
        encoder: Whose pieces the draft will look at; its vectors of single pieces are where the draft's begin.
        recipe: How; the default one where None.
        progress: Wraps the numbers of the steps.

    Returns:
        The arrays of a `router.draft.DraftEncoder`, and the mean divergence from the teacher (Kullback-Leibler, nats) over
        the last epoch.

    Raises:
        EncoderError: If torch is missing or no text has any pieces.
    """
    torch, recipe = _import_torch(), recipe or DraftRecipe()
    ids = [encoder.pieces(text, PIECES) for text in texts]
    kept = np.flatnonzero([bool(pieces) for pieces in ids])
    if not len(kept):
        raise EncoderError("there must be texts of one word piece or more to distil from, were none; add texts")
    torch.manual_seed(recipe.seed)
    net = _Net(torch, piece_vectors(encoder, recipe.dim), recipe.filters, probabilities.shape[1])
    optimizer = torch.optim.AdamW(net.parameters, lr=recipe.learning_rate, weight_decay=_WEIGHT_DECAY)
    batches = _draw_batches([len(ids[i]) for i in kept], recipe)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=len(batches), pct_start=_WARM_UP
    )
    targets = torch.from_numpy(probabilities.astype(np.float32))
    losses = []
    for step in progress(range(len(batches))):
        rows = kept[batches[step]]
        told = net.tell([ids[i] for i in rows])
        loss = torch.nn.functional.kl_div(told, targets[rows], reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return net.to_arrays(), float(np.mean(losses[-(len(losses) // recipe.epochs) :]))


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise EncoderError("distilling needs torch; pip install 'contextual-llm-router[sentence-transformers]'") from error
    return torch


def piece_vectors(encoder: OnnxEncoder, dim: int) -> NDArray[np.float32]:
    """Return the principal components of what the encoder says of each piece by itself, shape (pieces, dim)."""
    vectors = encoder.encode_pieces()
    vectors = vectors - vectors.mean(axis=0)
    left, scales, _ = np.linalg.svd(vectors, full_matrices=False)
    components = left[:, :dim] * scales[:dim]
    return np.asarray(components / components.std() * _EMBEDDING_DEVIATION, np.float32)


def _draw_batches(lengths: Sequence[int], recipe: DraftRecipe) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(recipe.seed)
    batches = []
    for _ in range(recipe.epochs):
        order = np.argsort(lengths + rng.normal(0.0, _LENGTH_BLUR, len(lengths)))
        epoch = [order[k : k + recipe.batch] for k in range(0, len(order), recipe.batch)]
        batches += [epoch[k] for k in rng.permutation(len(epoch))]
    return batches


class _Net:
    """The draft encoder with a linear head, as torch parameters."""

    def __init__(self, torch: Any, tokens: NDArray[np.float32], filters: int, n_labels: int) -> None:
        self._torch = torch
        padding = np.zeros((1, tokens.shape[1]), np.float32)
        self._tokens = torch.nn.Embedding.from_pretrained(torch.from_numpy(np.concatenate([tokens, padding])), freeze=False)
        self._edges = torch.nn.Parameter(torch.zeros(2, EDGE, tokens.shape[1]))
        self._convolution = torch.nn.Conv1d(tokens.shape[1], filters, WIDTH, padding=WIDTH // 2)
        self._head = torch.nn.Linear(2 * filters, n_labels)

    @property
    def parameters(self) -> list[Any]:
        modules = (self._tokens, self._convolution, self._head)
        return [self._edges, *(parameter for module in modules for parameter in module.parameters())]

    def tell(self, ids: Sequence[Sequence[int]]) -> Any:
        """Return log-probabilities of texts that have pieces, shape (n, labels), with dropout."""
        torch, functional = self._torch, self._torch.nn.functional
        longest, padding = max(map(len, ids)), len(self._tokens.weight) - 1
        padded = torch.tensor([[*pieces, *[padding] * (longest - len(pieces))] for pieces in ids])
        absent = padded == padding
        n = (~absent).sum(1)
        place = torch.arange(longest)
        nothing = torch.zeros(1, self._edges.shape[2])
        head = torch.cat([self._edges[0], nothing])[place.clamp(max=EDGE)]
        tail = torch.cat([self._edges[1], nothing])[(n[:, None] - 1 - place).clamp(-1, EDGE)]  # -1: the row of zeros
        x = functional.dropout(self._tokens(padded) + head + tail, _EMBEDDING_DROPOUT)
        x = x.masked_fill(absent[..., None], 0.0).transpose(1, 2)
        heard = functional.relu(self._convolution(x)).masked_fill(absent[:, None], 0.0)
        pooled = torch.cat([heard.sum(2) / n[:, None], heard.max(2).values], 1)
        return functional.log_softmax(self._head(functional.dropout(pooled, _POOL_DROPOUT)), 1)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        tokens = self._tokens.weight.detach().numpy()[:-1]
        scales = np.maximum(np.abs(tokens).max(axis=1), 1e-12) / 127
        kernel = self._convolution.weight.detach().numpy().transpose(2, 1, 0)
        return {
            "tokens": np.rint(tokens / scales[:, None]).astype(np.int8),
            "scales": scales.astype(np.float32),
            "edges": self._edges.detach().numpy().copy(),
            "kernel": np.ascontiguousarray(kernel),
            "bias": self._convolution.bias.detach().numpy().copy(),
        }
