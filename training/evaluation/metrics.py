"""Predicted and labelled tasks in, accuracy, F1 and calibration error out, each with a bootstrap interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.data.prompts import LabelledPrompt
from training.evaluation.intervals import Interval, bootstrap, bootstrap_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionQuality:
    """How good one set of predictions is.

    Attributes:
        name: Name of the predictor.
        n: Number of predictions.
        accuracy: Share of predictions that equal the label.
        lenient: Share of predictions that equal the label or another acceptable task. None if the data name no other tasks.
        macro_f1: Mean F1 over the tasks that occur.
    """

    name: str
    n: int
    accuracy: Interval
    lenient: Interval | None
    macro_f1: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuality:
    """How good the predictions are on one task.

    Attributes:
        task: Name of the task.
        n: Number of prompts with this label.
        precision: Share of predictions of the task that are right. 0 if it is never predicted.
        recall: Share of its prompts that are predicted right.
        f1: Harmonic mean of precision and recall.
    """

    task: str
    n: int
    precision: Interval
    recall: Interval
    f1: Interval


def tasks_by_size(rows: Sequence[LabelledPrompt]) -> list[str]:
    """Return the tasks that occur, most frequent first."""
    return [task for task, _ in Counter(row.task for row in rows).most_common()]


def score_predictions(
    name: str, predicted: Sequence[str | None], rows: Sequence[LabelledPrompt], *, seed: int = 0
) -> PredictionQuality:
    """Compare predictions with labels. Intervals come from a percentile bootstrap over prompts with 1,000 resamples.

    Args:
        name: Name of the predictor.
        predicted: Predicted tasks, in the order of the rows. None if there is no prediction.
        rows: Labelled prompts.
        seed: Seed of the resamples.

    >>> rows = [LabelledPrompt(prompt=text, task=task) for text, task in (("a", "math"), ("b", "qa"))]
    >>> score_predictions("mine", ["math", "math"], rows).accuracy.value
    0.5
    """
    right = np.array([task == row.task for task, row in zip(predicted, rows, strict=True)])
    acceptable = np.array([task == row.task or task in row.also for task, row in zip(predicted, rows, strict=True)])
    tasks = sorted({row.task for row in rows})
    truth, guess = _encode(predicted, rows, tasks)

    def macro_f1(sample: NDArray[np.int64]) -> float:
        return float(np.mean(f1_scores(truth[sample], guess[sample], len(tasks))))

    return PredictionQuality(
        name=name,
        n=len(rows),
        accuracy=bootstrap(lambda sample: float(right[sample].mean()), len(rows), seed=seed),
        lenient=bootstrap(lambda sample: float(acceptable[sample].mean()), len(rows), seed=seed)
        if any(row.also for row in rows)
        else None,
        macro_f1=bootstrap(macro_f1, len(rows), seed=seed),
    )


def score_by_task(predicted: Sequence[str | None], rows: Sequence[LabelledPrompt], *, seed: int = 0) -> list[TaskQuality]:
    """Return the quality on each task that occurs, most frequent task first.

    Args:
        predicted: Predicted tasks, in the order of the rows. None if there is no prediction.
        rows: Labelled prompts.
        seed: Seed of the resamples.
    """
    tasks = tasks_by_size(rows)
    truth, guess = _encode(predicted, rows, tasks)

    def figures(sample: NDArray[np.int64]) -> NDArray[np.float64]:
        actual, guessed, hits = _counts(truth[sample], guess[sample], len(tasks))
        # The floor of 1 makes the precision of a task that is never predicted 0 instead of 0 / 0.
        parts = (hits / np.maximum(guessed, 1), hits / np.maximum(actual, 1), 2 * hits / np.maximum(actual + guessed, 1))
        return np.concatenate(parts)

    intervals = bootstrap_each(figures, len(rows), seed=seed)
    sizes = np.bincount(truth, minlength=len(tasks)).tolist()
    return [
        TaskQuality(task=task, n=n, precision=precision, recall=recall, f1=f1)
        for task, n, precision, recall, f1 in zip(
            tasks, sizes, *(intervals[i * len(tasks) : (i + 1) * len(tasks)] for i in range(3)), strict=True
        )
    ]


def f1_scores(truth: NDArray[np.int64], guess: NDArray[np.int64], n_tasks: int) -> NDArray[np.float64]:
    """Return 2·TP / (2·TP + FP + FN) of each task that occurs in `truth`.

    Args:
        truth: Number of the labelled task of each prompt, in [0, n_tasks).
        guess: Number of the predicted task. A number outside [0, n_tasks) counts as wrong.
        n_tasks: Number of tasks.

    >>> f1_scores(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).round(2).tolist()
    [0.67, 0.67]
    """
    actual, guessed, hits = _counts(truth, guess, n_tasks)
    return np.asarray((2 * hits / np.maximum(actual + guessed, 1))[actual > 0], np.float64)


def _encode(
    predicted: Sequence[str | None], rows: Sequence[LabelledPrompt], tasks: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return labels and predictions as indices of `tasks`; a prediction of any other task becomes len(tasks)."""
    truth = np.array([tasks.index(row.task) for row in rows])
    return truth, np.array([tasks.index(task) if task in tasks else len(tasks) for task in predicted])


def _counts(truth: NDArray[np.int64], guess: NDArray[np.int64], n_tasks: int) -> tuple[NDArray[np.int64], ...]:
    """Return how often each task is the label, the prediction, and both."""
    return tuple(np.bincount(rows, minlength=n_tasks)[:n_tasks] for rows in (truth, guess, truth[truth == guess]))


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over 15 equal-width bins (Guo et al., 2017, equation 3).

    Args:
        confidence: Confidence of each prediction, in [0, 1], shape (n,).
        right: Which predictions equal the label, shape (n,).

    >>> calibration_error(np.array([0.9, 0.9]), np.array([True, False]))
    0.4
    """
    gaps = [abs(confidence[rows].mean() - right[rows].mean()) * len(rows) for rows in confidence_bins(confidence)]
    return float(sum(gaps) / len(confidence))


def confidence_bins(confidence: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Return the index of the rows in each of 15 equal-width bins, without the empty ones."""
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    return [np.flatnonzero(bins == b) for b in np.unique(bins)]


def to_metrics(prefix: str, quality: PredictionQuality) -> Mapping[str, float]:
    """Return accuracy and macro-F1 under their names in the manifest."""
    return {f"{prefix} accuracy": quality.accuracy.value, f"{prefix} macro-F1": quality.macro_f1.value}
