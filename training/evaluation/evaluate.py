"""A router's predictions and the labels in, an `Evaluation` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.types import TaskPrediction
from training.data.prompts import LabelledPrompt
from training.evaluation.intervals import Interval, bootstrap
from training.evaluation.metrics import (
    PredictionQuality,
    TaskQuality,
    calibration_error,
    confidence_bins,
    score_by_task,
    score_predictions,
    tasks_by_size,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Points of the risk–coverage curve: 5 %, 10 %, … 100 %.
_COVERAGES = 20
# The column of the confusion matrix for prompts without a predicted task.
_NO_TASK = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceAccuracy:
    """Confidence and accuracy on a slice of the predictions.

    Attributes:
        n: Number of predictions in the slice.
        confidence: Their mean confidence. On the risk–coverage curve, their lowest confidence.
        accuracy: Share of them that is right.
    """

    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How good a router's predictions of n labelled prompts are.

    Attributes:
        n: Number of prompts.
        seed: Seed of the bootstrap.
        qualities: Quality of the router, then of each baseline.
        top2: Share of prompts whose label is among the two most likely tasks.
        tasks: Quality on each task that occurs, most frequent task first.
        guessable: Columns of the confusion matrix: every task that occurs or is predicted, then "none" for no prediction.
        confusion: Number of prompts by label (rows, as `tasks`) and prediction (columns).
        calibration_error: Expected calibration error over 15 equal-width bins.
        calibration: The bins that are not empty, in order of confidence.
        risk_coverage: Accuracy of the most confident 5 %, 10 % … 100 % of the predictions (El-Yaniv and Wiener, 2010, JMLR
            11:1605-1641). `confidence` is the lowest one among them.
        deciders: Accuracy by the part that decided: `first tier` or `full tier` of the classifier, `keywords`, or `default`
            for an unsure classifier.
    """

    n: int
    seed: int
    qualities: Sequence[PredictionQuality]
    top2: Interval
    tasks: Sequence[TaskQuality]
    guessable: Sequence[str]
    confusion: Sequence[Sequence[int]]
    calibration_error: Interval
    calibration: Sequence[SliceAccuracy]
    risk_coverage: Sequence[SliceAccuracy]
    deciders: Mapping[str, SliceAccuracy]


def evaluate(
    predictions: Sequence[TaskPrediction],
    rows: Sequence[LabelledPrompt],
    *,
    baselines: Mapping[str, Sequence[str | None]] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare a router's predictions with the labels, beside baselines.

    Args:
        predictions: The router's predictions, in the order of the rows.
        rows: Labelled prompts.
        baselines: Predicted tasks of each baseline, by name, in the order of the rows.
        seed: Seed of the bootstrap.
    """
    predicted = [prediction.task for prediction in predictions]
    right = np.array([task == row.task for task, row in zip(predicted, rows, strict=True)])
    in_top2 = np.array([row.task in _most_likely(p, 2) for p, row in zip(predictions, rows, strict=True)])
    confidence = np.array([prediction.confidence for prediction in predictions])
    guessable, confusion = _count_confusions(predicted, rows)
    return Evaluation(
        n=len(rows),
        seed=seed,
        qualities=[
            score_predictions(name, tasks, rows, seed=seed)
            for name, tasks in {"router": predicted, **(baselines or {})}.items()
        ],
        top2=bootstrap(lambda sample: float(in_top2[sample].mean()), len(rows), seed=seed),
        tasks=score_by_task(predicted, rows, seed=seed),
        guessable=guessable,
        confusion=confusion,
        calibration_error=bootstrap(
            lambda sample: calibration_error(confidence[sample], right[sample]), len(rows), seed=seed
        ),
        calibration=[_score_slice(confidence, right, bin_) for bin_ in confidence_bins(confidence)],
        risk_coverage=_trace_risk(confidence, right),
        deciders=_score_deciders(predictions, confidence, right),
    )


def _count_confusions(predicted: Sequence[str | None], rows: Sequence[LabelledPrompt]) -> tuple[list[str], list[list[int]]]:
    """Return the columns of the confusion matrix and its counts, one row per task that occurs, most frequent first."""
    tasks = tasks_by_size(rows)
    columns = [*tasks, *sorted({task for task in predicted if task is not None} - set(tasks)), _NO_TASK]
    matrix = np.zeros((len(tasks), len(columns)), np.int64)
    for row, task in zip(rows, predicted, strict=True):
        matrix[tasks.index(row.task), columns.index(task or _NO_TASK)] += 1
    return columns, matrix.tolist()


def _most_likely(prediction: TaskPrediction, n: int) -> list[str]:
    """Return the predicted task and the most probable others, n in all; nothing if there is no predicted task."""
    if prediction.task is None:
        return []
    probabilities = prediction.probabilities
    # Keyword rules can predict a task that is not the most probable one. The predicted task comes first anyway.
    return sorted(probabilities, key=lambda task: (task != prediction.task, -probabilities[task]))[:n]


def _score_deciders(
    predictions: Sequence[TaskPrediction], confidence: NDArray[np.float64], right: NDArray[np.bool_]
) -> dict[str, SliceAccuracy]:
    deciders = np.array([_name_decider(prediction) for prediction in predictions])
    return {
        decider: _score_slice(confidence, right, np.flatnonzero(deciders == decider))
        for decider in sorted(set(deciders.tolist()))
    }


def _name_decider(prediction: TaskPrediction) -> str:
    return f"{prediction.tier} tier" if prediction.source == "classifier" else prediction.source


def _score_slice(confidence: NDArray[np.float64], right: NDArray[np.bool_], rows: NDArray[np.int64]) -> SliceAccuracy:
    return SliceAccuracy(n=len(rows), confidence=float(confidence[rows].mean()), accuracy=float(right[rows].mean()))


def _trace_risk(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[SliceAccuracy]:
    order = np.argsort(-confidence, kind="stable")
    # With fewer than 20 predictions several shares round up to the same size.
    sizes = np.unique(np.ceil(np.arange(1, _COVERAGES + 1) / _COVERAGES * len(order)).astype(np.int64))
    return [
        SliceAccuracy(n=n, confidence=float(confidence[order[n - 1]]), accuracy=float(right[order[:n]].mean()))
        for n in sizes.tolist()
    ]
