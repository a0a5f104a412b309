"""A table of scores in, how bandits, A/B tests and the watch for worse models behave on simulated requests out.

    python benchmarks/experiments.py bandit routerbench_train.csv.gz
    python benchmarks/experiments.py ab routerbench_train.csv.gz
    python benchmarks/experiments.py watch routerbench_train.csv.gz

Requests are rows of the table, drawn with replacement. No model is called and no prompt is read. The strategies, the
learner, the sequences and the watch are those of the packages.

- `bandit`: 8,000 requests. Halfway, the model that the fixed choice prefers silently loses 20 points. Regret is the utility
  of the best model for the task at that time, minus that of the chosen one, in points.
- `ab`: how often an A/A test raises a false alarm if somebody looks after every request, and how many requests a
  difference takes.
- `watch`: false alarms per year at 1,000 graded answers a day, and how many answers pass until a drop is found.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from router import Estimate, ModelProfile, Preference, RoutingContext, TaskPrediction
from router.score.feedback import Learner
from router.score.scoring import ProfileTable
from router.strategies import Bandit, contextual
from router.types import Strategy
from training.monitor.sequence import FEWEST, SCORE_VARIANCE, Moments, half_width
from training.monitor.worse import find_alarms

Array = NDArray[np.float64]
REQUESTS, DROP, PRIOR_PROMPTS, REFRESH = 8_000, 0.20, 20, 100
USD_PER_POINT = 0.001
FLOOR, CONFIDENCE = 0.9, 0.9


@dataclass(frozen=True, slots=True)
class Table:
    """Scores and costs of the prompts that every model has answered.

    Attributes:
        models: Names of the models.
        tasks: Task of each prompt, as an index into `names`.
        names: Names of the tasks.
        score: Shape (prompts, models), in [0, 1].
        cost: The same, in USD.
    """

    models: list[str]
    tasks: NDArray[np.int64]
    names: list[str]
    score: Array
    cost: Array

    def means(self, values: Array) -> Array:
        """Return the mean of each task and model, shape (tasks, models)."""
        return np.array([values[self.tasks == task].mean(axis=0) for task in range(len(self.names))])


def read(path: Path) -> Table:
    """Return the prompts that all models have answered, of the tasks that have enough of them."""
    rows: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    task_of: dict[str, str] = {}
    csv.field_size_limit(1 << 24)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            rows[row["prompt_id"]][row["model"]] = (float(row["score"]), float(row["cost_usd"] or 0.0))
            task_of[row["prompt_id"]] = row["task"]
    models = sorted({model for answers in rows.values() for model in answers})
    complete = [prompt for prompt, answers in rows.items() if len(answers) == len(models)]
    counts = {task: sum(task_of[prompt] == task for prompt in complete) for task in sorted(set(task_of.values()))}
    names = [task for task, n in counts.items() if n >= 3 * PRIOR_PROMPTS]
    kept = [prompt for prompt in complete if task_of[prompt] in names]
    values = np.array([[rows[prompt][model] for model in models] for prompt in kept])
    tasks = np.array([names.index(task_of[prompt]) for prompt in kept])
    return Table(models, tasks, names, np.clip(values[..., 0], 0, 1), values[..., 1])


# --- bandit ---


class World:
    """One run: the requests in order, and what each model would have scored."""

    def __init__(self, table: Table, seed: int) -> None:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(table.tasks))
        prior = np.concatenate([order[table.tasks[order] == task][:PRIOR_PROMPTS] for task in range(len(table.names))])
        self.table, self.rows = table, rng.integers(0, len(table.tasks), REQUESTS)
        self.profiles = [self._describe(model, prior) for model in range(len(table.models))]
        by_task = np.array([[profile.quality[task].mean for profile in self.profiles] for task in table.names])
        price = 0.01 * table.means(table.cost) / USD_PER_POINT
        self.fixed = (by_task - price).argmax(axis=1)
        share = np.bincount(table.tasks, minlength=len(table.names))
        # The model that most requests would get is the one that gets worse.
        self.worse = int(np.bincount(self.fixed, weights=share, minlength=len(table.models)).argmax())
        quality = table.means(table.score)
        mean_after = quality.copy()
        kept = 1 - DROP / max(DROP, float(table.score[:, self.worse].mean()))
        mean_after[:, self.worse] *= kept
        self.quality = (quality, mean_after)
        self.utility = (quality - price, mean_after - price)
        self.score = table.score[self.rows].copy()
        self.score[REQUESTS // 2 :, self.worse] *= rng.random(REQUESTS - REQUESTS // 2) < kept

    def _describe(self, model: int, prior: NDArray[np.int64]) -> ModelProfile:
        table, quality = self.table, {}
        for task, name in enumerate(table.names):
            scores = table.score[prior[table.tasks[prior] == task], model]
            quality[name] = Estimate(mean=float(scores.mean()), stderr=0.5 / math.sqrt(len(scores)), n=len(scores))
        costs = {name: float(table.cost[table.tasks == task, model].mean()) for task, name in enumerate(table.names)}
        return ModelProfile(name=table.models[model], quality=quality, cost_usd_by_task=costs)

    def judge(self, chosen: NDArray[np.int64]) -> tuple[float, float, float]:
        """Return the regret in points before and after the change, and the share of choices below the floor before it."""
        half, tasks = REQUESTS // 2, self.table.tasks[self.rows]
        regret = [
            100 * (utility.max(axis=1)[tasks] - utility[tasks, chosen])[part].mean()
            for utility, part in zip(self.utility, (slice(half), slice(half, None)), strict=True)
        ]
        quality = self.quality[0]
        below = (quality[tasks, chosen] < FLOOR * quality.max(axis=1)[tasks])[:half].mean()
        return float(regret[0]), float(regret[1]), float(below)


def follow(world: World, strategy: Strategy, memory: float | None) -> NDArray[np.int64]:
    """Return the models that a strategy chooses. It learns from every answer, if it has a memory."""
    table = world.table
    learner = None if memory is None else Learner(world.profiles, memory=memory)
    position = {model: column for column, model in enumerate(table.models)}
    contexts = [_make_context(table, world.profiles, task) for task in table.names]
    chosen = np.empty(REQUESTS, np.int64)
    for place, row in enumerate(world.rows):
        task = table.tasks[row]
        model = strategy(contexts[task])[0]
        chosen[place] = position[model]
        if learner is not None:
            learner.add_score(model, {table.names[task]: 1.0}, float(world.score[place, position[model]]))
            if place % REFRESH == REFRESH - 1:
                profiles = learner.profiles()
                contexts = [_make_context(table, profiles, task) for task in table.names]
    return chosen


def _make_context(table: Table, profiles: Sequence[ModelProfile], task: str) -> RoutingContext:
    """Return a request of a task. In these tables all requests of a task look alike."""
    preference = Preference(usd_per_point=USD_PER_POINT)
    return RoutingContext(
        prompt="",
        key="",
        prediction=TaskPrediction(task=task, confidence=1.0, probabilities={task: 1.0}, source="classifier"),
        candidates=table.models,
        scores=ProfileTable(profiles, table.names).score(table.models, {task: 1.0}, tokens=0, preference=preference),
        preference=preference,
    )


def run_bandit(table: Table, seeds: int) -> None:
    """Print the regret of each contender."""

    def bandit(floor: float, seed: int) -> Bandit:
        return Bandit(floor, confidence=CONFIDENCE, rng=random.Random(seed))

    contenders: Mapping[str, Callable[[World, int], NDArray[np.int64]]] = {
        "oracle of each task and time": lambda world, _: _choose(world.utility[0].argmax(axis=1), world, world.utility[1]),
        "best single model of each half": lambda world, _: _single(world),
        "fixed choice, never learns": lambda world, _: follow(world, contextual, None),
        "contextual, learns, memory 500": lambda world, _: follow(world, contextual, 500),
        "bandit, no floor, forgets nothing": lambda world, seed: follow(world, bandit(0.0, seed), 1e9),
        "bandit, no floor, memory 500": lambda world, seed: follow(world, bandit(0.0, seed), 500),
        "bandit, no floor, memory 100": lambda world, seed: follow(world, bandit(0.0, seed), 100),
        "bandit, floor 0.9, memory 500": lambda world, seed: follow(world, bandit(FLOOR, seed), 500),
    }
    worlds = [World(table, seed) for seed in range(seeds)]
    print(f"n {REQUESTS} requests, seeds 0 to {seeds - 1}, {len(table.models)} models, {len(table.names)} tasks")
    print(f"{'':36} {'regret before':>22} {'regret after':>22} {'below the floor':>22}")
    for name, choose in contenders.items():
        found = np.array([world.judge(choose(world, seed)) for seed, world in enumerate(worlds)])
        cells = " ".join(f"{_mean(column):>22}" for column in (found[:, 0], found[:, 1], 100 * found[:, 2]))
        print(f"{name:36} {cells}", flush=True)


def _choose(first: NDArray[np.int64], world: World, utility_after: Array) -> NDArray[np.int64]:
    tasks, half = world.table.tasks[world.rows], REQUESTS // 2
    return np.concatenate([first[tasks[:half]], utility_after.argmax(axis=1)[tasks[half:]]])


def _single(world: World) -> NDArray[np.int64]:
    tasks, half = world.table.tasks[world.rows], REQUESTS // 2
    best = [int(utility[tasks].mean(axis=0).argmax()) for utility in world.utility]
    return np.repeat(best, [half, REQUESTS - half])


def _mean(values: Array) -> str:
    """Return the mean over seeds with the 95 % interval of Student's t."""
    from scipy.stats import t

    width = float(t.ppf(0.975, len(values) - 1)) * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():.2f} [{values.mean() - width:.2f}, {values.mean() + width:.2f}]"


# --- A/B tests ---

UNITS, RUNS, HALF = 5_000, 1_000, 0.5
EVERY_WIDTH = np.array([math.inf, *(half_width(n, 1.0) for n in range(1, UNITS + 1))])
ONCE = 1.96


def find_crossings(values: Array, arm: NDArray[np.bool_], bound: Array) -> NDArray[np.int64]:
    """Return after how many units each run first says that there is a difference. 0 if never.

    Args:
        values: The value of each unit, shape (runs, units).
        arm: Whether a unit is in the arm, and not in the control.
        bound: Half the width for a variance of one by the number of units, shape (units + 1,).
    """
    n = np.arange(1, values.shape[1] + 1)
    sides = []
    for member in (arm, ~arm):
        count = member.cumsum(axis=1)
        safe = np.maximum(count, 1)
        mean = (values * member).cumsum(axis=1) / safe
        variance = (values**2 * member).cumsum(axis=1) / safe - mean**2
        sides.append((count, mean, (variance + 12 * np.maximum(variance, SCORE_VARIANCE) / safe) / safe))
    (n1, mean1, error1), (n0, mean0, error0) = sides
    crossed = np.abs(mean1 - mean0) > bound[1:] * np.sqrt(n * (error1 + error0))
    crossed &= np.minimum(n1, n0) >= FEWEST
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1, 0)


def run_ab(table: Table) -> None:
    """Print false alarms and power."""
    rng = np.random.default_rng(0)
    best = int(table.score.mean(axis=0).argmax())
    score, cost = table.score[:, best], table.cost[:, best]
    utility = score - 0.01 * cost / USD_PER_POINT
    fixed = np.array([math.inf, *(ONCE / math.sqrt(n) for n in range(1, UNITS + 1))])
    print(f"A/A tests of {table.models[best]}, {RUNS} runs of {UNITS:,} units, a look after every unit, seed 0")
    for name, values, share in (
        ("score", score, HALF),
        ("utility", utility, HALF),
        ("score, arm of 10 %", score, 0.1),
        ("utility, arm of 10 %", utility, 0.1),
        ("score that is 1 in 99 of 100", np.repeat([0.0, 1.0], [1, 99]), HALF),
    ):
        drawn, arm = rng.choice(values, (RUNS, UNITS)), rng.random((RUNS, UNITS)) < share
        for method, bound in (("confidence sequence", EVERY_WIDTH), ("usual 95 % interval", fixed)):
            print(f"  {name}, {method}: {_rate(int((find_crossings(drawn, arm, bound) > 0).sum()), RUNS)}", flush=True)
    run_keys(table, best, rng)
    print("units until a difference of the score is shown: median [quartiles], and how often within 5,000")
    for drop in (0.03, 0.05, 0.10):
        arm = rng.random((RUNS, UNITS)) < HALF
        drawn = rng.choice(score, (RUNS, UNITS)) * (~arm | (rng.random((RUNS, UNITS)) < 1 - drop / score.mean()))
        found = find_crossings(drawn, arm, EVERY_WIDTH)
        low, median, high = np.percentile(np.where(found > 0, found, np.inf), [25, 50, 75], method="higher")
        print(f"  {100 * drop:.0f} points: {median:.0f} [{low:.0f}, {high:.0f}], {_rate(int((found > 0).sum()), RUNS)}")


def run_keys(table: Table, model: int, rng: np.random.Generator) -> None:
    """Print the false alarms if the keys of a user stay in one arm, each user has one task, and some users ask a lot."""
    runs, requests, look = 300, 4_000, 20
    alarms = {"means of keys": 0, "requests, as if they were independent": 0}
    by_task = [table.score[table.tasks == task, model] for task in range(len(table.names))]
    for _ in range(runs):
        users = rng.integers(0, 400, requests) if rng.random() < HALF else rng.zipf(1.5, requests) % 1_000
        task_of, arm_of = rng.integers(0, len(by_task), 1_000), rng.random(1_000) < HALF
        scores = np.array([rng.choice(by_task[task_of[user]]) for user in users])
        crossed = dict.fromkeys(alarms, False)
        for n in range(look, requests + 1, look):
            seen, where = np.unique(users[:n], return_inverse=True)
            means = np.bincount(where, scores[:n]) / np.bincount(where)
            for name, values, arm in (
                ("means of keys", means, arm_of[seen]),
                ("requests, as if they were independent", scores[:n], arm_of[users[:n]]),
            ):
                crossed[name] |= _differs(Moments.of(values[arm]), Moments.of(values[~arm]))
        for name, is_crossed in crossed.items():
            alarms[name] += is_crossed
    print(f"users with one task each, {runs} runs of {requests} requests, a look after every {look}")
    for name, n in alarms.items():
        print(f"  {name}: false alarms {_rate(n, runs)}")


def _differs(one: Moments, other: Moments) -> bool:
    if min(one.n, other.n) < FEWEST:
        return False
    n = one.n + other.n
    return abs(one.mean - other.mean) > half_width(n, n * (one.variance / one.n + other.variance / other.n))


def _rate(n: int, runs: int) -> str:
    """Return a share in per cent with its 95 % interval (Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    low = beta.ppf(0.025, n, runs - n + 1) if n else 0.0
    high = beta.ppf(0.975, n + 1, runs - n) if n < runs else 1.0
    return f"{100 * n / runs:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


# --- watch ---

A_YEAR, HISTORY, MOST = 365_000, 5_000, 20_000


def run_watch(table: Table, seeds: int, years: int) -> None:
    """Print delays and false alarms."""
    best = int(table.score.mean(axis=0).argmax())
    score = table.score[:, best]
    print(f"{table.models[best]}, mean score {score.mean():.3f}, {len(table.names)} tasks, drops after {HISTORY:,} answers")

    def draw(n: int, rng: np.random.Generator, drop: float = 0.0) -> list[tuple[str, float]]:
        rows = rng.integers(0, len(score), n)
        kept = score[rows] * (rng.random(n) < 1 - drop / score.mean())
        return [(table.names[table.tasks[row]], value) for row, value in zip(rows, kept.tolist(), strict=True)]

    for drop in (0.05, 0.10, 0.20):
        found = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            alarms = find_alarms(draw(HISTORY, rng) + draw(MOST, rng, drop))
            after = [alarm.at - HISTORY for alarm in alarms if alarm.at >= HISTORY]
            found.append(after[0] + 1 if after else math.inf)
        low, median, high = np.percentile(found, [25, 50, 75], method="higher")
        missed = sum(map(math.isinf, found))
        print(f"  {100 * drop:.0f} points: {median:.0f} [{low:.0f}, {high:.0f}] answers, not found {missed} of {seeds}")
    n = sum(len(find_alarms(draw(A_YEAR, np.random.default_rng(1000 + year)))) for year in range(years))
    print(f"  no drop: {n} false alarms in {years} years of {A_YEAR:,} answers")


def main() -> None:
    """Run one of the simulations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["bandit", "ab", "watch"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--years", type=int, default=10)
    given = parser.parse_args()
    if not given.file.exists():
        print(f"skipped: {given.file} does not exist")
        return
    table = read(given.file)
    if given.what == "watch":
        run_watch(table, given.seeds, given.years)
    elif given.what == "bandit":
        run_bandit(table, given.seeds)
    else:
        run_ab(table)


if __name__ == "__main__":
    main()
