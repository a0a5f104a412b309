"""Learn what each model is good at from benchmark results: means per task, shrunk by how much evidence there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.types import Estimate, ModelProfile
from training.datasets import ModelFacts, Result

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
    results: Sequence[Result],
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
        ValueError: If rows name no task and there is nothing to tell it.
    """
    weighted = list(_weigh(results, tasks, task_probabilities))
    cells = _gather_cells(weighted)
    measured = _pool_benchmarks(cells) if cells else {}
    models = tuple(dict.fromkeys(result.model for result in results))
    levels = fit_levels(measured, models=models, tasks=tasks)
    return [
        _make_profile(
            model, facts.get(model, ModelFacts()), tasks, measured, levels, [w for w in weighted if w[0].model == model]
        )
        for model in models
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


def _weigh(
    results: Sequence[Result], tasks: Sequence[str], task_probabilities: TaskProbabilities | None
) -> Iterable[tuple[Result, str, float]]:
    """Yield each result with a task and its weight: the row's own, or all with the classifier's probabilities."""
    unlabelled = tuple(dict.fromkeys(result.prompt for result in results if not result.task))
    soft: dict[str, NDArray[np.float64]] = {}
    if unlabelled:
        if task_probabilities is None:
            raise ValueError(
                f"{len(unlabelled)} prompts name no task and there is no classifier to tell it; name their tasks"
            )
        soft = dict(zip(unlabelled, task_probabilities(unlabelled), strict=True))
    for result in results:
        if result.task:
            yield result, result.task, result.n or ASSUMED_N
        else:
            yield from ((result, task, float(p)) for task, p in zip(tasks, soft[result.prompt], strict=True))


def _gather_cells(weighted: Iterable[tuple[Result, str, float]]) -> list[Cell]:
    """Average the results of each model, task and benchmark; less than one prompt's worth is no evidence."""
    sums: dict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for result, task, weight in weighted:
        total = sums[result.model, task, result.benchmark]
        total[0] += weight * result.score
        total[1] += weight
    return [
        Cell(model=model, task=task, benchmark=benchmark, mean=total / n, n=n)
        for (model, task, benchmark), (total, n) in sums.items()
        if n >= 1 - _ROUNDING
    ]


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
    weighted: Sequence[tuple[Result, str, float]],
) -> ModelProfile:
    quality = {
        task: estimate_quality(measured.get((model, task)), levels.predict(model, task), levels.between) for task in tasks
    }
    lengths = {
        task: mean
        for task in tasks
        if (mean := _mean((result.output_tokens, weight) for result, named, weight in weighted if named == task)) is not None
    }
    return ModelProfile(
        name=model,
        provider=facts.provider,
        quality=quality,
        input_usd_per_mtok=facts.input_usd_per_mtok,
        output_usd_per_mtok=facts.output_usd_per_mtok,
        output_tokens=lengths,
        cost_usd=_mean((result.cost_usd, weight) for result, _, weight in weighted),
        latency_s=_mean((result.latency_s, weight) for result, _, weight in weighted),
        context_window=facts.context_window,
        capabilities=facts.capabilities,
        source=facts.source,
    )


def _mean(pairs: Iterable[tuple[float | None, float]]) -> float | None:
    """Return the weighted mean of what is known."""
    known = [(value, weight) for value, weight in pairs if value is not None and weight > 0]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if known else None


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
