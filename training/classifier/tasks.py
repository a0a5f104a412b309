"""Labelled prompts in, their tasks out, if each task has enough prompts to hold some out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from training.classifier.folds import FOLDS
from training.data.names import group_spellings
from training.data.prompts import LabelledPrompt
from training.data.table import DatasetError

# With one task there is nothing to classify.
_FEWEST_TASKS = 2


def check_tasks(path: Path, rows: Sequence[LabelledPrompt]) -> tuple[str, ...]:
    """Return the tasks of labelled prompts in alphabetical order, after a check that `FOLDS` folds are possible.

    Args:
        path: The file of the prompts, for the error message.
        rows: The prompts.

    Raises:
        DatasetError: If a task has too few prompts, there is only one task, or there are fewer than `FOLDS` groups.
    """
    counts = Counter(row.task for row in rows)
    scarce = {task: n for task, n in counts.items() if n < FOLDS}
    if scarce:
        alike = [group for group in group_spellings(counts) if set(group) & set(scarce)]
        remedy = f"write {' and '.join(map(repr, alike[0]))} alike" if alike else "add prompts or drop the task"
        raise DatasetError(f"{path}: each task must have at least {FOLDS} different prompts, got {scarce}; {remedy}")
    if len(counts) < _FEWEST_TASKS:
        raise DatasetError(f"{path}: there must be at least {_FEWEST_TASKS} tasks, got {list(counts)}; add another task")
    groups = len({row.group for row in rows})
    if groups < FOLDS:
        raise DatasetError(f"{path}: there must be at least {FOLDS} groups, got {groups}; use smaller groups")
    return tuple(sorted(counts))
