"""Features of prompts in, one dense matrix for linear models out, and the way back to the runtime's heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.extmath import randomized_svd

from router.classify.heads import Heads
from training.classifier.features import FeatureBlocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIRECTIONS = 300
# The directions of the words are found on at most this many prompts. More prompts hardly change them but take longer.
_MAX_SVD_PROMPTS = 10_000
# Embeddings have length one. These scales keep the surface features and the constant smaller than that.
_SURFACE_SCALE = 0.3
_BIAS = 0.3
_LABEL_RIDGE, _LABEL_SCALE = 0.3, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The features of n prompts as a dense matrix.

    Attributes:
        rows: Shape (n, d), float32: embedding, words, scaled surface features and a constant. The words are projected onto
            the directions in which they differ most (latent semantic analysis).
        directions: Directions of the words, shape (BUCKETS, k), float32.
        mean: Mean of each surface feature. It is subtracted first.
        scale: Factor of each surface feature after that.
    """

    rows: NDArray[np.float32]
    directions: NDArray[np.float32]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def unfold(self, weights: NDArray[np.float64]) -> Heads:
        """Return the heads whose outputs for these prompts are `rows @ weights`.

        Args:
            weights: Shape (d, outputs).
        """
        dim = len(weights) - self.directions.shape[1] - len(self.mean) - 1
        embedding, words, surface, bias = np.split(weights, np.cumsum([dim, self.directions.shape[1], len(self.mean)]))
        surface = surface * self.scale[:, None]
        # The runtime does not centre surface features, so the subtracted mean moves into the bias.
        return Heads(
            embedding=embedding.astype(np.float32),
            lexical=np.asarray(self.directions @ words, np.float32),
            surface=surface.astype(np.float32),
            bias=(bias[0] * _BIAS - self.mean @ surface).astype(np.float32),
        )


def make_design(features: FeatureBlocks, *, seed: int) -> Design:
    """Return the design of n prompts. It uses no scores, so it may see held-out prompts.

    Args:
        features: Features of the prompts.
        seed: Seed of the prompts that the directions are found on, and of the randomised decomposition.
    """
    n = len(features.embedding)
    drawn = np.random.default_rng(seed).permutation(n)[:_MAX_SVD_PROMPTS]
    sample = features.lexical[np.sort(drawn)]
    directions = randomized_svd(sample, min(_DIRECTIONS, *sample.shape), random_state=seed)[2].T.astype(np.float32)
    mean = features.surface.mean(axis=0, dtype=np.float64)
    deviation = features.surface.std(axis=0, dtype=np.float64)
    scale = _SURFACE_SCALE / np.sqrt(len(mean)) / np.maximum(deviation, 1e-6)
    blocks = [features.embedding, features.lexical @ directions, (features.surface - mean) * scale, np.full((n, 1), _BIAS)]
    return Design(rows=np.hstack(blocks).astype(np.float32), directions=directions, mean=mean, scale=scale)


def make_widening(rows: NDArray[np.float32], labels: Sequence[str]) -> NDArray[np.float32]:
    """Return a matrix that adds columns in which rows with different labels differ strongly, shape (d, d + labels).

    Models differ most between kinds of prompts. The added columns, `rows @ matrix`, let small weights express that. They are
    the directions of a ridge regression on the indicators of the labels, enlarged.

    Args:
        rows: Shape (n, d).
        labels: Label of each row, such as its task. "" if the row has none.
    """
    names = sorted(set(labels) - {""})
    indicators = np.array([[label == name for name in names] for label in labels], np.float32).reshape(len(labels), -1)
    gram = rows.T @ rows + _LABEL_RIDGE * np.eye(rows.shape[1], dtype=np.float32)
    # Centred indicators: the directions separate labels and ignore how frequent each one is.
    directions = np.linalg.solve(gram, rows.T @ (indicators - indicators.mean(axis=0)))
    return np.hstack([np.eye(rows.shape[1], dtype=np.float32), _LABEL_SCALE * directions]).astype(np.float32)
