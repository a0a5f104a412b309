"""Learn what each model is good at from benchmark results: means per task, shrunk by how much evidence there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from router.types import Estimate, ModelProfile
from training.datasets import ModelFacts, Result, Results

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Prompts behind an aggregate that does not say how many: a middling benchmark.
ASSUMED_N = 100.0
# A standard deviation of 1 on a scale of 1 says next to nothing, and keeps a fit solvable where levels cannot be told
# apart (one model; models that share no task).
_WEAK_VARIANCE = 1.0
# Before anything is known, models differ by 0.15, and so do tasks; counts as much as one of them.
_USUAL_VARIANCE = 0.15**2
_MAX_BETWEEN = 1.0
_COST_PRIOR = 5.0
_USAGE = ("cost_usd", "output_tokens", "latency_s")
_ROUNDING = 1e-9
_EM_ROUNDS = 100

TaskProbabilities = Callable[[Sequence[str]], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one benchmark says of one model on one task.

    Attributes:
        model: The model.
        task: The task.
        benchmark: The benchmark.
        mean: Mean score, in [0, 1].
        n: Prompts behind it; of softly labelled prompts the sum of their probabilities.
    """

    model: str
    task: str
    benchmark: str
    mean: float
    n: float

    @property
    def variance(self) -> float:
        """Squared standard error of the mean.

        p(1 − p)/n with p = (n·mean + 1)/(n + 2): the largest variance that scores in [0, 1] of that mean can have (Bhatia
        and Davis, 2000), with Laplace's correction so that a perfect score is not certain.
        """
        p = (self.n * self.mean + 1) / (self.n + 2)
        return p * (1 - p) / self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The additive part of quality: a model's level plus a task's.

    Attributes:
        models: Names, in the order of the first deviations.
        tasks: Names, in the order of the others.
        coefficients: Shape (1 + models + tasks,): the mean, then deviations.
        covariance: Of the coefficients.
        between: Variance τ² of the true qualities around model level + task level.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    between: float

    def predict(self, model: str, task: str) -> tuple[float, float]:
        """Return level and its squared standard error."""
        row = _design_row(self.models, self.tasks, model, task)
        return float(row @ self.coefficients), float(row @ self.covariance @ row)


def learn_profiles(
    results: Sequence[Result] | Results,
    facts: Mapping[str, ModelFacts],
    tasks: Sequence[str],
    *,
    task_probabilities: TaskProbabilities | None = None,
) -> list[ModelProfile]:
    """Learn one profile per model, in the order of first appearance.

    Quality is estimated by the area-level model of Fay and Herriot (1979, JASA 74:269–277): the true quality of model m on
    task t is N(a_m + b_t, τ²) around the model's and the task's level, the measured mean y is N(quality, v) around that,
    and the estimate is

        γ·y + (1 − γ)·(a_m + b_t)   with   γ = τ² / (τ² + v)

    and the squared standard error γ·v + (1 − γ)²·Var(a_m + b_t); where nothing was measured it is the level, ± √(τ² + Var).
    The levels themselves are shrunk towards the mean of all, so that one good result on a task that nobody else was measured
    on does not make an all-rounder. Before that each benchmark's difficulty within its task is taken off, so that a model is
    not held weak for having been measured by the harder one.

    Args:
        results: The benchmark's rows.
        facts: What is known of the models besides.
        tasks: The tasks to estimate.
        task_probabilities: Turns n prompts into an array of shape (n, len(tasks)), for the rows that name no task.

    Raises:
        ValueError: If rows name a task that is not among `tasks`, or none and there is nothing to tell it.
    """
    rows = results if isinstance(results, Results) else Results.of(results)
    occurring, first = np.unique(rows.model, return_index=True)
    codes = occurring[np.argsort(first)].tolist()
    models = tuple(rows.models[code] for code in codes)
    cells, usage = _sum_up(rows, tasks, task_probabilities)
    measured = _pool_benchmarks(cells) if cells else {}
    levels = fit_levels(measured, models=models, tasks=tasks)
    return [
        _make_profile(model, facts.get(model, ModelFacts()), tasks, measured, levels, usage[:, code])
        for model, code in zip(models, codes, strict=True)
    ]


def estimate_quality(measured: tuple[float, float, float] | None, level: tuple[float, float], between: float) -> Estimate:
    """Shrink a measured mean towards its level.

    Args:
        measured: Mean, squared standard error and n; None where nothing was measured.
        level: The level and its squared standard error.
        between: τ².
    """
    expected, uncertainty = level
    if measured is None:
        return Estimate(mean=_clip(expected), stderr=float(np.sqrt(between + uncertainty)), n=0)
    mean, variance, n = measured
    trust = between / (between + variance)
    return Estimate(
        mean=_clip(trust * mean + (1 - trust) * expected),
        stderr=float(np.sqrt(trust * variance + (1 - trust) ** 2 * uncertainty)),
        n=n,
    )


def fit_levels(
    measured: Mapping[tuple[str, str], tuple[float, float, float]], *, models: Sequence[str], tasks: Sequence[str]
) -> Levels:
    """Fit τ² by Fay and Herriot's moment equation, then the mean and the models' and tasks' deviations from it.

    τ² ≥ 0 solves Σ (y − a_m − b_t)² / (τ² + v) = cells − free coefficients; the left side falls with τ²: bisection. The
    deviations are random effects, N(0, σ²) with a σ² for models and one for tasks, estimated by expectation–maximisation
    (Laird and Ware, 1982, Biometrics 38:963–974): σ² ← mean of deviation² + its squared standard error.

    Args:
        measured: Mean, squared standard error and n by (model, task).
        models: The models.
        tasks: The tasks; one that nobody was measured on is an average one.
    """
    of_models, of_tasks = slice(1, 1 + len(models)), slice(1 + len(models), None)
    prior = np.full(1 + len(models) + len(tasks), _WEAK_VARIANCE)
    prior[0] = np.inf if measured else _WEAK_VARIANCE
    design = np.array([_design_row(models, tasks, model, task) for model, task in measured]).reshape(-1, len(prior))
    y, v, _ = np.array(list(measured.values())).reshape(-1, 3).T
    between = _fit_between(design, y, v, prior)
    coefficients, covariance = _solve(design, y, v + between, prior)
    for _ in range(_EM_ROUNDS):
        for part in (of_models, of_tasks):
            moments = coefficients[part] ** 2 + covariance.diagonal()[part]
            prior[part] = (moments.sum() + _USUAL_VARIANCE) / (len(moments) + 1)
        coefficients, covariance = _solve(design, y, v + between, prior)
    if not measured:
        coefficients[0] = 0.5
    return Levels(
        models=tuple(models), tasks=tuple(tasks), coefficients=coefficients, covariance=covariance, between=between
    )


def _fit_between(
    design: NDArray[np.float64], y: NDArray[np.float64], v: NDArray[np.float64], prior: NDArray[np.float64]
) -> float:
    freedom = len(y) - (int(np.linalg.matrix_rank(design)) if len(y) else 0)
    if freedom <= 0:  # nothing tells τ² from noise: take the models' word as it is, up to its own error
        return float(np.mean(v)) if len(v) else 0.0

    def excess(between: float) -> float:
        coefficients, _ = _solve(design, y, v + between, prior)
        return float(((y - design @ coefficients) ** 2 / (v + between)).sum()) - freedom

    low, high = 0.0, _MAX_BETWEEN
    if excess(low) <= 0:
        return 0.0
    while high - low > _ROUNDING:
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def _sum_up(
    rows: Results, tasks: Sequence[str], task_probabilities: TaskProbabilities | None
) -> tuple[list[Cell], NDArray[np.float64]]:
    """Average the scores of each model, task and benchmark, and sum up usage.

    A row counts for its own task with its n, or for all of them with the classifier's probabilities.

    Returns:
        The cells; less than one prompt's worth is no evidence. Usage, shape (of `_USAGE`, models, tasks, 2): its weighted
        sum and the weight, over the rows where it is known.
    """
    hard = _own_tasks(rows, tasks)
    soft = _soft_tasks(rows, tasks, task_probabilities)
    n = np.where(np.isnan(rows.n), ASSUMED_N, rows.n)
    pairs, pair = np.unique(rows.model.astype(np.int64) * len(rows.benchmarks) + rows.benchmark, return_inverse=True)
    cells: list[Cell] = []
    usage = np.zeros((len(_USAGE), len(rows.models), len(tasks), 2))
    for place, task in enumerate(tasks):
        those = np.flatnonzero((hard == place) | (hard < 0))
        weight = n[those]
        unsure = np.flatnonzero(hard[those] < 0)
        weight[unsure] = soft[rows.prompt[those[unsure]], place]
        sums = _sum_by(pair[those], rows.score[those], weight, len(pairs))
        for which in np.flatnonzero(sums[:, 1] >= 1 - _ROUNDING).tolist():
            model, benchmark = (int(i) for i in divmod(pairs[which], len(rows.benchmarks)))
            names = {"model": rows.models[model], "task": task, "benchmark": rows.benchmarks[benchmark]}
            cells.append(Cell(**names, mean=float(sums[which, 0] / sums[which, 1]), n=float(sums[which, 1])))
        for what, name in enumerate(_USAGE):
            usage[what, :, place] = _sum_by(rows.model[those], getattr(rows, name)[those], weight, len(rows.models))
    return cells, usage


def _sum_by(
    codes: NDArray[np.integer[Any]], values: NDArray[np.float64], weights: NDArray[np.float64], size: int
) -> NDArray[np.float64]:
    """Return, of each code, the weighted sum of the values that are known and their weight, shape (size, 2)."""
    known = np.flatnonzero(~np.isnan(values))
    codes, values, weights = codes[known], values[known], weights[known]
    return np.stack([np.bincount(codes, values * weights, size), np.bincount(codes, weights, size)], axis=1)


def _own_tasks(rows: Results, tasks: Sequence[str]) -> NDArray[np.int64]:
    """Return the place of each row's own task in `tasks`; −1 where it names none."""
    occurring = np.unique(rows.task[rows.task >= 0]).tolist()
    unknown = [rows.tasks[code] for code in occurring if rows.tasks[code] not in tasks]
    if unknown:
        raise ValueError(
            f"results must be of the tasks {', '.join(tasks)}, were of {', '.join(unknown)}, too; leave those out"
        )
    places = np.full(len(rows.tasks) + 1, -1)  # the last is where the code −1 leads to
    places[occurring] = [tasks.index(rows.tasks[code]) for code in occurring]
    return np.asarray(places[rows.task], np.int64)


def _soft_tasks(rows: Results, tasks: Sequence[str], task_probabilities: TaskProbabilities | None) -> NDArray[np.float64]:
    """Return each prompt's probability of each task, shape (prompts, tasks); 0 where all its rows name theirs."""
    asked = np.unique(rows.prompt[rows.task < 0])
    soft = np.zeros((len(rows.prompts) if len(asked) else 0, len(tasks)))
    if not len(asked):
        return soft
    if asked[0] < 0:
        raise ValueError("a result must have a task or a prompt, one has neither; name its task")
    if task_probabilities is None:
        raise ValueError(f"{len(asked)} prompts name no task and there is no classifier to tell it; name their tasks")
    soft[asked] = task_probabilities(tuple(rows.prompts[code] for code in asked.tolist()))
    return soft


def _pool_benchmarks(cells: Sequence[Cell]) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Take each benchmark's difficulty off and pool, by inverse variance, what is left per model and task."""
    difficulty = _benchmark_difficulty(cells)
    pooled: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
    for cell in cells:
        pooled[cell.model, cell.task].append((cell.mean - difficulty[cell.task, cell.benchmark], cell.variance, cell.n))
    return {key: _pool(parts) for key, parts in pooled.items()}


def _pool(parts: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    means, variances, ns = np.array(parts).T
    precision = 1 / variances
    return float(means @ precision / precision.sum()), float(1 / precision.sum()), float(ns.sum())


def _benchmark_difficulty(cells: Sequence[Cell]) -> dict[tuple[str, str], float]:
    """Return how much better than on the task's benchmarks on average the same models score on each."""
    models = tuple(dict.fromkeys(cell.model for cell in cells))
    columns = tuple(dict.fromkeys((cell.task, cell.benchmark) for cell in cells))
    design = np.zeros((len(cells), 1 + len(models) + len(columns)))
    design[:, 0] = 1
    for row, cell in enumerate(cells):
        design[row, [1 + models.index(cell.model), 1 + len(models) + columns.index((cell.task, cell.benchmark))]] = 1
    y = np.array([cell.mean for cell in cells])
    prior = np.full(design.shape[1], _WEAK_VARIANCE)
    prior[0] = np.inf
    coefficients, _ = _solve(design, y, np.array([cell.variance for cell in cells]), prior)
    level = dict(zip(columns, coefficients[1 + len(models) :].tolist(), strict=True))
    by_task: dict[str, list[float]] = defaultdict(list)
    for (task, _), value in level.items():
        by_task[task].append(value)
    return {(task, name): value - sum(by_task[task]) / len(by_task[task]) for (task, name), value in level.items()}


def _solve(
    design: NDArray[np.float64], y: NDArray[np.float64], variance: NDArray[np.float64], prior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients of weighted least squares and their covariance, given the prior variance of each around 0."""
    covariance = np.linalg.inv(design.T @ (design / variance[:, None]) + np.diag(1 / prior))
    return np.asarray(covariance @ (design.T @ (y / variance))), np.asarray(covariance, np.float64)


def _design_row(models: Sequence[str], tasks: Sequence[str], model: str, task: str) -> NDArray[np.float64]:
    row = np.zeros(1 + len(models) + len(tasks))
    row[[0, 1 + models.index(model), 1 + len(models) + tasks.index(task)]] = 1
    return row


def _make_profile(
    model: str,
    facts: ModelFacts,
    tasks: Sequence[str],
    measured: Mapping[tuple[str, str], tuple[float, float, float]],
    levels: Levels,
    usage: NDArray[np.float64],
) -> ModelProfile:
    quality = {
        task: estimate_quality(measured.get((model, task)), levels.predict(model, task), levels.between) for task in tasks
    }
    costs, lengths, seconds = usage
    by_task = zip(tasks, map(_mean, lengths), strict=True)
    return ModelProfile(
        name=model,
        provider=facts.provider,
        quality=quality,
        input_usd_per_mtok=facts.input_usd_per_mtok,
        output_usd_per_mtok=facts.output_usd_per_mtok,
        output_tokens={task: length for task, length in by_task if length is not None},
        cost_usd=_mean(costs.sum(axis=0)),
        cost_usd_by_task=_shrink_costs(tasks, costs),
        latency_s=_mean(seconds.sum(axis=0)),
        context_window=facts.context_window,
        capabilities=facts.capabilities,
        source=facts.source,
    )


def _shrink_costs(tasks: Sequence[str], costs: NDArray[np.float64]) -> dict[str, float]:
    """Return mean costs by task where any is known, each with the mean of all as so many prompts more."""
    mean = _mean(costs.sum(axis=0))
    if mean is None:
        return {}
    by_task = zip(tasks, costs.tolist(), strict=True)
    return {task: (total + _COST_PRIOR * mean) / (n + _COST_PRIOR) for task, (total, n) in by_task if n > 0}


def _mean(sums: NDArray[np.float64]) -> float | None:
    """Return a weighted sum over its weight; None where nothing is known."""
    total, weight = sums.tolist()
    return total / weight if weight > 0 else None


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
