"""How models did on prompts, as a table with a row for each prompt and a column for each model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from training.datasets import ModelFacts, Results

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOKENS_PER_MTOK = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """How m models did on n prompts.

    Attributes:
        models: Names, in the order of first appearance.
        prompts: Texts, each once, in the order of first appearance.
        tasks: Of each prompt, as its rows name it; empty where none does.
        benchmarks: Of each prompt.
        groups: Of each prompt: what must stay on one side of a split with it; unique where the file names none.
        score: Shape (n, m), in [0, 1]; NaN where not measured.
        cost_usd: Shape (n, m): USD per prompt; NaN where unknown.
    """

    models: tuple[str, ...]
    prompts: tuple[str, ...]
    tasks: tuple[str, ...]
    benchmarks: tuple[str, ...]
    groups: tuple[str, ...]
    score: NDArray[np.float64]
    cost_usd: NDArray[np.float64]

    def take(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Outcomes:
        """Return the prompts of an index or a mask, in its order, with all models."""
        chosen = np.arange(len(self.prompts))[rows].tolist()
        texts = {
            name: tuple(getattr(self, name)[i] for i in chosen) for name in ("prompts", "tasks", "benchmarks", "groups")
        }
        return Outcomes(models=self.models, **texts, score=self.score[rows], cost_usd=self.cost_usd[rows])


def pivot(results: Results, facts: Mapping[str, ModelFacts] | None = None) -> Outcomes:
    """Turn the rows that have a prompt into a table; the rows of one cell are averaged, costs over those that are known.

    A prompt has the first task that a row of it names, and the benchmark of its first row.

    Args:
        results: The benchmark's rows.
        facts: List prices by model: what a row's tokens cost by them stands in where its cost is missing.
    """
    rows = results.take(results.prompt >= 0)
    models, _, model = _renumber(rows.model)
    prompts, first, prompt = _renumber(rows.prompt)
    shape = (len(prompts), len(models))
    cell = prompt * len(models) + model
    named = np.flatnonzero(rows.task >= 0)
    those, first_named = np.unique(prompt[named], return_index=True)
    tasks = np.full(len(prompts), -1)
    tasks[those] = rows.task[named[first_named]]
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
    """Return each prompt's fold, in [0, folds): groups stay whole, tasks are spread evenly as far as groups allow.

    Groups are dealt out one by one, the largest first and equal ones in an order drawn by `seed`, each to the fold that has
    fewest prompts of its commonest task; ties go to the fold of fewest prompts, then to the first.

    Raises:
        ValueError: If there are fewer groups than folds.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(outcomes.groups):
        members[group].append(row)
    if not 1 <= folds <= len(members):
        raise ValueError(f"folds must be in [1, {len(members)}], the number of groups, was {folds}; name finer groups")
    drawn = np.random.default_rng(seed).permutation(len(members)).tolist()
    groups = list(members.values())
    sizes: dict[str, list[int]] = defaultdict(lambda: [0] * folds)
    totals = [0] * folds
    placed = np.empty(len(outcomes.prompts), np.int64)
    for rows in sorted((groups[i] for i in drawn), key=len, reverse=True):
        task = _commonest([outcomes.tasks[row] for row in rows])
        fold = min(range(folds), key=lambda fold: (sizes[task][fold], totals[fold]))
        placed[rows] = fold
        totals[fold] += len(rows)
        for row in rows:
            sizes[outcomes.tasks[row]][fold] += 1
    return placed


def _commonest(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else max(dict.fromkeys(names), key=names.count)


def _renumber(codes: NDArray[np.int32]) -> tuple[list[int], NDArray[np.int64], NDArray[np.int64]]:
    """Return the codes that occur in the order of first appearance, the row of that, and each row's place among them."""
    found, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return found[order].tolist(), first[order], places[inverse]


def _mean_by_cell(cell: NDArray[np.int64], values: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    counts = np.bincount(cell[known], minlength=shape[0] * shape[1])
    sums = np.bincount(cell[known], values[known], minlength=shape[0] * shape[1])
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return np.asarray(means.reshape(shape), np.float64)


def _costs(rows: Results, facts: Mapping[str, ModelFacts]) -> NDArray[np.float64]:
    """Return USD per prompt of each row: what was measured, else tokens × list price."""
    known = [facts.get(model, ModelFacts()) for model in rows.models]
    usd_in, usd_out = (
        np.array([np.nan if price is None else price for price in prices])[rows.model]
        for prices in ([fact.input_usd_per_mtok for fact in known], [fact.output_usd_per_mtok for fact in known])
    )
    listed = (rows.input_tokens * usd_in + rows.output_tokens * usd_out) / _TOKENS_PER_MTOK
    return np.where(np.isnan(rows.cost_usd), listed, rows.cost_usd)
