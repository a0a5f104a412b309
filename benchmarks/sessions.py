"""A benchmark with prompts in, cost and quality of simulated agent sessions out, for `sticky` and for simpler policies.

    python benchmarks/sessions.py --benchmark zeroeval_train.csv.gz [--sessions 400] [--seed 0]

A session is a history that grows. Each request asks a new prompt of the benchmark, and its task stays the same for a while.
The prompts of one half give the models' quality by task, those of the other half are asked. A model answers as it did in the
benchmark. Each model keeps the prompts of a session in its own cache: tokens that it has read within the lifetime of the
cache cost the price of cached input. `PRICES` are list prices (genai-prices 0.2.3), in USD per million tokens.

For several values of the dial the script prints the cost and the quality of a request:

- `each request`: `contextual` chooses for each request.
- `first choice`: the choice for the first request stays.
- `sticky`: `Sticky` decides.

Then it prints by how much `sticky` is above the best of the others at the same cost: the upper hull of all points of the
other policies and of single models. The interval is 95 %, by a bootstrap over sessions.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from router.score.scoring import ProfileTable
from router.strategies import Sticky, contextual
from router.types import ModelProfile, Preference, RoutingContext, TaskPrediction
from training.data.benchmark import read_benchmark
from training.data.facts import ModelFacts
from training.data.results import Results
from training.quality.profiles import learn_models

# Input, cached input and output. None: no cache.
PRICES: Mapping[str, tuple[float, float | None, float]] = {
    "gpt-4o-2024-08-06": (2.5, 1.25, 10.0),
    "gpt-4o-mini-2024-07-18": (0.15, 0.075, 0.6),
    "gpt-3.5-turbo-0125": (0.5, None, 1.5),
    "claude-3-5-sonnet-20240620": (3.0, 0.3, 15.0),
    "claude-3-haiku-20240307": (0.25, 0.03, 1.25),
    "claude-3-opus-20240229": (15.0, 1.5, 75.0),
    "gemini-1.5-pro": (1.25, None, 5.0),
    "gemini-1.5-flash": (0.075, 0.01875, 0.3),
    "Mistral-Large-2": (2.0, None, 6.0),
}
_LIFETIME_S = 300.0
_TAUGHT_SHARE = 0.5
_DIALS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
# The system prompt and the tools, and what a step adds to the history besides its prompt and its answer.
_START_TOKENS, _STEP_TOKENS = 4_000, 800
_MEAN_STEPS, _MEAN_SAME_TASK = 18, 6
# Most steps follow at once. After some the person thinks longer than a cache lives.
_PAUSE_SHARE, _SHORT_S, _LONG_S = 0.08, 15.0, 900.0


@dataclass(frozen=True)
class Step:
    """One request of a session: its prompt, its task, the tokens of the history before it, and its time."""

    prompt: int
    task: str
    tokens: int
    at_s: float


def main() -> None:
    """Simulate the sessions and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    results = read_benchmark(given.benchmark).results
    models = [name for name in results.models if name in PRICES]
    rng = np.random.default_rng(given.seed)
    taught = rng.random(len(results.prompts)) < _TAUGHT_SHARE
    facts = {m: ModelFacts(**dict(zip(_PRICE_NAMES, PRICES[m], strict=True)), cache_lifetime_s=_LIFETIME_S) for m in models}
    profiles = learn_models(results.take(_rows(results, models, taught)), facts, results.tasks).profiles
    asked = _tabulate(results, models, ~taught)
    sessions = [_draw_session(asked, random.Random(f"{given.seed} {i}")) for i in range(given.sessions)]
    print(f"{len(models)} models, {given.sessions} sessions, {sum(map(len, sessions))} requests, seed {given.seed}")
    runs: dict[str, NDArray[np.float64]] = {f"only {m}": _run_fixed(m, sessions, asked, profiles) for m in models}
    for dial in _DIALS:
        for policy in ("each request", "first choice", "sticky"):
            runs[f"{policy} {dial:g}"] = _run(policy, Preference(usd_per_point=dial), sessions, asked, profiles)
    for name, run in runs.items():
        cost, quality, moves = run.sum(axis=0)[1:] / run[:, 0].sum()
        print(f"  {name:34} USD per 1,000 requests {cost * 1000:7.3f}, quality {quality:.4f}, changes {moves:.3f}")
    print("sticky above the hull of all others at the same cost, in points:")
    draws = [rng.integers(0, given.sessions, given.sessions) for _ in range(1000)]
    for dial in _DIALS:
        name = f"sticky {dial:g}"
        others = [run for other, run in runs.items() if not other.startswith("sticky")]
        gains = [_find_gain(runs[name][rows], [run[rows] for run in others]) * 100 for rows in draws]
        now = _find_gain(runs[name], others) * 100
        print(f"  dial {dial:g}: {now:+.2f} [{np.quantile(gains, 0.025):+.2f}, {np.quantile(gains, 0.975):+.2f}]")


_PRICE_NAMES = ("input_usd_per_mtok", "cached_input_usd_per_mtok", "output_usd_per_mtok")


def _rows(results: Results, models: Sequence[str], prompts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    codes = [results.models.index(model) for model in models]
    return np.isin(results.model, codes) & prompts[results.prompt]


@dataclass(frozen=True)
class Asked:
    """The prompts that are asked, by task, and for each model and prompt the score, the tokens in and the tokens out."""

    by_task: Mapping[str, Sequence[int]]
    outcomes: Mapping[tuple[str, int], tuple[float, float, float]]


def _tabulate(results: Results, models: Sequence[str], prompts: NDArray[np.bool_]) -> Asked:
    outcomes, by_task = {}, defaultdict(set)
    for i in np.flatnonzero(_rows(results, models, prompts)).tolist():
        model, prompt = results.models[results.model[i]], int(results.prompt[i])
        outcomes[model, prompt] = (float(results.score[i]), float(results.input_tokens[i]), float(results.output_tokens[i]))
        by_task[results.tasks[results.task[i]]].add(prompt)
    complete = {p for p in {prompt for _, prompt in outcomes} if all((m, p) in outcomes for m in models)}
    return Asked({task: sorted(found & complete) for task, found in by_task.items()}, outcomes)


def _draw_session(asked: Asked, rng: random.Random) -> list[Step]:
    steps: list[Step] = []
    tasks = sorted(asked.by_task)
    task, tokens, at_s = rng.choice(tasks), _START_TOKENS, 0.0
    for _ in range(1 + int(rng.expovariate(1 / _MEAN_STEPS))):
        if rng.random() < 1 / _MEAN_SAME_TASK:
            task = rng.choice(tasks)
        steps.append(Step(rng.choice(asked.by_task[task]), task, tokens, at_s))
        tokens += int(_STEP_TOKENS * rng.uniform(0.3, 2.0))
        at_s += rng.expovariate(1 / (_LONG_S if rng.random() < _PAUSE_SHARE else _SHORT_S))
    return steps


class Bill:
    """What the requests of one session cost, with a cache for each model, and how good the answers are."""

    def __init__(self, asked: Asked, profiles: Mapping[str, ModelProfile]) -> None:
        self._asked, self._profiles = asked, profiles
        self._held = dict[str, tuple[float, float]]()
        self.usd = self.quality = 0.0
        self.moves = 0
        self._last = ""

    def add(self, model: str, step: Step) -> None:
        """Add a request."""
        score, input_tokens, output_tokens = self._asked.outcomes[model, step.prompt]
        profile, tokens = self._profiles[model], step.tokens + input_tokens
        held, until_s = self._held.get(model, (0.0, 0.0))
        cached_usd = profile.cached_input_usd_per_mtok
        cached = 0.0 if cached_usd is None or step.at_s > until_s else min(held, tokens)
        self.usd += (tokens - cached) * (profile.input_usd_per_mtok or 0.0) / 1e6 + cached * (cached_usd or 0.0) / 1e6
        self.usd += output_tokens * (profile.output_usd_per_mtok or 0.0) / 1e6
        self.quality += score
        self.moves += bool(self._last) and self._last != model
        self._held[model], self._last = (tokens, step.at_s + profile.cache_lifetime_s), model


def _run_fixed(
    model: str, sessions: Sequence[Sequence[Step]], asked: Asked, profiles: Sequence[ModelProfile]
) -> NDArray[np.float64]:
    by_name = {profile.name: profile for profile in profiles}
    rows = []
    for steps in sessions:
        bill = Bill(asked, by_name)
        for step in steps:
            bill.add(model, step)
        rows.append((len(steps), bill.usd, bill.quality, bill.moves))
    return np.array(rows, np.float64)


def _run(
    policy: str, preference: Preference, sessions: Sequence[Sequence[Step]], asked: Asked, profiles: Sequence[ModelProfile]
) -> NDArray[np.float64]:
    """Return the requests, the cost, the quality and the changes of model of each session, shape (sessions, 4)."""
    table, by_name = ProfileTable(profiles, sorted(asked.by_task)), {profile.name: profile for profile in profiles}
    sticky, rows = Sticky(), []
    for number, steps in enumerate(sessions):
        bill, first = Bill(asked, by_name), ""
        for step in steps:
            context = _make_context(f"session {number}", step, table, by_name, preference)
            ranking = sticky(context) if policy == "sticky" else contextual(context)
            first = first or ranking[0]
            bill.add(first if policy == "first choice" else ranking[0], step)
        rows.append((len(steps), bill.usd, bill.quality, bill.moves))
    return np.array(rows, np.float64)


def _make_context(
    key: str, step: Step, table: ProfileTable, profiles: Mapping[str, ModelProfile], preference: Preference
) -> RoutingContext:
    probabilities = {step.task: 1.0}
    return RoutingContext(
        prompt="",
        key=key,
        prediction=TaskPrediction(task=step.task, confidence=1.0, probabilities=probabilities, source="classifier"),
        candidates=table.names,
        scores=table.score(table.names, probabilities, tokens=step.tokens, preference=preference),
        preference=preference,
        profiles=profiles,
        tokens=step.tokens,
        now_s=step.at_s,
    )


def _find_gain(run: NDArray[np.float64], others: Sequence[NDArray[np.float64]]) -> float:
    """Return the quality of a policy minus that of the upper hull of others at the same cost."""
    points = sorted((r[:, 1].sum() / r[:, 0].sum(), r[:, 2].sum() / r[:, 0].sum()) for r in others)
    hull: list[tuple[float, float]] = []
    for x, y in points:
        if hull and y <= hull[-1][1]:
            continue
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (x - hull[-2][0]) <= (y - hull[-2][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((x, y))
    cost, quality = run[:, 1].sum() / run[:, 0].sum(), run[:, 2].sum() / run[:, 0].sum()
    return float(quality - np.interp(cost, [x for x, _ in hull], [y for _, y in hull]))


if __name__ == "__main__":
    main()
