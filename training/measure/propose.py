"""A benchmark and prompts that can be graded in, the (prompt, model) pairs whose scores are worth most per USD out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from router.score.scoring import ProfileTable
from training.data.benchmark import BenchmarkSet, read_benchmark
from training.data.facts import FACT_COLUMNS
from training.data.logs import read_log
from training.data.results import MEASURES
from training.data.table import DatasetError, read_table
from training.quality.information import Knowledge, Plan, make_plan, pick_prompts
from training.quality.outcomes import pivot
from training.quality.posterior import Posterior
from training.quality.profiles import learn_models

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Turns texts into the probability of each task of the classifier, shape (n, tasks).
Predict = Callable[[Sequence[str]], "NDArray[np.float64]"]
# Size of a prompt whose cost is estimated, in tokens.
_USUAL_TOKENS = 300
# Columns of a benchmark that say nothing about the prompt itself.
_OF_A_RESULT = frozenset({"model", *MEASURES, *FACT_COLUMNS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What to measure next.

    Attributes:
        plan: The scores to buy.
        models: Name of each model.
        tasks: Name of each task.
        header: Columns of `rows`.
        rows: One row for each pair, the most useful first.
    """

    plan: Plan
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]

    @property
    def cost_usd(self) -> float:
        """What the scores are expected to cost."""
        return sum(purchase.cost_usd for purchase in self.plan.purchases)


def propose(
    benchmark: Path,
    *,
    prompts: Path | None,
    log: Path | None,
    models: Collection[str] | None,
    tasks: Sequence[str],
    predict: Predict,
    budget_usd: float,
    usd_per_point: Sequence[float],
    horizon: float,
    seed: int,
) -> Proposal:
    """Return the pairs to measure.

    Args:
        benchmark: What was measured so far. Its models are measured further.
        prompts: CSV file of prompts that can be graded. Its other columns are copied. None: the prompts of the benchmark.
        log: Log whose mix of tasks counts. None: that of the prompts.
        models: The models that can be measured. None: all of the benchmark.
        tasks: The tasks of the classifier.
        predict: Predicts the task of a prompt that names none.
        budget_usd: What the scores may cost together.
        usd_per_point: The prices of a point of quality at which the router is used.
        horizon: Number of later prompts that the scores will serve.
        seed: Seed of the order of prompts.

    Raises:
        DatasetError: If a file breaks its rules, or no prompt can be graded.
    """
    table = read_benchmark(benchmark, tasks=tasks)
    pool = _Pool.read(prompts or benchmark, tasks, predict)
    share = pool.count_tasks(len(tasks)).mean(axis=0)
    if log is not None:
        share = predict([entry.text for entry in read_log(log)]).mean(axis=0)
    posterior, cost_usd = _learn(table, tasks, predict)
    names = posterior.cells.traits.models
    scored = _mark_scored(table, pool.texts, names)
    can_be_measured = np.array([models is None or name in models for name in names])[:, None]
    knowledge = Knowledge.of(
        posterior,
        cost_usd=cost_usd,
        # A model that costs nothing is still not measured without end.
        measure_usd=np.where(can_be_measured, np.maximum(cost_usd, 1e-9), np.nan),
        share=share,
        available=(~scored).astype(np.int64).T @ pool.count_tasks(len(tasks)),
    )
    plan = make_plan(knowledge, budget_usd=budget_usd, usd_per_point=usd_per_point, horizon=horizon)
    pairs = pick_prompts(scored, plan.purchases, pool.task, seed=seed)
    rows = [
        pool.columns[i]
        | {
            "prompt": pool.texts[i],
            "task": tasks[pool.task[i]],
            "model": names[model],
            "expected_cost_usd": f"{cost_usd[model, pool.task[i]]:.6g}",
        }
        for i, model in pairs
    ]
    return Proposal(plan=plan, models=names, tasks=tuple(tasks), header=pool.header, rows=tuple(rows))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pool:
    """Prompts that can be graded.

    Attributes:
        texts: The prompts, each once.
        columns: The columns of each prompt, without those of a result.
        task: Task of each prompt, as an index.
    """

    texts: tuple[str, ...]
    columns: tuple[dict[str, str], ...]
    task: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path, tasks: Sequence[str], predict: Predict) -> _Pool:
        found: dict[str, dict[str, str]] = {}
        for _, row in read_table(path, required=("prompt",)):
            text = row["prompt"]
            if text.strip():
                found.setdefault(text, {name: value for name, value in row.items() if name and name not in _OF_A_RESULT})
        if not found:
            raise DatasetError(f"{path} must have prompts that can be graded, found none; name a file with --prompts")
        texts = tuple(found)
        named = [row.get("task", "").strip().lower() for row in found.values()]
        task = np.array([tasks.index(name) if name in tasks else -1 for name in named], np.int64)
        unnamed = np.flatnonzero(task < 0)
        if len(unnamed):
            task[unnamed] = predict([texts[i] for i in unnamed.tolist()]).argmax(axis=1)
        return cls(texts=texts, columns=tuple(found.values()), task=task)

    @property
    def header(self) -> tuple[str, ...]:
        first = ("prompt", "task", "benchmark", "model", "expected_cost_usd")
        return tuple(dict.fromkeys((*first, *(name for row in self.columns for name in row))))

    def count_tasks(self, tasks: int) -> NDArray[np.int64]:
        """Return 1 for the task of each prompt, shape (prompts, tasks)."""
        return np.eye(tasks, dtype=np.int64)[self.task]


def _learn(table: BenchmarkSet, tasks: Sequence[str], predict: Predict) -> tuple[Posterior, NDArray[np.float64]]:
    """Return the posterior, and the expected cost of a usual prompt in USD, shape (models, tasks)."""
    outcomes = pivot(table.results, table.facts)
    learned = learn_models(table.results, table.facts, tasks, task_probabilities=predict, outcomes=outcomes)
    profiles = {profile.name: profile for profile in learned.profiles}
    costs = ProfileTable([profiles[name] for name in learned.posterior.cells.traits.models], tasks)
    expected = costs.expect(np.eye(len(costs.tasks)), tokens=np.full((len(costs.tasks), 1), _USUAL_TOKENS))
    return learned.posterior, expected.cost_usd.T


def _mark_scored(table: BenchmarkSet, texts: Sequence[str], models: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether a prompt has a score of a model, shape (prompts, models)."""
    results = table.results
    place, column = {text: i for i, text in enumerate(texts)}, {model: i for i, model in enumerate(models)}
    place_of_code = np.array([place.get(text, -1) for text in results.prompts] or [-1])
    column_of_code = np.array([column.get(model, -1) for model in results.models])
    scored = np.zeros((len(texts), len(models)), np.bool_)
    for part in results.chunks():
        row = np.where(part.prompt >= 0, place_of_code[part.prompt], -1)
        known = row >= 0
        scored[row[known], column_of_code[part.model[known]]] = True
    return scored
