"""Benchmark results in, one `ModelProfile` per model and the posterior of the qualities out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from router.errors import InputError
from router.types import PRICES, Estimate, ModelProfile
from training.data.facts import ModelFacts, find_model_of
from training.data.results import Result, Results
from training.quality.cells import Cell, CellArrays
from training.quality.outcomes import Outcomes
from training.quality.posterior import Posterior, estimate_qualities
from training.quality.same_prompts import compare_on_same_prompts
from training.quality.traits import describe_models

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Number of prompts of an aggregate row that names none: the size of a medium benchmark.
ASSUMED_N = 100.0
# The mean cost over all tasks counts as this many prompts of each task.
_COST_PRIOR = 5.0
_USAGE = ("cost_usd", "output_tokens", "latency_s")
_ROUNDING = 1e-9
# Facts for which a profile has defaults.
_OPTIONAL = ("cache_lifetime_s", "output_tokens_ratio")

# Turns n prompts into the probability of each task, shape (n, tasks).
TaskProbabilities = Callable[[Sequence[str]], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a benchmark tells of its models.

    Attributes:
        profiles: One profile per model, in the order of first appearance. Models without a result come last.
        posterior: The qualities with their covariances.
    """

    profiles: list[ModelProfile]
    posterior: Posterior


def learn_models(
    results: Sequence[Result] | Results,
    facts: Mapping[str, ModelFacts],
    tasks: Sequence[str],
    *,
    task_probabilities: TaskProbabilities | None = None,
    outcomes: Outcomes | None = None,
) -> Learned:
    """Return one profile for each model of the results or the facts.

    A quality is the posterior mean of a Gaussian model over models, tasks and benchmarks, which `likelihood` describes. What
    was measured counts with its error. What was not is inferred from the other tasks and the variants of the model,
    and from models of the same maker, price, size and age. What all models score on the task counts, too. Its standard error
    says how well. So one good figure of a model on one task says little about the others.

    Args:
        results: The benchmark's rows.
        facts: Prices, context window and other facts, by model name. A model without a result gets inferred qualities.
        tasks: The tasks to estimate.
        task_probabilities: Called with the prompts of rows that name no task. None if every row names one.
        outcomes: The rows by prompt, as `pivot` returns them. With it, models that answered different prompts of a benchmark
            are compared on the same ones. None: each counts with its plain mean.

    Raises:
        InputError: If a row names a task that is not in `tasks`.
        InputError: If a row names no task and has no prompt, or `task_probabilities` is None.
    """
    rows = results if isinstance(results, Results) else Results.of(results)
    cells, usage = sum_by_task(rows, tasks, task_probabilities)
    if outcomes is not None:
        cells = compare_on_same_prompts(cells, outcomes, _share_tasks(outcomes, tasks, task_probabilities), tasks)
    measured = {rows.models[code]: usage[:, code] for code in rows.find_first("model")}
    models = tuple(dict.fromkeys((*measured, *facts)))
    costs = {model: cost for model, sums in measured.items() if (cost := _mean(sums[0].sum(axis=0))) is not None}
    posterior = Posterior.of(CellArrays.of(cells, tasks, describe_models(models, facts, costs)))
    qualities = estimate_qualities(cells, posterior)
    unused = np.zeros((len(_USAGE), len(tasks), 2))
    profiles = [
        _make_profile(model, facts.get(model, ModelFacts()), tasks, qualities[model], measured.get(model, unused))
        for model in models
    ]
    return Learned(profiles=profiles, posterior=posterior)


def sum_by_task(
    rows: Results, tasks: Sequence[str], task_probabilities: TaskProbabilities | None
) -> tuple[list[Cell], NDArray[np.float64]]:
    """Return mean scores by model, task and benchmark, and usage by model and task.

    A row that names its task counts for that task, with its n. Any other row counts for every task, with the classifier's
    probability of the task.

    Returns:
        The cells with a weight of at least one prompt; less is no evidence. Then the usage, shape (of `_USAGE`, models,
        tasks, 2): the weighted sum over the rows with a known value, and their weight.
    """
    column_of_code = _index_named_tasks(rows, tasks)
    row_of_code, probabilities = _predict_missing_tasks(rows, tasks, task_probabilities)
    # One number per (model, benchmark) pair, so that one array holds the sums of them all.
    pairs = reduce(np.union1d, (np.unique(_pair_codes(part)) for part in rows.chunks()))
    sums, usage = np.zeros((len(tasks), len(pairs), 2)), np.zeros((len(_USAGE), len(rows.models), len(tasks), 2))
    for part in rows.chunks():
        pair, named = np.searchsorted(pairs, _pair_codes(part)), column_of_code[part.task]
        n = np.where(np.isnan(part.n), ASSUMED_N, part.n)
        for column in range(len(tasks)):
            counted = np.flatnonzero((named == column) | (named < 0))
            # Fancy indexing copies, so the next task gets the original n.
            weight = n[counted]
            unnamed = np.flatnonzero(named[counted] < 0)
            weight[unnamed] = probabilities[row_of_code[part.prompt[counted[unnamed]]], column]
            _add_by(sums[column], pair[counted], part.score[counted], weight)
            for i, name in enumerate(_USAGE):
                _add_by(usage[i, :, column], part.model[counted], getattr(part, name)[counted], weight)
    return _make_cells(rows, tasks, pairs, sums), usage


def _pair_codes(rows: Results) -> NDArray[np.int64]:
    """Return one number for the model and the benchmark of each row."""
    return np.asarray(rows.model.astype(np.int64) * len(rows.benchmarks) + rows.benchmark, np.int64)


def _make_cells(rows: Results, tasks: Sequence[str], pairs: NDArray[np.int64], sums: NDArray[np.float64]) -> list[Cell]:
    """Return the cells with a weight of at least one prompt.

    Args:
        rows: The rows, for their names.
        tasks: The tasks.
        pairs: The numbers of the models and benchmarks.
        sums: Weighted sum of the scores, and their weight, shape (tasks, pairs, 2).
    """
    cells = []
    for column, i in np.argwhere(sums[:, :, 1] >= 1 - _ROUNDING).tolist():
        model, benchmark = (int(code) for code in divmod(pairs[i], len(rows.benchmarks)))
        total, weight = sums[column, i].tolist()
        cells.append(
            Cell(
                model=rows.models[model],
                task=tasks[column],
                benchmark=rows.benchmarks[benchmark],
                mean=total / weight,
                n=weight,
            )
        )
    return cells


def _add_by(
    sums: NDArray[np.float64], codes: NDArray[np.integer[Any]], values: NDArray[np.float64], weights: NDArray[np.float64]
) -> None:
    """Add, for each code, the weighted sum of the known values and their weight to `sums`, shape (codes, 2)."""
    known = np.flatnonzero(~np.isnan(values))
    codes, values, weights = codes[known], values[known], weights[known]
    # Unlike a sum of sums, this adds one row after the other, so chunks do not change the rounding.
    np.add.at(sums[:, 0], codes, values * weights)
    np.add.at(sums[:, 1], codes, weights)


def _index_named_tasks(rows: Results, tasks: Sequence[str]) -> NDArray[np.int64]:
    """Return the index in `tasks` of each code of a task. The code −1 of a row without a task gives −1."""
    occurring = [code for code in sorted(rows.find_first("task")) if code >= 0]
    unknown = [rows.tasks[code] for code in occurring if rows.tasks[code] not in tasks]
    if unknown:
        raise InputError(
            f"results must name only the tasks {', '.join(tasks)}, got {', '.join(unknown)} too; remove those rows"
        )
    # One element more than tasks: the code −1 of a row without a task indexes the last one, which stays −1.
    index = np.full(len(rows.tasks) + 1, -1)
    index[occurring] = [tasks.index(rows.tasks[code]) for code in occurring]
    return np.asarray(index, np.int64)


def _predict_missing_tasks(
    rows: Results, tasks: Sequence[str], task_probabilities: TaskProbabilities | None
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Predict the tasks of the prompts with a row that names none.

    Returns:
        By the code of a prompt, its row in the second array; that is the probability of each task, shape (n, tasks).
    """
    # One element more than prompts, for the code −1 of rows without a prompt.
    asked = np.zeros(len(rows.prompts) + 1, np.bool_)
    for part in rows.chunks():
        asked[part.prompt[part.task < 0]] = True
    codes = np.flatnonzero(asked)
    row_of_code = np.cumsum(asked, dtype=np.int32) - 1
    if not len(codes):
        return row_of_code, np.empty((0, len(tasks)))
    if asked[-1]:
        raise InputError("a result must have a task or a prompt, got one with neither; name its task")
    if task_probabilities is None:
        raise InputError(f"{len(codes)} prompts name no task and there is no classifier to predict it; name their tasks")
    return row_of_code, task_probabilities(tuple(rows.prompts[code] for code in codes.tolist()))


def _share_tasks(
    outcomes: Outcomes, tasks: Sequence[str], task_probabilities: TaskProbabilities | None
) -> NDArray[np.float64]:
    """Return how much each prompt counts for each task, shape (prompts, tasks)."""
    shares = np.array([[name == task for task in tasks] for name in outcomes.tasks], np.float64).reshape(-1, len(tasks))
    unnamed = [row for row, name in enumerate(outcomes.tasks) if not name]
    if unnamed and task_probabilities is not None:
        shares[unnamed] = task_probabilities([outcomes.prompts[row] for row in unnamed])
    return shares


def _make_profile(
    model: str,
    facts: ModelFacts,
    tasks: Sequence[str],
    quality: Mapping[str, Estimate],
    usage: NDArray[np.float64],
) -> ModelProfile:
    costs, lengths, seconds = usage
    by_task = zip(tasks, map(_mean, lengths), strict=True)
    return ModelProfile(
        name=model,
        variant_of=find_model_of(model, facts.request),
        request=facts.request,
        provider=facts.provider,
        quality=quality,
        **{name: getattr(facts, name) for name in PRICES},
        prices_as_of=facts.as_of,
        **{name: value for name in _OPTIONAL if (value := getattr(facts, name)) is not None},
        output_tokens={task: length for task, length in by_task if length is not None},
        cost_usd=_mean(costs.sum(axis=0)),
        cost_usd_by_task=_shrink_costs(tasks, costs),
        latency_s=_mean(seconds.sum(axis=0)),
        context_window=facts.context_window,
        capabilities=facts.capabilities,
        source=facts.source,
    )


def _shrink_costs(tasks: Sequence[str], costs: NDArray[np.float64]) -> dict[str, float]:
    """Return the mean cost of each task with a known cost, shrunk towards the mean of all tasks."""
    mean = _mean(costs.sum(axis=0))
    if mean is None:
        return {}
    by_task = zip(tasks, costs.tolist(), strict=True)
    return {task: (total + _COST_PRIOR * mean) / (n + _COST_PRIOR) for task, (total, n) in by_task if n > 0}


def _mean(sums: NDArray[np.float64]) -> float | None:
    """Return a weighted sum divided by its weight, None if the weight is 0."""
    total, weight = sums.tolist()
    return total / weight if weight > 0 else None
