"""A benchmark with prompts in, cascades with routing against routing alone out, for verifiers of several accuracies.

python benchmarks/cascade.py zeroeval_train.csv.gz routerbench_train.csv.gz ulab_train.csv.gz   # docs/cascades.md
python benchmarks/cascade.py --check-usd 0.0001 FILE  # each check costs something
python benchmarks/cascade.py --max-models 3 FILE      # three models in a row
python benchmarks/cascade.py --overstated 0.1 FILE    # the router believes the verifier to be 10 points better than it is
python benchmarks/cascade.py --min-gain 0 FILE        # every cascade that is expected to be better at all
python benchmarks/cascade.py --overlap FILE           # only how much the errors of models overlap, by task

Qualities and costs of each task come from a random half of the prompts. The other half is answered: the score and the cost
are those that were measured. The verifier is simulated. Its accuracy is the same for right and for wrong answers, and the
mean over its errors is taken exactly. The overlap is measured on the first half (`measured`), is the default of the router
(`default`), or is 0, so that errors count as independent (`none`). A gain is in points of quality, 0.01 of score, after the
cost is subtracted at that price of a point. `lowest gain` is that of the worst of 25 prices from 1 µUSD to 0.01 USD.
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router.cascade import DEFAULT_MIN_GAIN, DEFAULT_OVERLAP, Rates
from router.score.cascade import Check, Expected, find_best_cascade
from router.score.choice import find_utility
from router.types import Preference
from training.quality.overlap import measure_overlap
from training.verdict.curves import average_quality, convex_hull

ACCURACIES = (0.7, 0.8, 0.9, 1.0)
SEEDS = range(10)
# From a price at which the cheapest model answers to one at which cost hardly counts.
USD_PER_POINT = np.geomspace(1e-6, 1e-2, 25)
SHOWN = (1e-5, 1e-4, 1e-3)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Scores and costs of every model on every prompt, shape (prompts, models), and the task of each prompt."""

    models: list[str]
    score: Array
    cost_usd: Array
    task: NDArray[np.int64]

    def take(self, rows: NDArray[np.bool_]) -> "Table":
        """Return some of the prompts."""
        return Table(self.models, self.score[rows], self.cost_usd[rows], self.task[rows])


def load(path: Path) -> Table:
    """Read the prompts that every model answered. Without costs, billions of parameters stand in: 10 µUSD for each."""
    rows = pd.read_csv(path, usecols=["prompt_id", "task", "model", "score", "cost_usd"])
    if rows["cost_usd"].isna().all():
        rows["cost_usd"] = [1e-5 * float(re.findall(r"(\d+)b\b", name.lower())[-1]) for name in rows["model"]]
    wide = rows.pivot_table(index=["task", "prompt_id"], columns="model", values=["score", "cost_usd"]).dropna()
    task = pd.factorize(wide.index.get_level_values("task"))[0]
    models = list(wide["score"].columns)
    return Table(models, wide["score"].to_numpy(), wide["cost_usd"].to_numpy(), task.astype(np.int64))


@dataclass(frozen=True)
class Setting:
    """What a run has in common. `overstated` is how much better than it is the router believes the verifier to be."""

    max_models: int
    min_gain: float
    check_usd: float
    overstated: float


def choose(
    known: Table, task: int, rates: Rates | None, preference: Preference, overlap: float, setting: Setting
) -> tuple[str, ...]:
    """Return the models to ask for a task: one, or a cascade if it is expected to be better. Without rates, one."""
    rows = known.task == task
    quality, cost = known.score[rows].mean(axis=0), known.cost_usd[rows].mean(axis=0)
    utility = find_utility(quality, cost, preference)
    best = int(utility.argmax())
    if rates is not None:
        expected = Expected(quality=quality, cost_usd=cost, latency_s=np.zeros_like(cost))
        check = Check(rates=rates, cost_usd=setting.check_usd)
        found = find_best_cascade(known.models, expected, check, preference, overlap=overlap, max_models=setting.max_models)
        if found is not None and found.utility > utility[best] + setting.min_gain:
            return found.models
    return (known.models[best],)


def answer(tested: Table, models: tuple[str, ...], accuracy: float, check_usd: float) -> tuple[Array, Array]:
    """Return the score and the cost of each prompt, in the mean over the errors of the verifier."""
    score, cost, asked = (np.zeros(len(tested.score)) for _ in range(3))
    asked += 1
    for place, name in enumerate(models):
        column = tested.models.index(name)
        right = tested.score[:, column]
        is_last = place == len(models) - 1
        cost += asked * (tested.cost_usd[:, column] + (0.0 if is_last else check_usd))
        score += asked * right * (1.0 if is_last else accuracy)
        asked *= 1 - (accuracy * right + (1 - accuracy) * (1 - right))
    return score, cost


def sweep(known: Table, tested: Table, accuracy: float | None, overlap: float, setting: Setting) -> Array:
    """Return the mean score, mean cost and share of prompts with a cascade at each price, shape (prices, 3)."""
    figures = []
    rates = None if accuracy is None else Rates.of_accuracy(min(1.0, accuracy + setting.overstated))
    for price in USD_PER_POINT.tolist():
        score, cost, used = np.zeros(len(tested.task)), np.zeros(len(tested.task)), 0
        for task in np.unique(tested.task).tolist():
            rows = tested.task == task
            models = choose(known, task, rates, Preference(usd_per_point=price), overlap, setting)
            score[rows], cost[rows] = answer(tested.take(rows), models, accuracy or 1.0, setting.check_usd)
            used += int(rows.sum()) * (len(models) > 1)
        figures.append((score.mean(), cost.mean(), used / len(tested.task)))
    return np.array(figures)


def find_aiq(figures: Array, tested: Table) -> float:
    """Return the area below the curve from the cost of the cheapest model to that of the best one."""
    quality, cost = tested.score.mean(axis=0), tested.cost_usd.mean(axis=0)
    hull = convex_hull((usd, reached) for reached, usd, _ in figures.tolist())
    return average_quality(hull, float(cost.min()), float(cost[quality.argmax()]))


def find_gain(figures: Array, alone: Array) -> Array:
    """Return the gain in utility over routing alone at each price, in points of quality."""
    gained = figures[:, 0] - alone[:, 0]
    return 100 * gained - (figures[:, 1] - alone[:, 1]) / USD_PER_POINT


def split(table: Table, seed: int) -> tuple[Table, Table]:
    """Return two random halves."""
    half = np.random.default_rng(seed).permutation(len(table.task)) % 2 == 0
    return table.take(half), table.take(~half)


def measure_gain(path: Path, setting: Setting) -> None:
    """Print AIQ and the gain in utility of cascades with routing over routing alone, with the range of 95 % of the seeds."""
    table = load(path)
    print(f"{path.name}: {len(table.task)} prompts, {len(table.models)} models, {len(SEEDS)} seeds, {setting}")
    columns = "".join(f" | at {price:g} USD" for price in SHOWN)
    print(f"| accuracy | overlap | AIQ | gain in AIQ | cascades | lowest gain{columns} |")
    halves = [split(table, seed) for seed in SEEDS]
    alone = [sweep(known, tested, None, 0.0, setting) for known, tested in halves]
    base = [find_aiq(figures, tested) for figures, (_, tested) in zip(alone, halves, strict=True)]
    print(f"| routing alone | | {np.mean(base):.4f} |")
    kinds: dict[str, Callable[[Table], float]] = {
        "measured": lambda known: measure_overlap(known.score, known.task) or 0.0,
        "default": lambda _: DEFAULT_OVERLAP,
        "none": lambda _: 0.0,
    }
    for accuracy in ACCURACIES:
        for name, find_overlap in kinds.items():
            figures = [sweep(known, tested, accuracy, find_overlap(known), setting) for known, tested in halves]
            aiq = [find_aiq(one, tested) for one, (_, tested) in zip(figures, halves, strict=True)]
            gains = np.array([find_gain(one, other) for one, other in zip(figures, alone, strict=True)])
            worst = gains[:, int(gains.mean(axis=0).argmin())]
            shown = [gains[:, int(np.abs(np.log(USD_PER_POINT / price)).argmin())] for price in SHOWN]
            share = np.mean([one[:, 2].mean() for one in figures])
            row = [f"{accuracy:.0%}", name, f"{np.mean(aiq):.4f}", _describe(np.subtract(aiq, base), 4), f"{share:.0%}"]
            print("| " + " | ".join([*row, *(_describe(one, 2) for one in (worst, *shown))]) + " |", flush=True)


def print_overlap(path: Path) -> None:
    """Print the overlap of all prompts and of each task."""
    table = load(path)
    print(f"{path.name}: overlap {measure_overlap(table.score, table.task) or 0.0:.2f}; by task:")
    for task in np.unique(table.task).tolist():
        part = table.take(table.task == task)
        print(f"  {len(part.task):5} prompts: {measure_overlap(part.score, part.task) or 0.0:.2f}")


def _describe(values: Array, digits: int) -> str:
    """Return a mean with the range of 95 % of the seeds."""
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{np.mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--max-models", type=int, default=2)
    parser.add_argument("--min-gain", type=float, default=DEFAULT_MIN_GAIN)
    parser.add_argument("--check-usd", type=float, default=0.0)
    parser.add_argument("--overstated", type=float, default=0.0)
    parser.add_argument("--overlap", action="store_true")
    given = parser.parse_args()
    for file in given.files:
        if given.overlap:
            print_overlap(file)
        else:
            measure_gain(file, Setting(given.max_models, given.min_gain, given.check_usd, given.overstated))
