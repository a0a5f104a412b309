"""Model folders and files of labelled prompts in, accuracy, decisions that survive typing errors, and times out.

    python benchmarks/languages.py --models OLD NEW --set NAME=FILE[:SOURCE] ... [--typos NAME] [--seed 0]

A FILE is a CSV with `prompt` and, for the accuracy, `task` and `also`. SOURCE takes the rows with this source only. For each
set and model folder the script prints:

- strict accuracy (`task`), lenient accuracy (`task` or one of `also`), and the share classified as ethics
- the time of `route()`, and its median as a share of that of the first folder. Every prompt goes through all in turn
- for the set of `--typos`: the share of prompts whose task stays the same with one typing error in every ten words
- for sets after the first: the median time relative to prompts of the first set with the same number of characters

Intervals are 95 %, by a bootstrap over prompts.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from router import Router
from training.encoder.variants import add_typos
from training.evaluation.intervals import Interval, bootstrap

Row = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one model folder decides on one set: the task of each prompt, and the milliseconds that it takes."""

    tasks: Sequence[str]
    milliseconds: Sequence[float]


def main() -> None:
    """Measure model folders on sets of prompts, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--set", dest="sets", action="append", required=True, metavar="NAME=FILE[:SOURCE]")
    parser.add_argument("--typos", metavar="NAME", default="")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    csv.field_size_limit(1 << 30)
    routers = {str(path): Router.load(path) for path in arguments.models}
    sets = {name: read_rows(place) for name, _, place in (each.partition("=") for each in arguments.sets)}
    measured = {name: measure(routers, [row["prompt"] for row in rows]) for name, rows in sets.items()}
    first = next(iter(sets))
    for name, rows in sets.items():
        print(f"\n{name}: n {len(rows)}, seed {arguments.seed}")
        baseline = statistics.median(next(iter(measured[name].values())).milliseconds)
        for path, found in measured[name].items():
            print(f"  {path}")
            for title, figure in describe(rows, found.tasks, seed=arguments.seed).items():
                print(f"    {title:34} {figure}")
            median, p99 = np.percentile(found.milliseconds, (50, 99))
            print(f"    {'time, ms: median, p99':34} {median:.1f}, {p99:.0f}")
            print(f"    {'median time, first folder is 1':34} {median / baseline:.2f}")
            if name != first:
                ratio = compare_by_length(sets[first], measured[first][path], rows, found)
                print(f"    {f'time relative to {first}':34} {ratio:.2f}")
            if name == arguments.typos:
                figure = survive_typos(routers[path], rows, found.tasks, seed=arguments.seed)
                print(f"    {'same task with typing errors':34} {figure}")


def read_rows(place: str) -> list[Row]:
    """Return the rows of FILE or FILE:SOURCE."""
    name, _, source = place.partition(":")
    opened = gzip.open if name.endswith(".gz") else open
    with opened(name, "rt", encoding="utf-8", newline="") as stream:
        return [row for row in csv.DictReader(stream) if source in ("", row.get("source"))]


def measure(routers: Mapping[str, Router], prompts: Sequence[str]) -> dict[str, Measured]:
    """Return the tasks and the times of all routers. Each prompt goes through all of them in turn."""
    tasks: dict[str, list[str]] = {name: [] for name in routers}
    times: dict[str, list[float]] = {name: [] for name in routers}
    for router in routers.values():
        router.route("warm up", tier="full")
    for prompt in prompts:
        for name, router in routers.items():
            start = time.perf_counter()
            decision = router.route(prompt)
            times[name].append((time.perf_counter() - start) * 1000)
            tasks[name].append(decision.task)
    return {name: Measured(tasks=tasks[name], milliseconds=times[name]) for name in routers}


def describe(rows: Sequence[Row], tasks: Sequence[str], *, seed: int) -> dict[str, Interval]:
    """Return accuracies, as far as the rows are labelled, and the share classified as ethics."""
    pairs = list(zip(rows, tasks, strict=True))
    figures = {"share classified as ethics": [task == "ethics" for task in tasks]}
    if all(row.get("task") for row in rows):
        figures["strict accuracy"] = [task == row["task"] for row, task in pairs]
        figures["lenient accuracy"] = [task in {row["task"], *row.get("also", "").split("|")} for row, task in pairs]
    return {title: bootstrap(mean_of(flags), len(flags), seed=seed) for title, flags in figures.items()}


def survive_typos(router: Router, rows: Sequence[Row], tasks: Sequence[str], *, seed: int) -> Interval:
    """Return the share of prompts whose task stays the same with one typing error in every ten words."""
    rng = random.Random(seed)
    again = [router.route(add_typos(row["prompt"], rng)).task for row in rows]
    return bootstrap(mean_of([one == other for one, other in zip(again, tasks, strict=True)]), len(tasks), seed=seed)


def mean_of(flags: Sequence[bool]) -> Callable[[np.ndarray], float]:
    """Return the mean of flags as a statistic of a sample of their places."""
    array = np.array(flags, np.float64)
    return lambda sample: float(array[sample].mean())


def compare_by_length(rows: Sequence[Row], base: Measured, others: Sequence[Row], found: Measured) -> float:
    """Return the median ratio of each other prompt's time to that of the prompt of the base with the nearest length."""
    lengths = np.array([len(row["prompt"]) for row in rows])
    times = np.array(base.milliseconds)
    ratios = []
    for row, taken in zip(others, found.milliseconds, strict=True):
        # The median of the nearest ones, because single times are noisy.
        near = np.argsort(np.abs(lengths - len(row["prompt"])), kind="stable")[:15]
        ratios.append(taken / float(np.median(times[near])))
    return statistics.median(ratios)


if __name__ == "__main__":
    main()
