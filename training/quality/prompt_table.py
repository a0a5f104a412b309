"""Prompt texts in, their features, task probabilities and sizes out, as the runtime computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from router.classify.classifier import softmax
from router.classify.heads import Heads
from router.classify.text import parse_prompt
from training.classifier.calibrate import spread_continues
from training.classifier.features import FeatureBlocks
from training.classifier.fit import FittedClassifier
from training.classifier.linear import head_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Turns texts into features with an encoder.
Featurize = Callable[[Sequence[str]], FeatureBlocks]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureClassifier:
    """A task classifier for features that are already computed.

    Attributes:
        labels: The labels, in the order of the heads' outputs.
        heads: The linear layer.
        temperature: Divisor of the logits.
    """

    labels: tuple[str, ...]
    heads: Heads
    temperature: float

    def probabilities(self, features: FeatureBlocks) -> NDArray[np.float64]:
        """Return the probability of each task for prompts without earlier turns, shape (n, tasks)."""
        return spread_continues(self.labels, softmax(head_logits(self.heads, features) / self.temperature))


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTable:
    """n prompts as the runtime sees them.

    Attributes:
        features: Features of the prompts.
        probabilities: Probability of each task, shape (n, tasks).
        tasks: The classifier's tasks, in the order of the columns.
        tokens: Size of each prompt in tokens, shape (n, 1).
    """

    features: FeatureBlocks
    probabilities: NDArray[np.float64]
    tasks: tuple[str, ...]
    tokens: NDArray[np.int64]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> PromptTable:
        """Return some of the prompts.

        Args:
            rows: Index or mask of the prompts.
        """
        chosen = np.arange(len(self.tokens))[rows]
        return replace(
            self,
            features=self.features.take(chosen),
            probabilities=self.probabilities[chosen],
            tokens=self.tokens[chosen],
        )


def make_prompt_table(
    prompts: Sequence[str], tasks: tuple[str, ...], classifier: FeatureClassifier, featurize: Featurize
) -> PromptTable:
    """Return the table of some prompts. Long prompts are cut to head and tail, as the runtime does.

    Args:
        prompts: Prompt texts.
        tasks: The classifier's tasks.
        classifier: Predicts the tasks.
        featurize: Computes the features with the classifier's encoder.
    """
    requests = [parse_prompt(prompt) for prompt in prompts]
    # A text is one turn, already cut.
    features = featurize([request.turns[0] for request in requests])
    return PromptTable(
        features=features,
        probabilities=classifier.probabilities(features),
        tasks=tasks,
        tokens=count_tokens(prompts),
    )


def make_held_out_table(fitted: FittedClassifier, features: FeatureBlocks, prompts: Sequence[str]) -> PromptTable:
    """Return the table of the prompts that training held out, with their held-out probabilities.

    Args:
        fitted: The classifier.
        features: Features of all prompts that it was fitted on.
        prompts: Texts of the held-out prompts.
    """
    return PromptTable(
        features=features.take(fitted.held_out),
        probabilities=fitted.probabilities,
        tasks=fitted.tasks,
        tokens=count_tokens(prompts),
    )


def count_tokens(prompts: Sequence[str]) -> NDArray[np.int64]:
    """Return the size of each prompt in tokens as the runtime estimates it, shape (n, 1)."""
    return np.array([parse_prompt(prompt).tokens for prompt in prompts], np.int64).reshape(-1, 1)
