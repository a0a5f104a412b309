"""The result of a training run: the values that the model folder and the model card are written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.classify.heads import PromptHeads
from router.model_folder.manifest import Manifest
from router.types import ModelProfile
from training.classifier.first_tier import FittedFirstTier
from training.classifier.known_vectors import KnownVectors
from training.evaluation.metrics import PredictionQuality, TaskQuality
from training.monitor.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """Everything that a training run learned, with its scores on held-out prompts.

    Attributes:
        manifest: The manifest of the model folder.
        profiles: The profile of each model.
        qualities: Held-out scores of the classifier, and of the baselines on the same folds.
        tasks: Held-out scores of the classifier on each task.
        notes: Remarks about the data, as sentences.
        reference: Statistics of the training prompts, for the comparison with later prompts.
        vectors: Embeddings of the training prompts, so that a later training need not encode them again.
        heads: Shift expected quality and cost by a prompt's text. None if they help on no task.
        first: The first tier. None if there is none.
    """

    manifest: Manifest
    profiles: Sequence[ModelProfile]
    qualities: Sequence[PredictionQuality]
    tasks: Sequence[TaskQuality]
    notes: Sequence[str]
    reference: Reference
    vectors: KnownVectors
    heads: PromptHeads | None = None
    first: FittedFirstTier | None = None
