"""The settings of a tuning run."""

from __future__ import annotations

from dataclasses import dataclass

from training.encoder.loss import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneRecipe:
    """The settings of a tuning run.

    Attributes:
        layers: Number of the encoder's layers to keep. None: all.
        objective: `cross-entropy` through a linear head, supervised `contrastive` loss (Khosla et al., 2020,
            arXiv 2004.11362, equation 2), or `both`.
        epochs: Number of passes over the prompts. None: 3, or more if there are few prompts, to reach 400 steps.
        batch: Number of texts in a step.
        learning_rate: Highest learning rate of the encoder. That of the head is ten times as high.
        max_tokens: Longest input in tokens. A longer text keeps its head and its tail, as at runtime. If
            the model takes less, its limit applies.
        freeze_words: Whether the vectors of word pieces stay as they are. Otherwise those of pieces in the prompts move and
            the others do not, so that languages without prompts get worse.
        typos: Share of the texts that get typing errors in each pass, in [0, 1].
        moved: Share of the texts whose request is moved into the middle in each pass, if they have one at an end, in [0, 1].
        seed: Seed of every random choice.
    """

    layers: int | None = None
    objective: Objective = "cross-entropy"
    epochs: int | None = None
    batch: int = 16
    learning_rate: float = 6e-5
    max_tokens: int = 128
    freeze_words: bool = False
    typos: float = 0.2
    moved: float = 0.0
    seed: int = 0
