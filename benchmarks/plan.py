"""A complete benchmark table in, the decision quality by number of graded rows out, for three ways to choose the rows.

    python benchmarks/plan.py TABLE.csv ... [--seeds 20] [--rows 100 200 400 800 1600]

Half of the prompts are held out. In the other half no row is known at first. Rows are added in rounds: those of `plan`
(most value per row, over four prices of a point), random ones, or equally many for each model and task. After each round the
qualities are learned again from the known rows. A model is then chosen for each held-out prompt by its task, as the router
chooses, at 100 prices.
AIQ is the area under the curve of true quality over true cost, divided by the span of cost. The last column is AIQ with all
rows of the half.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from router.types import RISK_AVERSION
from training.data.benchmark import BenchmarkSet, read_benchmark
from training.quality.cells import Cell, CellArrays
from training.quality.information import Knowledge, Purchase, make_plan, pick_prompts
from training.quality.outcomes import pivot
from training.quality.posterior import Posterior
from training.quality.same_prompts import compare_on_same_prompts
from training.quality.traits import Traits, describe_models
from training.verdict.curves import average_quality, convex_hull
from training.verdict.sweep import sweep_prices

ROUNDS = ("plan", "random", "equal")
_LATER_PROMPTS = 1e9  # the simulation ends by rows, never because more would not pay


class Simulation:
    """One split of a table, on which rows are bought.

    Args:
        table: The table.
        seed: Seed of the split.
        compares: Whether models are compared on the same prompts.
    """

    def __init__(self, table: BenchmarkSet, seed: int, *, compares: bool = True) -> None:
        self.compares = compares
        found = pivot(table.results, table.facts)
        columns = sorted(range(len(found.models)), key=found.models.__getitem__)
        whole = replace(
            found,
            models=tuple(found.models[i] for i in columns),
            score=found.score[:, columns],
            cost_usd=found.cost_usd[:, columns],
        )
        complete = np.flatnonzero(~np.isnan(whole.score).any(axis=1))
        half = np.random.default_rng(seed).permutation(complete)
        self.known, self.held_out = (whole.take(part) for part in np.array_split(half, 2))
        self.tasks = tuple(sorted(set(whole.tasks)))
        self.models = whole.models
        self.score, self.test = self.known.score, self.held_out.score
        cost, self.test_usd = (np.nan_to_num(part.cost_usd) for part in (self.known, self.held_out))
        self.task = np.array([self.tasks.index(task) for task in self.known.tasks])
        self.test_task = np.array([self.tasks.index(task) for task in self.held_out.tasks])
        # List prices are known before anything is graded; the mean cost of a task takes their place.
        self.cost_usd = np.array([cost[self.task == t].mean(axis=0) for t in range(len(self.tasks))]).T
        self.traits: Traits = describe_models(
            self.models, table.facts, dict(zip(self.models, self.cost_usd.mean(axis=1).tolist(), strict=True))
        )
        # At the lowest price the span of costs takes away 0.3 of quality. AIQ is an area over cost, and most of its span is
        # where higher prices decide.
        span = float(np.ptp(self.cost_usd.mean(axis=1)))
        self.prices = [*(span / 30 * np.array([1.0, 3.0, 10.0])), np.inf]
        self.seed = seed

    def learn(self, scored: np.ndarray) -> Posterior:
        """Return the posterior given the rows of a mask, shape (prompts, models)."""
        scores = replace(self.known, score=np.where(scored, self.score, np.nan))
        sums: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for prompt, model in np.argwhere(scored).tolist():
            key = self.models[model], self.known.tasks[prompt], self.known.benchmarks[prompt]
            sums[key].append(self.score[prompt, model])
        cells = [
            Cell(model=m, task=t, benchmark=b, mean=float(np.mean(values)), n=len(values))
            for (m, t, b), values in sums.items()
        ]
        if self.compares:
            cells = compare_on_same_prompts(cells, scores, np.eye(len(self.tasks))[self.task], self.tasks)
        return Posterior.of(CellArrays.of(cells, self.tasks, self.traits))

    def find_aiq(self, posterior: Posterior, *, without: int | None = None) -> float:
        """Return the decision quality on the held-out prompts, without one of the models if it is named."""
        found = [posterior.predict(model) for model in self.models]
        bound = np.array([mean - RISK_AVERSION * np.sqrt(covariance.diagonal()) for mean, covariance in found])
        if without is not None:
            bound[without] = -np.inf
        choices = sweep_prices("router", bound.T[self.test_task], self.cost_usd.T[self.test_task]).choices
        rows = np.arange(len(self.test))
        points = [(self.test_usd[rows, c].mean(), self.test[rows, c].mean()) for c in choices]
        singles = list(zip(self.test_usd.mean(axis=0), self.test.mean(axis=0), strict=True))
        span = min(usd for usd, _ in singles), max(usd for usd, _ in singles)
        return average_quality(convex_hull(points), *span)

    def buy(self, kind: str, scored: np.ndarray, posterior: Posterior, rows: int) -> np.ndarray:
        """Return the mask with so many more rows."""
        draw = np.random.default_rng([self.seed, int(scored.sum())])
        free = np.argwhere(~scored)
        if kind == "random":
            pairs = free[draw.permutation(len(free))[:rows]].tolist()
        elif kind == "equal":
            cells = [(m, t) for m in range(len(self.models)) for t in range(len(self.tasks))]
            purchases = [Purchase(model=m, task=t, n=-(-rows // len(cells)), cost_usd=0, gain=0) for m, t in cells]
            pairs = pick_prompts(scored, purchases, self.task, seed=self.seed)[:rows]
        else:
            available = np.array(
                [[(~scored[self.task == t, m]).sum() for t in range(len(self.tasks))] for m in range(len(self.models))]
            )
            share = np.bincount(self.task, minlength=len(self.tasks)) / len(self.task)
            knowledge = Knowledge.of(
                posterior,
                cost_usd=self.cost_usd,
                measure_usd=np.ones_like(self.cost_usd),  # rows are counted here, not USD
                share=share,
                available=available,
            )
            found = make_plan(knowledge, budget_usd=rows, usd_per_point=self.prices, horizon=_LATER_PROMPTS)
            pairs = pick_prompts(scored, found.purchases, self.task, seed=self.seed)[:rows]
        more = scored.copy()
        more[tuple(np.array(pairs).reshape(-1, 2).T)] = True
        return more


def simulate(table: BenchmarkSet, seed: int, steps: list[int]) -> dict[str, list[float]]:
    """Return AIQ after each number of rows, by the way to choose them; the last figure is that of all rows."""
    simulation = Simulation(table, seed)
    nothing = np.zeros(simulation.score.shape, np.bool_)
    whole = simulation.find_aiq(simulation.learn(~nothing))
    start = simulation.learn(nothing)
    found = {}
    for kind in ROUNDS:
        scored, posterior, aiqs = nothing, start, [simulation.find_aiq(start)]
        for step in steps:
            scored = simulation.buy(kind, scored, posterior, step - int(scored.sum()))
            posterior = simulation.learn(scored)
            aiqs.append(simulation.find_aiq(posterior))
        found[kind] = [*aiqs, whole]
    return found


def main() -> None:
    """Print one line for each way to choose rows: mean AIQ over the seeds and its standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 200, 400, 800, 1600])
    given = parser.parse_args()
    for path in given.tables:
        table = read_benchmark(path, tasks=None)
        runs = [simulate(table, seed, given.rows) for seed in range(given.seeds)]
        print(f"{path.name}, {given.seeds} seeds\n{'rows':8}" + "".join(f"{n:>16}" for n in [0, *given.rows, "all"]))
        for kind in ROUNDS:
            values = np.array([run[kind] for run in runs])
            error = values.std(axis=0, ddof=min(1, len(runs) - 1)) / len(runs) ** 0.5
            print(
                f"{kind:8}" + "".join(f"{m:9.4f} ±{e:.4f}" for m, e in zip(values.mean(axis=0), error, strict=True)),
                flush=True,
            )


if __name__ == "__main__":
    main()
