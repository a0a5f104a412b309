"""A benchmark as the runtime sees it: prompts as they are read when they are served, and its table of the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from router.classifier import softmax
from router.heads import Heads, PromptHeads
from router.scoring import Expectation, ProfileTable
from router.text import read_prompt
from router.types import ModelProfile
from training.classifier import FeatureBlocks, head_logits, spread_continues
from training.datasets import BenchmarkSet
from training.outcomes import Outcomes
from training.profiles import learn_profiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIELDS = ("quality", "cost_usd", "quality_by_task", "shift")
Featurize = Callable[[Sequence[str]], FeatureBlocks]
# Makes the table of the models of some prompts' outcomes, those of a mask, and of whatever was measured without a prompt.
Tabulate = Callable[["NDArray[np.bool_]"], ProfileTable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A classifier, as far as features are known already.

    Attributes:
        labels: What it tells apart.
        heads: Its layer.
        temperature: What logits are divided by.
    """

    labels: tuple[str, ...]
    heads: Heads
    temperature: float

    def probabilities(self, features: FeatureBlocks) -> NDArray[np.float64]:
        """Return those of the tasks, shape (n, tasks), of turns that have none before them."""
        return spread_continues(self.labels, softmax(head_logits(self.heads, features) / self.temperature))


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTable:
    """Prompts as the runtime sees them.

    Attributes:
        features: Of n prompts.
        probabilities: Of each of `tasks`, shape (n, tasks).
        tasks: The classifier's.
        tokens: Size of each, shape (n, 1).
    """

    features: FeatureBlocks
    probabilities: NDArray[np.float64]
    tasks: tuple[str, ...]
    tokens: NDArray[np.int64]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> PromptTable:
        """Return some of the prompts."""
        chosen = np.arange(len(self.tokens))[rows]
        return replace(
            self,
            features=self.features.take(chosen),
            probabilities=self.probabilities[chosen],
            tokens=self.tokens[chosen],
        )


def read_as_served(prompts: Sequence[str], tasks: tuple[str, ...], reading: Reading, featurize: Featurize) -> PromptTable:
    """Read prompts: long ones are cut to head and tail, each has a size in tokens, and a probability of each task."""
    requests = [read_prompt(prompt) for prompt in prompts]
    features = featurize([request.turns[0] for request in requests])
    return PromptTable(
        features=features,
        probabilities=reading.probabilities(features),
        tasks=tasks,
        tokens=count_tokens(prompts),
    )


def count_tokens(prompts: Sequence[str]) -> NDArray[np.int64]:
    """Return the size of each prompt as the runtime estimates it, shape (n, 1)."""
    return np.array([read_prompt(prompt).tokens for prompt in prompts], np.int64).reshape(-1, 1)


def make_tabulate(benchmark: BenchmarkSet, outcomes: Outcomes, prompts: PromptTable) -> Tabulate:
    """Return what makes tables of the models of `outcomes`, in their order, learning profiles of some of its prompts.

    Args:
        benchmark: The file.
        outcomes: Its rows that have a prompt.
        prompts: The same prompts as they are read, for those whose rows name no task.
    """
    results = benchmark.results
    place = {prompt: row for row, prompt in enumerate(outcomes.prompts)}
    row_of = np.array([place.get(prompt, -1) for prompt in results.prompts] or [-1], np.int64)
    asked = np.where(results.prompt >= 0, row_of[results.prompt], -1)

    def read(unlabelled: Sequence[str]) -> NDArray[np.float64]:
        return prompts.probabilities[[place[prompt] for prompt in unlabelled]]

    def tabulate(mask: NDArray[np.bool_]) -> ProfileTable:
        kept = asked < 0
        kept[~kept] = mask[asked[~kept]]
        profiles = learn_profiles(results.take(kept), benchmark.facts, prompts.tasks, task_probabilities=read)
        known = {profile.name: profile for profile in profiles}
        return ProfileTable([known.get(name, ModelProfile(name=name)) for name in outcomes.models], prompts.tasks)

    return tabulate


def take(expected: Expectation, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Expectation:
    """Return what is expected of some of the prompts."""
    return Expectation(**{name: getattr(expected, name)[rows] for name in _FIELDS})


def join(parts: Sequence[Expectation], folds: NDArray[np.int64]) -> Expectation:
    """Return what is expected of all prompts; parts: of those of fold 0, 1, …, in the order of the prompts."""
    back = np.argsort(np.argsort(folds, kind="stable"))
    return Expectation(**{name: np.concatenate([getattr(part, name) for part in parts])[back] for name in _FIELDS})


def expect(
    table: ProfileTable,
    prompts: PromptTable,
    *,
    shift: NDArray[np.float64] | float = 0.0,
    log_ratio: NDArray[np.float64] | float = 0.0,
) -> Expectation:
    """Return what a table expects of prompts, moved by what they say themselves; see `ProfileTable.expect`."""
    columns = [prompts.tasks.index(task) if task in prompts.tasks else -1 for task in table.tasks]
    p = np.hstack([prompts.probabilities, np.zeros((len(prompts.tokens), 1))])[:, columns]
    return table.expect(p, tokens=prompts.tokens, shift=shift, log_ratio=log_ratio)


def expect_with(table: ProfileTable, heads: PromptHeads | None, prompts: PromptTable) -> Expectation:
    """Return what a router expects of prompts: the table's expectation, moved by heads where there are any."""
    if heads is None:
        return expect(table, prompts)
    arranged = heads.arrange(table.names)
    shift, log_ratio = (head_logits(layer, prompts.features) for layer in (arranged.quality, arranged.cost))
    return expect(table.heeding(heads), prompts, shift=shift, log_ratio=log_ratio)
