"""What a benchmark teaches: profiles, what prompts themselves say, and where the dial's positions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.artifacts import HeadsRecord
from router.heads import PromptHeads
from router.risk import RiskCurve
from router.scoring import ProfileTable
from router.types import ModelProfile
from training.datasets import BenchmarkSet
from training.dial import find_knee, measure_risk
from training.outcomes import pivot
from training.profiles import learn_profiles
from training.quality import FEWEST_PROMPTS, Lessons, learn_of_prompts
from training.served import Featurize, PromptTable, Reading, expect_with, make_tabulate, read_as_served


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What was learnt.

    Attributes:
        profiles: The models.
        heads: What prompts themselves say of them; None where no task heeds them.
        record: What the heads were worth by task.
        usd_per_point: What a point of quality is worth where it is balanced with cost; None where it costs nothing more.
        risk: What switching to cheaper models lost; None where too few prompts were answered by all models.
    """

    profiles: Sequence[ModelProfile]
    heads: PromptHeads | None
    record: HeadsRecord | None
    usd_per_point: float | None
    risk: RiskCurve | None


def learn_of_benchmark(
    benchmark: BenchmarkSet, labelled: PromptTable, reading: Reading, featurize: Featurize, *, seed: int, jobs: int
) -> Learnt:
    """Learn all of it.

    Args:
        benchmark: The file.
        labelled: Labelled prompts with probabilities held out; the knee is theirs where the benchmark has too few prompts.
        reading: The classifier.
        featurize: With its encoder.
        seed: Of folds, resamples and directions of words.
        jobs: Processes to use; -1: all processors.
    """
    outcomes = pivot(benchmark.results, benchmark.facts)
    served = read_as_served(outcomes.prompts, labelled.tasks, reading, featurize)
    place = {prompt: row for row, prompt in enumerate(outcomes.prompts)}
    profiles = learn_profiles(
        benchmark.results,
        benchmark.facts,
        labelled.tasks,
        task_probabilities=lambda texts: served.probabilities[[place[text] for text in texts]],
    )
    lessons = learn_of_prompts(outcomes, served, make_tabulate(benchmark, outcomes, served), seed=seed, jobs=jobs)
    enough = len(outcomes.prompts) >= FEWEST_PROMPTS
    expected = expect_with(ProfileTable(profiles, labelled.tasks), lessons.heads, served if enough else labelled)
    return Learnt(
        profiles=profiles,
        heads=lessons.heads,
        record=None if lessons.heads is None else _record(lessons.heads, lessons),
        usd_per_point=find_knee(expected),
        risk=measure_risk(lessons.held_out, outcomes),
    )


def _record(heads: PromptHeads, lessons: Lessons) -> HeadsRecord:
    evidence = {target: dict(lesson.evidence) for target, lesson in lessons.learnt.items()}
    return HeadsRecord(models=list(heads.models), quality=evidence.get("quality", {}), cost=evidence.get("cost", {}))
