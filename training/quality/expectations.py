"""Model profiles and a table of prompts in, the expected quality and cost of each model on each prompt out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from router.classify.heads import PromptHeads
from router.score.scoring import Expectation, ProfileTable
from training.classifier.linear import head_logits
from training.data.benchmark import BenchmarkSet
from training.data.results import Results
from training.quality.outcomes import Outcomes
from training.quality.profiles import learn_models
from training.quality.prompt_table import PromptTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIELDS = tuple(field.name for field in fields(Expectation))
# Learns profiles from the prompts of a mask, shape (n,), and returns them as a table.
TableBuilder = Callable[["NDArray[np.bool_]"], ProfileTable]


def make_table_builder(benchmark: BenchmarkSet, outcomes: Outcomes, prompts: PromptTable) -> TableBuilder:
    """Return a function that learns profiles from some prompts and returns the table of all models of `outcomes`.

    Rows without a prompt count in every table. The models keep their order in `outcomes`.

    Args:
        benchmark: The benchmark.
        outcomes: The benchmark's rows that have a prompt.
        prompts: The prompts of `outcomes`. Their probabilities serve rows that name no task.
    """
    results = benchmark.results
    row_of_prompt = {prompt: row for row, prompt in enumerate(outcomes.prompts)}
    # One element more than prompts: the code −1 of a row without a prompt indexes the last one, which stays −1.
    row_of_code = np.array([*(row_of_prompt.get(prompt, -1) for prompt in results.prompts), -1], np.int64)

    def look_up(unlabelled: Sequence[str]) -> NDArray[np.float64]:
        return prompts.probabilities[[row_of_prompt[prompt] for prompt in unlabelled]]

    # The facts name every model, so one without a row in the mask gets inferred qualities, and the columns stay the same.
    def build_table(mask: NDArray[np.bool_]) -> ProfileTable:
        kept = np.append(mask, True)[row_of_code]
        rows = Results.concat(part.take(kept[part.prompt]) for part in results.chunks())
        learned = learn_models(
            rows, benchmark.facts, prompts.tasks, task_probabilities=look_up, outcomes=outcomes.take(mask)
        )
        known = {profile.name: profile for profile in learned.profiles}
        return ProfileTable([known[name] for name in outcomes.models], prompts.tasks)

    return build_table


def expect(
    table: ProfileTable,
    prompts: PromptTable,
    *,
    shift: NDArray[np.float64] | float = 0.0,
    log_ratio: NDArray[np.float64] | float = 0.0,
) -> Expectation:
    """Return the expected quality and cost of n prompts, by `ProfileTable.expect`.

    Args:
        table: The profiles of m models.
        prompts: The prompts.
        shift: Shift of quality by each prompt's text, in logits, shape (n, m).
        log_ratio: Logarithm of the factor by which each prompt's text changes the cost, shape (n, m).
    """
    # The table may know tasks that the classifier does not. They get the extra last column, which is 0.
    columns = [prompts.tasks.index(task) if task in prompts.tasks else -1 for task in table.tasks]
    p = np.hstack([prompts.probabilities, np.zeros((len(prompts.tokens), 1))])[:, columns]
    return table.expect(p, tokens=prompts.tokens, shift=shift, log_ratio=log_ratio)


def expect_with_heads(table: ProfileTable, heads: PromptHeads | None, prompts: PromptTable) -> Expectation:
    """Return the expected quality and cost of n prompts, as the router computes them.

    Args:
        table: The profiles.
        heads: Heads that shift quality and cost by each prompt's text. None: no shift.
        prompts: The prompts.
    """
    if heads is None:
        return expect(table, prompts)
    arranged = heads.arrange(table.names)
    shift, log_ratio = (head_logits(layer, prompts.features) for layer in (arranged.quality, arranged.cost))
    return expect(table.with_heads(heads), prompts, shift=shift, log_ratio=log_ratio)


def join_folds(parts: Sequence[Expectation], folds: NDArray[np.int64]) -> Expectation:
    """Return the expectations of all folds as one, in the order of the prompts.

    Args:
        parts: Expectations of the prompts of fold 0, 1, …. Within a fold the prompts keep their order.
        folds: Fold of each prompt, shape (n,).
    """
    # The inverse of the stable sort by fold, which is the order of the concatenated parts.
    order = np.argsort(np.argsort(folds, kind="stable"))
    return Expectation(**{name: np.concatenate([getattr(part, name) for part in parts])[order] for name in _FIELDS})
