"""Two CSV files in, the checked data of a training run out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from router.classify.classifier import CONTINUES
from router.model_folder.manifest import TrainingData
from training.classifier.tasks import check_tasks
from training.data.benchmark import BenchmarkSet, read_benchmark
from training.data.prompts import TASKS, PromptSet, read_prompts
from training.data.table import DatasetError, hash_file
from training.data.task_file import DESCRIPTION, describe_rows, read_task_file

if TYPE_CHECKING:
    from numpy.typing import NDArray


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

    @property
    def described(self) -> NDArray[np.bool_]:
        """Whether each row stands for the description of a task, shape (rows,)."""
        return np.array([row.source == DESCRIPTION for row in self.prompts.rows], np.bool_)


def read_inputs(
    prompts: Path | None, benchmark: Path, *, own_tasks: bool = False, described: Path | None = None
) -> TrainingInputs:
    """Read and check the data of a training run.

    Args:
        prompts: CSV file of labelled prompts. None: the tasks are known by their descriptions only.
        benchmark: CSV file of benchmark results. It may only name tasks that the prompts have.
        own_tasks: Whether the file of prompts defines the tasks. If not, they are the 14 of `TASKS`.
        described: File that describes the tasks. None: there is none. With it the tasks are those of the file.

    Raises:
        DatasetError: If a file breaks its rules or a task has too few prompts, or there is nothing to learn tasks from.
    """
    if described is not None:
        return _read_described(prompts, benchmark, described)
    if prompts is None:
        raise DatasetError("training needs labelled prompts, or a file that describes the tasks; name one")
    labelled = read_prompts(prompts, tasks=None if own_tasks else TASKS)
    labels = check_tasks(prompts, labelled.rows)
    results = read_benchmark(benchmark, tasks=[label for label in labels if label != CONTINUES])
    return TrainingInputs(prompts=labelled, benchmark=results, files=_record(prompts, benchmark, labelled, results))


def _read_described(prompts: Path | None, benchmark: Path, described: Path) -> TrainingInputs:
    tasks = read_task_file(described)
    rows = describe_rows(tasks)
    empty = PromptSet(rows=(), sha256=hash_file(described))
    given = empty if prompts is None else read_prompts(prompts, tasks=tuple(tasks), may_wait=True)
    labelled = replace(given, rows=(*given.rows, *rows))
    results = read_benchmark(benchmark, tasks=[*tasks, *(task for task in TASKS if task not in tasks)])
    named = {name: name if task.like is None else task.like for name, task in tasks.items()}
    renamed = results.results.rename_tasks(named)
    if not renamed:
        raise DatasetError(
            f'{benchmark} has no row for the tasks of {described}; add like = "qa" or another built-in task to their '
            "tables, or rows of your own"
        )
    results = replace(results, results=renamed)
    return TrainingInputs(
        prompts=labelled, benchmark=results, files=_record(prompts or described, benchmark, labelled, results)
    )


def _record(prompts: Path, benchmark: Path, labelled: PromptSet, results: BenchmarkSet) -> tuple[TrainingData, TrainingData]:
    return (
        TrainingData(name=prompts.name, licence=labelled.licence, rows=len(labelled.rows), sha256=labelled.sha256),
        TrainingData(name=benchmark.name, licence="", rows=len(results.results), sha256=results.sha256),
    )
