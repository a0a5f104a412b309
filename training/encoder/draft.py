"""Texts and a teacher's probabilities in, a draft encoder out: a small convolution that is fast to compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from router.classify.draft import PIECES
from router.classify.encoder import OnnxEncoder
from router.errors import EncoderError
from training.encoder.draft_net import DraftNet
from training.progress import Steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Share of the steps in which the learning rate rises.
_WARM_UP = 0.3
_WEIGHT_DECAY = 0.01

# The texts of a batch have similar lengths. Noise on the lengths makes the batches of each epoch different. This is its
# standard deviation, in pieces.
_LENGTH_BLUR = 8.0

# Standard deviation of the first vectors of pieces.
_EMBEDDING_DEVIATION = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRecipe:
    """The settings of a distillation.

    Attributes:
        dim: Length of the vector of a word piece.
        filters: Number of filters of the convolution. The draft's vectors are twice as long.
        epochs: Number of passes over the texts.
        batch: Number of texts in a step.
        learning_rate: Highest learning rate.
        seed: Seed of every random choice.
    """

    dim: int = 96
    filters: int = 128
    epochs: int = 6
    batch: int = 128
    learning_rate: float = 2e-3
    seed: int = 0


def fit_draft(
    texts: Sequence[str],
    probabilities: NDArray[np.float64],
    encoder: OnnxEncoder,
    *,
    recipe: DraftRecipe | None = None,
    progress: Steps = iter,
) -> tuple[dict[str, NDArray[Any]], float]:
    """Fit a draft encoder with a linear head to a teacher's probabilities (Hinton et al., 2015, arXiv 1503.02531).

    Args:
        texts: n texts. Texts without word pieces are left out.
        probabilities: The teacher's probabilities for each text, shape (n, labels).
        encoder: The full encoder. The draft uses its word pieces, and starts from its vectors of single pieces.
        recipe: The settings. None: the defaults.
        progress: Wraps the numbers of the steps.

    Returns:
        The arrays of a `router.classify.draft.DraftEncoder`, and the mean divergence from the teacher in the last epoch
        (Kullback-Leibler, nats).

    Raises:
        EncoderError: If torch is missing or no text has word pieces.
    """
    torch, recipe = _import_torch(), recipe or DraftRecipe()
    ids = [encoder.pieces(text, PIECES) for text in texts]
    kept = np.flatnonzero([bool(pieces) for pieces in ids])
    if not len(kept):
        raise EncoderError(
            f"there must be at least one text with a word piece to distil from, got {len(texts)} without; add texts"
        )
    used = sorted({piece for pieces in ids for piece in pieces})
    rows = np.zeros(encoder.vocabulary_size, np.int32)
    rows[used] = range(1, len(used) + 1)
    torch.manual_seed(recipe.seed)
    net = DraftNet(torch, piece_vectors(encoder, used, recipe.dim), recipe.filters, probabilities.shape[1])
    optimizer = torch.optim.AdamW(net.parameters, lr=recipe.learning_rate, weight_decay=_WEIGHT_DECAY)
    batches = _draw_batches([len(ids[i]) for i in kept], recipe)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=len(batches), pct_start=_WARM_UP
    )
    targets = torch.from_numpy(probabilities.astype(np.float32))
    losses = []
    for step in progress(range(len(batches))):
        batch = kept[batches[step]]
        predicted = net.log_probabilities([rows[ids[i]].tolist() for i in batch])
        loss = torch.nn.functional.kl_div(predicted, targets[batch], reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return net.to_arrays(rows), float(np.mean(losses[-(len(losses) // recipe.epochs) :]))


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise EncoderError("distilling needs torch; pip install 'contextual-llm-router[sentence-transformers]'") from error
    return torch


def piece_vectors(encoder: OnnxEncoder, pieces: Sequence[int], dim: int) -> NDArray[np.float32]:
    """Return the first vectors of the draft's word pieces, shape (len(pieces), dim).

    They are the first principal components of the full encoder's vectors of single pieces, scaled to one standard deviation
    over all components.
    """
    vectors = encoder.encode_pieces(pieces)
    vectors = vectors - vectors.mean(axis=0)
    left, scales, _ = np.linalg.svd(vectors, full_matrices=False)
    components = left[:, :dim] * scales[:dim]
    return np.asarray(components / components.std() * _EMBEDDING_DEVIATION, np.float32)


def _draw_batches(lengths: Sequence[int], recipe: DraftRecipe) -> list[NDArray[np.int64]]:
    """Return the batches of all epochs, each an array of places in `lengths`."""
    rng = np.random.default_rng(recipe.seed)
    batches = []
    for _ in range(recipe.epochs):
        order = np.argsort(lengths + rng.normal(0.0, _LENGTH_BLUR, len(lengths)))
        epoch = [order[k : k + recipe.batch] for k in range(0, len(order), recipe.batch)]
        batches += [epoch[k] for k in rng.permutation(len(epoch))]
    return batches
