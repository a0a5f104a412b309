"""Benchmark tables in, the error and the coverage of qualities that were not measured out.

    python benchmarks/unmeasured.py TABLE.csv ... [--folds 20] [--seed 0] [--regret]

Cells (a model on a task) are hidden and predicted from the rest of the table, then whole models. The columns are the mean
absolute error, the share of hidden means inside the 80 % and the 95 % interval, and the mean standard error. The intervals
include the sampling error of a hidden mean. If nobody says of how many prompts it is the mean, 100 are assumed, so the line
"with n" counts only the others. The baseline is the level of the model plus the level of the benchmark.

With `--regret`, each model is hidden on all of its tasks, or on all but one or two. A model is then chosen for each task, at
five prices of cost. The regret is how much less true utility the choice has than the best model, in points of quality. It is
listed by `risk_aversion`.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np

from training.data.benchmark import BenchmarkSet, read_benchmark
from training.quality.cells import Cell, CellArrays
from training.quality.posterior import Posterior
from training.quality.profiles import ASSUMED_N, sum_by_task
from training.quality.traits import Traits, describe_models

Group = tuple[str, str]
RISK_AVERSIONS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
# Quality that the dearest model's cost takes away.
PRICES = (0.0, 0.05, 0.2, 0.8, 3.0)


def describe(table: BenchmarkSet) -> Traits:
    """Return the traits of a table's models. Their mean cost is the price if no list price is known."""
    results = table.results
    costs = {}
    for code, model in enumerate(results.models):
        known = results.cost_usd[results.model == code]
        if not np.isnan(known).all():
            costs[model] = float(np.nanmean(known))
    return describe_models(results.models, table.facts, costs)


def predict(cells: Sequence[Cell], hidden: dict[Group, list[Cell]], tasks: Sequence[str], traits: Traits) -> list[tuple]:
    """Return the error, the standard error and the baseline's error of each hidden mean, and whether its n is assumed."""
    arrays = CellArrays.of(cells, tasks, traits)
    posterior = Posterior.of(arrays)
    levels = fit_levels(cells)
    of_column = {column: i for i, column in enumerate(arrays.columns)}
    found = []
    for (model, task), group in hidden.items():
        seen = [cell for cell in group if (task, cell.benchmark) in of_column]
        if not seen:
            continue
        columns = np.array([of_column[task, cell.benchmark] for cell in seen])
        mean, variance = posterior.predict_mean(model, columns)
        truth = sum(cell.mean for cell in seen) / len(seen)
        sampling = sum(cell.variance for cell in seen) / len(seen) ** 2
        baseline = sum(levels[model] + levels[task, cell.benchmark] for cell in seen) / len(seen)
        assumed = any(cell.n == ASSUMED_N for cell in seen)
        found.append((truth - mean, math.sqrt(variance + sampling), truth - baseline, assumed))
    return found


def fit_levels(cells: Sequence[Cell], ridge: float = 1.0) -> dict:
    """Return a level for each model and each benchmark: least squares with a weak penalty on the models."""
    models, columns = sorted({cell.model for cell in cells}), sorted({(cell.task, cell.benchmark) for cell in cells})
    design = np.zeros((len(cells), len(models) + len(columns)))
    for row, cell in enumerate(cells):
        design[row, [models.index(cell.model), len(models) + columns.index((cell.task, cell.benchmark))]] = 1
    penalty = np.diag([ridge] * len(models) + [1e-6] * len(columns))
    found = np.linalg.solve(design.T @ design + penalty, design.T @ np.array([cell.mean for cell in cells]))
    return defaultdict(float, zip([*models, *columns], found.tolist(), strict=True))


def evaluate(table: BenchmarkSet, *, whole_models: bool, folds: int, seed: int) -> str:
    """Return a line of figures, and one for the means with a known number of prompts if it is not known of all."""
    tasks = sorted(table.results.tasks)
    cells, _ = sum_by_task(table.results, tasks, None)
    traits = describe(table)
    groups = defaultdict(list)
    for cell in cells:
        groups[cell.model, cell.task].append(cell)
    units = sorted({model for model, _ in groups} if whole_models else groups)
    drawn = np.random.default_rng(seed).permutation(len(units)).tolist()
    fold_of = {units[i]: place % folds for place, i in enumerate(drawn)}
    found = []
    for fold in range(min(folds, len(units))):
        hidden = {key: group for key, group in groups.items() if fold_of[key[0] if whole_models else key] == fold}
        left = [cell for key, group in groups.items() if key not in hidden for cell in group]
        found += predict(left, hidden, tasks, traits)
    what, known = "models" if whole_models else "cells", [row for row in found if not row[-1]]
    parts = [(what, found)] + [(" with n", known)] * (0 < len(known) < len(found))
    return "\n".join(summarize(*part) for part in parts)


def summarize(name: str, found: list[tuple]) -> str:
    """Return one line of figures."""
    error, deviation, baseline, _ = np.array(found).T
    inside = [float((abs(error) < NormalDist().inv_cdf(0.5 + level / 2) * deviation).mean()) for level in (0.8, 0.95)]
    return (
        f"{name:7}{len(found):5}{abs(baseline).mean():10.4f}{abs(error).mean():8.4f}"
        f"{inside[0]:8.3f}{inside[1]:8.3f}{deviation.mean():9.4f}"
    )


def measure_regret(table: BenchmarkSet, kept: int, *, seed: int, most: int) -> str:
    """Return one line: the mean regret by `RISK_AVERSIONS`, if each model keeps the scores of so many tasks."""
    tasks = sorted(table.results.tasks)
    cells, _ = sum_by_task(table.results, tasks, None)
    traits = describe(table)
    measured = {(cell.model, cell.task) for cell in cells}
    is_known = np.array([[(model, task) in measured for task in tasks] for model in traits.models])
    truth, _ = tabulate(cells, tasks, traits)
    cost = np.exp(traits.numbers[:, 0]) if traits.numbers[:, 0].any() else np.zeros(len(traits.models))
    draw, regrets = np.random.default_rng(seed), []
    for model in draw.permutation(traits.models)[:most].tolist():
        row = traits.models.index(model)
        keeps = draw.permutation([task for task in tasks if (model, task) in measured])[:kept].tolist()
        quality, error = tabulate([c for c in cells if c.model != model or c.task in keeps], tasks, traits)
        for column, task in enumerate(tasks):
            rivals = is_known[:, column]
            if not rivals[row] or task in keeps:
                continue
            for price in PRICES:
                taken = price * cost[rivals] / cost.max()
                best = truth[rivals, column] - taken
                bounds = [quality[rivals, column] - r * error[rivals, column] - taken for r in RISK_AVERSIONS]
                regrets.append([best.max() - best[bound.argmax()] for bound in bounds])
    means = 100 * np.mean(regrets, axis=0)
    return f"{kept:5}{len(regrets):6}" + "".join(f"{mean:8.3f}" for mean in means)


def tabulate(cells: Sequence[Cell], tasks: Sequence[str], traits: Traits) -> tuple[np.ndarray, np.ndarray]:
    """Return the quality of each model on each task and its standard error, both of shape (models, tasks)."""
    posterior = Posterior.of(CellArrays.of(cells, tasks, traits))
    found = [posterior.predict(model) for model in traits.models]
    return np.array([mean.clip(0, 1) for mean, _ in found]), np.array([np.sqrt(cov.diagonal()) for _, cov in found])


def main() -> None:
    """Print one line for hidden cells and one for hidden models of each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--folds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--regret", action="store_true")
    parser.add_argument("--models", type=int, default=20, help="models to hide for the regret")
    given = parser.parse_args()
    for path in given.tables:
        table = read_benchmark(path, tasks=None)
        if given.regret:
            print(f"{path.name}, seed {given.seed}\n kept     n" + "".join(f"{r:8.2f}" for r in RISK_AVERSIONS))
            for kept in (0, 1, 2):
                print(measure_regret(table, kept, seed=given.seed, most=given.models), flush=True)
            continue
        print(f"{path.name}, seed {given.seed}\nhidden     n  baseline   error    80 %    95 %   stderr")
        for whole_models in (False, True):
            print(evaluate(table, whole_models=whole_models, folds=given.folds, seed=given.seed), flush=True)


if __name__ == "__main__":
    main()
