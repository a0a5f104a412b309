"""Format tables of figures for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation.metrics import PredictionQuality, TaskQuality


def format_qualities(qualities: Sequence[PredictionQuality]) -> list[str]:
    """Return one line for each set of predictions: accuracy, macro-F1 and, if known, lenient accuracy."""
    # The column is left out if no file accepts more than one task, which is the usual case.
    lenient = any(quality.lenient for quality in qualities)
    head = f"{'':15} {'accuracy':22} {'macro-F1':22}" + (f" {'lenient accuracy':22}" if lenient else "")
    return [
        head.rstrip(),
        *(
            f"{q.name:15} {q.accuracy!s:22} {q.macro_f1!s:22}{f' {q.lenient}' if q.lenient else ''}".rstrip()
            for q in qualities
        ),
    ]


def format_tasks(tasks: Sequence[TaskQuality]) -> list[str]:
    """Return one line for each task: precision, recall and F1."""
    return [f"{'task':16} {'n':>5}  {'precision':20}  {'recall':20}  F1"] + [
        f"{task.task:16} {task.n:5}  {task.precision}  {task.recall}  {task.f1}" for task in tasks
    ]
