"""Assess the routing of a model folder on a benchmark, as it is or by cross-fitting.

A folder is cross-fitted if it was trained on the benchmark or lacks one of its models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.errors import ModelFolderError
from router.model_folder.load import ModelFolder
from router.score.scoring import Expectation, ProfileTable
from training.data.benchmark import BenchmarkSet
from training.data.table import DatasetError
from training.quality.dial import find_knee
from training.quality.expectations import expect_with_heads
from training.quality.outcomes import Outcomes, pivot, split_groups
from training.quality.prompt_heads import FOLDS
from training.quality.prompt_table import FeatureClassifier, Featurize, PromptTable, make_prompt_table
from training.verdict.baselines import cross_fit_baselines, sweep_baselines
from training.verdict.cross_fit import cross_fit_router
from training.verdict.evaluate import evaluate_choices
from training.verdict.evaluation import RoutingEvaluation
from training.verdict.pair import pick_pair
from training.verdict.sweep import Sweep, sweep_options, sweep_router

# A folder may lack hundreds of models. Three names are enough to see why.
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingAssessment:
    """The result of assessing a router on a benchmark.

    Attributes:
        evaluation: All figures and the verdict.
        notes: Sentences on how it was measured, and on the files.
    """

    evaluation: RoutingEvaluation
    notes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _AssessedRouter:
    """The router that is assessed.

    Attributes:
        expected: Its expected quality and cost of each prompt.
        usd_per_point: Price of a point of quality in its preset `balanced`. None if better models do not cost more.
        note: A sentence which says where the router comes from.
    """

    expected: Expectation
    usd_per_point: float | None
    note: str


def assess_folder(
    model_folder: ModelFolder,
    benchmark: BenchmarkSet,
    featurize: Featurize,
    *,
    name: str,
    train_on: BenchmarkSet | None = None,
    seed: int = 0,
    jobs: int = -1,
) -> RoutingAssessment:
    """Assess the routing of a model folder on the prompts of a benchmark.

    The folder is assessed as it is if it has all models of the benchmark and was not trained on it. Otherwise a router with
    the folder's classifier is assessed. Its profiles and heads are learned from the benchmark, with each fifth of the
    prompts held out in turn.

    Args:
        model_folder: The loaded folder.
        benchmark: Results of all models on prompts.
        featurize: Computes features with the folder's encoder.
        name: Name of the benchmark.
        train_on: Results that the baselines learn from. None: the benchmark itself, with each fifth held out in turn.
        seed: Seed of folds and bootstrap.
        jobs: Number of processes. -1: one per processor.

    Raises:
        ModelFolderError: If the folder has no classifier.
        DatasetError: If too few prompts have a score of every model.
    """
    outcomes = pivot(benchmark.results, benchmark.facts)
    prompts = _classify_prompts(model_folder, outcomes, featurize, name)
    router = _prepare_router(model_folder, benchmark, outcomes, prompts, seed=seed, jobs=jobs)
    baselines, note = _sweep_baselines(outcomes, train_on, seed=seed)
    expected = router.expected
    # The pair is chosen by measured scores, not by the router's expectations, so that all routers are compared on one pair.
    strong, weak = pick_pair(outcomes)
    evaluation = evaluate_choices(
        sweep_router(expected, router.usd_per_point),
        expected.quality[:, strong] - expected.quality[:, weak],
        baselines,
        outcomes,
        name=name,
        seed=seed,
        positions=sweep_options(expected, outcomes.models, strong, router.usd_per_point),
    )
    notes = [router.note, note, *benchmark.notes, *(train_on.notes if train_on else ())]
    return RoutingAssessment(evaluation=evaluation, notes=notes)


def _classify_prompts(model_folder: ModelFolder, outcomes: Outcomes, featurize: Featurize, name: str) -> PromptTable:
    """Classify the prompts of a benchmark as the router would."""
    classifier = model_folder.classifier
    if classifier is None:
        raise ModelFolderError(f"to assess routing, the model folder needs a classifier; {' '.join(model_folder.problems)}")
    if not outcomes.prompts:
        raise DatasetError(f"{name}: to assess routing, rows must have a prompt, got none; add a column prompt")
    head = FeatureClassifier(labels=classifier.labels, heads=classifier.heads, temperature=classifier.temperature)
    return make_prompt_table(outcomes.prompts, classifier.tasks, head, featurize)


def _prepare_router(
    model_folder: ModelFolder, benchmark: BenchmarkSet, outcomes: Outcomes, prompts: PromptTable, *, seed: int, jobs: int
) -> _AssessedRouter:
    """Return what the folder expects of each prompt, or a cross-fitted router if the folder may not be used."""
    by_name = {profile.name: profile for profile in model_folder.profiles}
    missing = sorted(set(outcomes.models) - set(by_name))
    # A hash and not a name: a renamed copy of the training file must be recognised too.
    knows = benchmark.sha256 in {data.sha256 for data in model_folder.manifest.training_data}
    if not knows and not missing:
        table = ProfileTable([by_name[model] for model in outcomes.models], prompts.tasks)
        return _AssessedRouter(
            expected=expect_with_heads(table, model_folder.parameters.heads, prompts),
            usd_per_point=model_folder.parameters.presets["balanced"].usd_per_point,
            note="The folder was assessed as it is. It was not trained on this benchmark.",
        )
    expected = cross_fit_router(benchmark, outcomes, prompts, seed=seed, jobs=jobs)
    # Scores on training data would flatter the router, so its profiles may not be used as they are.
    why = "the folder was trained on this benchmark" if knows else f"the folder lacks {', '.join(missing[:_SHOWN])}"
    return _AssessedRouter(
        expected=expected,
        usd_per_point=find_knee(expected),
        note="The folder's classifier was assessed with profiles and heads learned from this benchmark, each fifth held out "
        f"in turn, because {why}.",
    )


def _sweep_baselines(outcomes: Outcomes, train_on: BenchmarkSet | None, *, seed: int) -> tuple[list[Sweep], str]:
    """Return the choices of the baselines, and a sentence which says what they learned from."""
    if train_on is None:
        folds = split_groups(outcomes, FOLDS, seed=seed)
        note = "Baselines learned from this benchmark too, each fifth held out in turn."
        return cross_fit_baselines(outcomes, folds, seed=seed), note
    train = _align(pivot(train_on.results, train_on.facts), outcomes)
    return sweep_baselines(train, outcomes, seed=seed), "Baselines learned from another benchmark file."


def _align(train: Outcomes, test: Outcomes) -> Outcomes:
    """Return training outcomes with the models of the test outcomes, in their order.

    Raises:
        DatasetError: If the training outcomes lack one of the models.
    """
    missing = [model for model in test.models if model not in train.models]
    if missing:
        raise DatasetError(f"--train-on must have all models of the benchmark, lacks {missing[:5]}; add their results")
    columns = [train.models.index(model) for model in test.models]
    return replace(train, models=test.models, score=train.score[:, columns], cost_usd=train.cost_usd[:, columns])
