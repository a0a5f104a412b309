"""A benchmark and a classifier in, everything that the router needs to score models out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from router.classify.heads import PromptHeads
from router.model_folder.manifest import HeadsRecord
from router.score.risk import RiskCurve
from router.score.scoring import ProfileTable
from router.types import ModelProfile
from training.quality.dial import find_knee, measure_risk
from training.quality.expectations import expect_with_heads, make_table_builder
from training.quality.outcomes import pivot
from training.quality.overlap import measure_overlap
from training.quality.profiles import learn_models
from training.quality.prompt_heads import MIN_PROMPTS, PromptHeadFits, fit_prompt_heads
from training.quality.prompt_table import FeatureClassifier, Featurize, PromptTable, make_prompt_table
from training.quality.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedScoring:
    """What training learns from a benchmark.

    Attributes:
        profiles: The profile of each model.
        heads: Shift expected quality and cost by a prompt's text. None if they help on no task.
        record: Gain of the heads by task. None without heads.
        usd_per_point: Price of a point of quality in the preset `balanced`. None if better models do not cost more.
        risk: Loss of switching to cheaper models. None if all models answered too few prompts.
        overlap: Share of prompts that are hard or easy for all models alike. None if it cannot be measured.
    """

    profiles: Sequence[ModelProfile]
    heads: PromptHeads | None
    record: HeadsRecord | None
    usd_per_point: float | None
    risk: RiskCurve | None
    overlap: float | None = None


def fit_scoring(
    sample: Sample,
    labelled: PromptTable,
    classifier: FeatureClassifier,
    featurize: Featurize,
    *,
    seed: int,
    jobs: int,
) -> FittedScoring:
    """Learn profiles, prompt heads and the positions of the dial from a benchmark.

    Args:
        sample: The benchmark, with a limited number of prompts.
        labelled: Labelled prompts with held-out probabilities. The price of a point is measured on them if the benchmark has
            too few prompts.
        classifier: Predicts the tasks of the benchmark's prompts.
        featurize: Computes features with the classifier's encoder.
        seed: Seed of folds, resamples and the directions of words.
        jobs: Number of processes. -1: all processors.
    """
    benchmark = sample.benchmark
    outcomes = pivot(benchmark.results, benchmark.facts)
    prompts = make_prompt_table(outcomes.prompts, labelled.tasks, classifier, featurize)
    row_of_prompt = {prompt: row for row, prompt in enumerate(outcomes.prompts)}
    profiles = learn_models(
        sample.rows,
        benchmark.facts,
        labelled.tasks,
        task_probabilities=lambda texts: prompts.probabilities[[row_of_prompt[text] for text in texts]],
        outcomes=outcomes,
    ).profiles
    build_table = make_table_builder(benchmark, outcomes, prompts)
    head_fits = fit_prompt_heads(outcomes, prompts, build_table, seed=seed, jobs=jobs)
    # The knee is an average over prompts. A few benchmark prompts would not represent the traffic.
    typical = prompts if len(outcomes.prompts) >= MIN_PROMPTS else labelled
    expected = expect_with_heads(ProfileTable(profiles, labelled.tasks), head_fits.heads, typical)
    return FittedScoring(
        profiles=profiles,
        heads=head_fits.heads,
        record=None if head_fits.heads is None else _make_record(head_fits.heads, head_fits),
        usd_per_point=find_knee(expected),
        risk=measure_risk(head_fits.held_out, outcomes),
        overlap=measure_overlap(outcomes.score, np.unique(outcomes.tasks, return_inverse=True)[1]),
    )


def _make_record(heads: PromptHeads, head_fits: PromptHeadFits) -> HeadsRecord:
    evidence = {target: dict(fit.evidence) for target, fit in head_fits.fits.items()}
    return HeadsRecord(models=list(heads.models), quality=evidence.get("quality", {}), cost=evidence.get("cost", {}))
