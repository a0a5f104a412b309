"""Benchmark rows in, a table out with one row per prompt and one column per model; and folds that keep groups whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from router.errors import InputError
from training.data.facts import ModelFacts
from training.data.results import Results

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOKENS_PER_MTOK = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """Scores and costs of m models on n prompts.

    Attributes:
        models: Model names, in the order of first appearance.
        prompts: Prompt texts, each once, in the order of first appearance.
        tasks: Task of each prompt. Empty if no row names it.
        benchmarks: Benchmark of each prompt.
        groups: Group of each prompt. A split must not separate the prompts of one group. Unique if the file names none.
        score: Shape (n, m), in [0, 1]. NaN if not measured.
        cost_usd: Cost per prompt in USD, shape (n, m). NaN if unknown.
    """

    models: tuple[str, ...]
    prompts: tuple[str, ...]
    tasks: tuple[str, ...]
    benchmarks: tuple[str, ...]
    groups: tuple[str, ...]
    score: NDArray[np.float64]
    cost_usd: NDArray[np.float64]

    def take(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Outcomes:
        """Return some of the prompts, with all models.

        Args:
            rows: Index or mask of the prompts. The result has the order of the index.
        """
        chosen = np.arange(len(self.prompts))[rows].tolist()
        texts = {
            name: tuple(getattr(self, name)[i] for i in chosen) for name in ("prompts", "tasks", "benchmarks", "groups")
        }
        return Outcomes(models=self.models, **texts, score=self.score[rows], cost_usd=self.cost_usd[rows])


def pivot(results: Results, facts: Mapping[str, ModelFacts] | None = None) -> Outcomes:
    """Return the rows that have a prompt as a table.

    Several rows of one prompt and model are averaged; their cost is averaged over the known costs. A prompt gets the first
    task that one of its rows names, and the benchmark of its first row.

    Args:
        results: The benchmark's rows.
        facts: List prices by model name. A row without a cost gets its tokens times these prices.
    """
    rows = Results.concat(part.take(part.prompt >= 0) for part in results.chunks())
    models, _, model = _renumber(rows.model)
    prompts, first, prompt = _renumber(rows.prompt)
    shape = (len(prompts), len(models))
    # One number per (prompt, model) cell, so that one bincount averages them all.
    cell = prompt * len(models) + model
    named = np.flatnonzero(rows.task >= 0)
    # np.unique returns the first row of each prompt, so the first named task wins.
    with_task, first_named = np.unique(prompt[named], return_index=True)
    tasks = np.full(len(prompts), -1)
    tasks[with_task] = rows.task[named[first_named]]
    return Outcomes(
        models=tuple(rows.models[i] for i in models),
        prompts=tuple(rows.prompts[i] for i in prompts),
        tasks=tuple(rows.tasks[i] if i >= 0 else "" for i in tasks.tolist()),
        benchmarks=tuple(rows.benchmarks[i] for i in rows.benchmark[first].tolist()),
        groups=tuple(rows.groups[i] or f"prompt {i}" for i in prompts),
        score=_mean_by_cell(cell, rows.score, shape),
        cost_usd=_mean_by_cell(cell, _costs(rows, facts or {}), shape),
    )


def split_groups(outcomes: Outcomes, folds: int, *, seed: int) -> NDArray[np.int64]:
    """Return the fold of each prompt, in [0, folds).

    Groups stay whole. Tasks are spread as evenly as the groups allow. Groups are placed one by one, the largest first; the
    seed draws the order of equally large ones. Each goes to the fold with the fewest prompts of the group's most frequent
    task. Ties go to the fold with the fewest prompts, then to the first fold.

    Args:
        outcomes: The prompts with their groups and tasks.
        folds: Number of folds.
        seed: Seed of the order of equally large groups.

    Raises:
        InputError: If there are fewer groups than folds.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(outcomes.groups):
        members[group].append(row)
    if not 1 <= folds <= len(members):
        raise InputError(f"folds must be in [1, {len(members)}], the number of groups, got {folds}; name finer groups")
    drawn = np.random.default_rng(seed).permutation(len(members)).tolist()
    groups = list(members.values())
    sizes: dict[str, list[int]] = defaultdict(lambda: [0] * folds)
    totals = [0] * folds
    placed = np.empty(len(outcomes.prompts), np.int64)
    # sorted() is stable, so equally large groups keep the drawn order.
    for rows in sorted((groups[i] for i in drawn), key=len, reverse=True):
        task = _most_frequent([outcomes.tasks[row] for row in rows])
        fold = min(range(folds), key=lambda fold: (sizes[task][fold], totals[fold]))
        placed[rows] = fold
        totals[fold] += len(rows)
        for row in rows:
            sizes[outcomes.tasks[row]][fold] += 1
    return placed


def _most_frequent(names: Sequence[str]) -> str:
    """Return the most frequent name; ties go to the first one."""
    return names[0] if len(names) == 1 else max(dict.fromkeys(names), key=names.count)


def _renumber(codes: NDArray[np.int32]) -> tuple[list[int], NDArray[np.int64], NDArray[np.int64]]:
    """Return codes renumbered in the order of first appearance.

    Returns:
        The distinct codes in that order, the row at which each appears first, and the new number of each row.
    """
    found, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.arange(len(order))
    return found[order].tolist(), first[order], numbers[inverse]


def _mean_by_cell(cell: NDArray[np.int64], values: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the mean of the known values of each cell, NaN for a cell without any."""
    known = ~np.isnan(values)
    counts = np.bincount(cell[known], minlength=shape[0] * shape[1])
    sums = np.bincount(cell[known], values[known], minlength=shape[0] * shape[1])
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return np.asarray(means.reshape(shape), np.float64)


def _costs(rows: Results, facts: Mapping[str, ModelFacts]) -> NDArray[np.float64]:
    """Return the cost of each row in USD per prompt: the measured cost, or else tokens × list price."""
    known = [facts.get(model, ModelFacts()) for model in rows.models]
    usd_in, usd_out = (
        np.array([np.nan if price is None else price for price in prices])[rows.model]
        for prices in ([fact.input_usd_per_mtok for fact in known], [fact.output_usd_per_mtok for fact in known])
    )
    listed = (rows.input_tokens * usd_in + rows.output_tokens * usd_out) / _TOKENS_PER_MTOK
    return np.where(np.isnan(rows.cost_usd), listed, rows.cost_usd)
