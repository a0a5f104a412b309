"""Two CSV files in, the checked data of a training run out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from router.classify.classifier import CONTINUES
from router.model_folder.manifest import TrainingData
from training.classifier.tasks import check_tasks
from training.data.benchmark import BenchmarkSet, read_benchmark
from training.data.prompts import TASKS, PromptSet, read_prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingInputs:
    """The data of a training run.

    Attributes:
        prompts: The labelled prompts.
        benchmark: The benchmark results.
        files: The two files, as the manifest records them.
    """

    prompts: PromptSet
    benchmark: BenchmarkSet
    files: Sequence[TrainingData]

    @property
    def texts(self) -> list[str]:
        """Text of each labelled prompt."""
        return [row.prompt for row in self.prompts.rows]

    @property
    def tasks(self) -> list[str]:
        """Label of each prompt: its task, or `CONTINUES`."""
        return [row.task for row in self.prompts.rows]

    @property
    def groups(self) -> list[str]:
        """Group of each prompt, which is never split between training and test."""
        return [row.group for row in self.prompts.rows]


def read_inputs(prompts: Path, benchmark: Path, *, own_tasks: bool) -> TrainingInputs:
    """Read and check the data of a training run.

    Args:
        prompts: CSV file of labelled prompts.
        benchmark: CSV file of benchmark results. It may only name tasks that the prompts have.
        own_tasks: Whether the file of prompts defines the tasks. If not, they are the 14 of `TASKS`.

    Raises:
        DatasetError: If a file breaks its rules or a task has too few prompts.
    """
    labelled = read_prompts(prompts, tasks=None if own_tasks else TASKS)
    labels = check_tasks(prompts, labelled.rows)
    results = read_benchmark(benchmark, tasks=[label for label in labels if label != CONTINUES])
    files = (
        TrainingData(name=prompts.name, licence=labelled.licence, rows=len(labelled.rows), sha256=labelled.sha256),
        TrainingData(name=benchmark.name, licence="", rows=len(results.results), sha256=results.sha256),
    )
    return TrainingInputs(prompts=labelled, benchmark=results, files=files)
