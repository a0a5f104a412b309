"""Judge a model folder on a benchmark: as it is, or where it knows the benchmark, by what it would learn of parts of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from router.artifacts import Artifact
from router.errors import ArtifactError
from router.scoring import Expectation, ProfileTable, make_presets
from router.types import Preference
from training.datasets import BenchmarkSet, DatasetError
from training.dial import choose_within, find_knee
from training.outcomes import Outcomes, pivot, split_groups
from training.quality import FOLDS, learn_of_prompts
from training.routing.evaluation import Dial, RoutingEvaluation, evaluate_routing, pick_pair, trace_dial
from training.routing.routers import baseline_dials, cross_fit_dials
from training.served import Featurize, PromptTable, Reading, Tabulate, expect_with, join, make_tabulate, read_as_served

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOORS = (0.8, 0.9, 0.95, 0.98)
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A router, judged on a benchmark.

    Attributes:
        evaluation: What it is worth.
        notes: How it was measured.
    """

    evaluation: RoutingEvaluation
    notes: Sequence[str]


def judge_folder(
    artifact: Artifact,
    benchmark: BenchmarkSet,
    featurize: Featurize,
    *,
    name: str,
    train_on: BenchmarkSet | None = None,
    seed: int = 0,
    jobs: int = -1,
) -> Judgement:
    """Judge the routing of a model folder on the prompts of a benchmark.

    A folder that was not trained on the benchmark and has all its models is judged as it is. Otherwise what is judged is a
    router that has the folder's classifier and learns profiles and heads of the benchmark itself, each fifth of the prompts
    held out in turn.

    Args:
        artifact: The folder.
        benchmark: What all models did on prompts.
        featurize: With the folder's encoder.
        name: Of the benchmark.
        train_on: What baselines learn of; None: of the benchmark itself, each fifth held out in turn.
        seed: Of folds and bootstrap.
        jobs: Processes to use; -1: all processors.

    Raises:
        ArtifactError: If the folder has no classifier.
        DatasetError: If too few prompts have a score of every model.
    """
    classifier = artifact.classifier
    if classifier is None:
        raise ArtifactError(f"routing is judged with a classifier; {' '.join(artifact.problems)}")
    outcomes = pivot(benchmark.results, benchmark.facts)
    if not outcomes.prompts:
        raise DatasetError(f"{name}: routing is judged on rows that have a prompt, found none; add the prompts")
    reading = Reading(labels=classifier.labels, heads=classifier.heads, temperature=classifier.temperature)
    prompts = read_as_served(outcomes.prompts, classifier.tasks, reading, featurize)
    expected, usd_per_point, note = _expect_of_folder(artifact, benchmark, outcomes, prompts, seed=seed, jobs=jobs)
    notes = [note]
    if train_on is None:
        baselines = cross_fit_dials(outcomes, split_groups(outcomes, FOLDS, seed=seed), seed=seed)
        notes.append("Baselines learn of four fifths of this benchmark and are judged on the fifth held out, in turn.")
    else:
        baselines = baseline_dials(_align(pivot(train_on.results, train_on.facts), outcomes), outcomes, seed=seed)
        notes.append("Baselines learn of another benchmark file.")
    strong, weak = pick_pair(outcomes)
    evaluation = evaluate_routing(
        trace_router(expected, usd_per_point),
        expected.quality[:, strong] - expected.quality[:, weak],
        baselines,
        outcomes,
        name=name,
        seed=seed,
        positions=_trace_positions(expected, strong, usd_per_point),
    )
    return Judgement(evaluation=evaluation, notes=notes)


def _expect_of_folder(
    artifact: Artifact, benchmark: BenchmarkSet, outcomes: Outcomes, prompts: PromptTable, *, seed: int, jobs: int
) -> tuple[Expectation, float | None, str]:
    """Return what the folder, or a router that learns of the benchmark, expects, its price of a point, and which it is."""
    by_name = {profile.name: profile for profile in artifact.profiles}
    lacking = sorted(set(outcomes.models) - set(by_name))
    knows = benchmark.sha256 in {data.sha256 for data in artifact.manifest.training_data}
    if not knows and not lacking:
        table = ProfileTable([by_name[model] for model in outcomes.models], prompts.tasks)
        expected = expect_with(table, artifact.calibration.heads, prompts)
        price = artifact.calibration.presets["balanced"].usd_per_point
        return expected, price, "Judged is the folder as it is; it was not trained on this benchmark."
    expected = cross_fit_router(benchmark, outcomes, prompts, seed=seed, jobs=jobs)
    why = "the folder was trained on this benchmark" if knows else f"the folder lacks {', '.join(lacking[:_SHOWN])}"
    return (
        expected,
        find_knee(expected),
        "Judged is the folder's classifier with profiles and heads learnt of four fifths of this benchmark, on the fifth "
        f"held out, in turn: {why}.",
    )


def cross_fit_router(
    benchmark: BenchmarkSet, outcomes: Outcomes, prompts: PromptTable, *, seed: int, jobs: int
) -> Expectation:
    """Return what a router expects of each prompt that learnt of four fifths of the others, heads and gates included.

    Args:
        benchmark: The file.
        outcomes: Its rows that have a prompt.
        prompts: The same prompts as they are read.
        seed: Of folds.
        jobs: Processes to use.
    """
    folds = split_groups(outcomes, min(FOLDS, len(set(outcomes.groups))), seed=seed)
    tabulate = make_tabulate(benchmark, outcomes, prompts)
    parts = [
        fit_and_expect(tabulate, outcomes, prompts, folds != fold, folds == fold, seed=seed, jobs=jobs)
        for fold in range(folds.max() + 1)
    ]
    return join(parts, folds)


def fit_and_expect(
    tabulate: Tabulate,
    outcomes: Outcomes,
    prompts: PromptTable,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    *,
    seed: int,
    jobs: int,
) -> Expectation:
    """Return what a router expects of some prompts that learnt of others; masks of shape (n,)."""
    rows = np.flatnonzero(train)

    def tabulate_part(mask: NDArray[np.bool_]) -> ProfileTable:
        kept = np.zeros(len(train), np.bool_)
        kept[rows[mask]] = True
        return tabulate(kept)

    lessons = learn_of_prompts(outcomes.take(rows), prompts.take(rows), tabulate_part, seed=seed, jobs=jobs)
    return expect_with(tabulate(train), lessons.heads, prompts.take(test))


def trace_router(expected: Expectation, usd_per_point: float | None) -> Dial:
    """Return what the router chooses at every price of a point, the presets named among them."""
    dial = trace_dial("router", expected.quality, _fill(expected.cost_usd))
    if usd_per_point is None:
        return dial
    presets = make_presets(usd_per_point)
    named = {name: choose(expected, presets[name]) for name in ("cheap", "balanced", "quality")}
    choices = np.vstack([dial.choices, *(chosen[None] for chosen in named.values())])
    return Dial(name=dial.name, choices=choices, labels=("",) * len(dial.choices) + tuple(named))


def choose(expected: Expectation, preference: Preference) -> NDArray[np.int64]:
    """Return the model of most utility for each prompt, as the contextual strategy does where time does not count."""
    cost_usd = _fill(expected.cost_usd)
    utility = expected.quality - 0.01 * cost_usd / preference.usd_per_point
    return np.asarray(np.lexsort((cost_usd, -utility))[:, 0], np.int64)


def _trace_positions(expected: Expectation, strong: int, usd_per_point: float | None) -> list[Dial]:
    """Return the choices at positions of the dials that `Router.route` has."""
    quality, cost_usd = expected.quality, _fill(expected.cost_usd)
    best = quality.max(axis=1, keepdims=True)
    floors = np.stack([_cheapest(cost_usd, quality, quality >= floor * best) for floor in _FLOORS])
    found = [Dial(name="quality_floor", choices=floors, labels=tuple(f"{floor:g}" for floor in _FLOORS))]
    within = np.stack([choose_within(quality, cost_usd, strong, tolerance) for tolerance in (0.0, 0.02, 0.05, 0.1)])
    found.append(Dial(name="tolerance of max_loss", choices=within, labels=("0", "0.02", "0.05", "0.1")))
    if usd_per_point is not None:
        prices = [usd_per_point * factor for factor in (0.01, 0.1, 1.0, 10.0)]
        paying = np.stack([choose(expected, Preference(usd_per_point=price)) for price in prices])
        found.append(Dial(name="cost_per_point", choices=paying, labels=tuple(f"{price:.1g}" for price in prices)))
        limits = np.quantile(cost_usd, (0.25, 0.5, 0.75, 1.0))
        capped = np.stack([_best(quality, cost_usd, limit) for limit in limits])
        found.append(Dial(name="max_cost_usd", choices=capped, labels=tuple(f"{limit:.1g}" for limit in limits)))
    return found


def _cheapest(cost_usd: NDArray[np.float64], quality: NDArray[np.float64], enough: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.asarray(np.lexsort((-quality, np.where(enough, cost_usd, np.inf)))[:, 0], np.int64)


def _best(quality: NDArray[np.float64], cost_usd: NDArray[np.float64], limit: float) -> NDArray[np.int64]:
    """Return the best model within a limit, or where none is the cheapest."""
    within = cost_usd <= np.maximum(limit, cost_usd.min(axis=1, keepdims=True))
    return np.asarray(np.where(within, quality, -np.inf).argmax(axis=1), np.int64)


def _fill(cost_usd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put the median of the known in place of an unknown cost, as the runtime does; 0 where none is known."""
    unknown = np.isnan(cost_usd)
    if unknown.all():
        return np.zeros_like(cost_usd)
    return np.where(unknown, np.nanmedian(cost_usd, axis=1, keepdims=True), cost_usd) if unknown.any() else cost_usd


def _align(train: Outcomes, test: Outcomes) -> Outcomes:
    """Return outcomes with the models of others, in their order.

    Raises:
        DatasetError: If one of them is missing.
    """
    missing = [model for model in test.models if model not in train.models]
    if missing:
        raise DatasetError(f"--train-on must have all models of the benchmark, lacks {missing[:5]}; add their results")
    columns = [train.models.index(model) for model in test.models]
    return replace(train, models=test.models, score=train.score[:, columns], cost_usd=train.cost_usd[:, columns])
