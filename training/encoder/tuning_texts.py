"""Labelled prompts and unlabelled texts in, the texts of a tuning run out: which ones teach, and which ones are held out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.classify.encoder_record import TuningRecord
from training.classifier.outliers import make_outliers, random_labels
from training.data.prompts import PromptSet
from training.encoder.seen import hold_out
from training.encoder.variants import add_typos, drop_marks, move_request

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Share of the texts with typing errors that lose the marks of their letters instead.
_WITHOUT_MARKS = 0.2

# Stands for the task of a text that has none.
NO_TASK = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningTexts:
    """The texts of a run. The prompts come first, then the outliers, then texts without a label.

    Attributes:
        texts: The texts.
        labels: The tasks, in alphabetical order.
        targets: Number of each prompt's task. The other texts have none.
        outliers: Number of outliers.
        held_out: Numbers of the held-out prompts.
        kept: Numbers of the other prompts.
        seed: Seed of every random choice.
        tuning: How the model was tuned before. None: it was not.
    """

    texts: list[str]
    labels: list[str]
    targets: NDArray[np.int64]
    outliers: int
    held_out: NDArray[np.int64]
    kept: NDArray[np.int64]
    seed: int
    tuning: TuningRecord | None = None

    @classmethod
    def of(
        cls, prompts: PromptSet, unlabelled: Sequence[str] = (), *, seed: int, tuning: TuningRecord | None = None
    ) -> TuningTexts:
        """Hold out a part of the prompts that no earlier tuning used, and add outliers and texts without a label."""
        labels = sorted({row.task for row in prompts.rows})
        held_out = hold_out(prompts, seed=seed, tuning=tuning)
        outliers = make_outliers(len(prompts.rows), seed=seed)
        return cls(
            texts=[*(row.prompt for row in prompts.rows), *outliers, *unlabelled],
            labels=labels,
            targets=np.array([labels.index(row.task) for row in prompts.rows]),
            outliers=len(outliers),
            held_out=np.flatnonzero(held_out),
            kept=np.flatnonzero(~held_out),
            seed=seed,
            tuning=tuning,
        )

    @property
    def taught(self) -> list[int]:
        """Numbers of the texts to tune on: the kept prompts, all outliers, and the texts without a label."""
        return [*self.kept.tolist(), *range(len(self.targets), len(self.texts))]

    def draw_targets(self, rows: Sequence[int], step: int) -> list[int]:
        """Return the targets of some texts. Outliers get another random target in each step."""
        n, n_labels = len(self.targets), len(self.labels)
        drawn = random_labels(n_labels, n_labels, seed=f"{self.seed} {step}")
        outliers = range(n, n + self.outliers)
        return [int(self.targets[row]) if row < n else drawn[row % n_labels] if row in outliers else NO_TASK for row in rows]

    def draw_texts(self, rows: Sequence[int], step: int, *, typos: float, moved: float) -> list[str]:
        """Return some texts, a share of them changed. Each step draws others.

        Args:
            rows: Numbers of the texts.
            step: Number of the step.
            typos: Share of the texts with typing errors, in [0, 1].
            moved: Share of the texts whose request is moved into the middle, in [0, 1].
        """
        rng = random.Random(f"typos {self.seed} {step}")  # noqa: S311 - errors, no secrets
        return [_vary(self.texts[row], rng, typos=typos, moved=moved) for row in rows]


def _vary(text: str, rng: random.Random, *, typos: float, moved: float) -> str:
    # Not drawn without a share, so that a run without moved requests has the same errors as before.
    if moved and rng.random() < moved:
        text = move_request(text)
    if rng.random() >= typos:
        return text
    bare = drop_marks(text) if rng.random() < _WITHOUT_MARKS else text
    return bare if bare != text else add_typos(text, rng)
