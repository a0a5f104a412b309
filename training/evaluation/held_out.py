"""A fitted classifier and its training prompts in, held-out figures and notes out, for the manifest and the model card.

The names of metrics and the sentences of notes are part of the model folder. To change one changes the folder's bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from router.classify.classifier import CONTINUES
from router.classify.keywords import KeywordRules
from training.classifier.fit import FittedClassifier
from training.classifier.linear import PARTS
from training.data.prompts import LabelledPrompt, with_task
from training.data.task_file import DESCRIPTION
from training.evaluation.baselines import cross_validated, task_baselines
from training.evaluation.metrics import PredictionQuality, calibration_error, score_predictions, to_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray


def evaluate_held_out(
    fitted: FittedClassifier, rows: Sequence[LabelledPrompt], rules: KeywordRules, *, seed: int
) -> tuple[list[PredictionQuality], list[str]]:
    """Score the held-out predictions of the classifier, of its parts, and of each baseline on the same folds.

    Args:
        fitted: The classifier.
        rows: All training prompts.
        rules: Keyword rules of the baseline.
        seed: Seed of the bootstrap.

    Returns:
        The qualities, the classifier's first. Then the classifier's predicted task of each prompt that was held out.
    """
    predicted = [fitted.tasks[i] for i in fitted.probabilities.argmax(axis=1)]
    held_out = [rows[i] for i in fitted.held_out]
    qualities = [score_predictions("classifier", predicted, held_out, seed=seed)]
    for part, logits in fitted.parts.items():
        predicted_by_part = [fitted.tasks[i] for i in logits.argmax(axis=1)]
        qualities.append(score_predictions(f"{part} alone", predicted_by_part, held_out, seed=seed))
    # Baselines predict tasks only, so follow-ups without a task are left out.
    folds = fitted.folds[np.array([row.task != CONTINUES for row in rows])]
    for name, predict in task_baselines(rules).items():
        qualities.append(score_predictions(name, cross_validated(predict, with_task(rows), folds), held_out, seed=seed))
    return qualities, predicted


def collect_metrics(
    fitted: FittedClassifier, held_out: Sequence[LabelledPrompt], qualities: Sequence[PredictionQuality]
) -> dict[str, float]:
    """Return the metrics of the manifest by name, rounded to 6 digits.

    Args:
        fitted: The classifier.
        held_out: The prompts that were held out.
        qualities: Qualities of the classifier, its parts and the baselines.
    """
    confidence = fitted.probabilities.max(axis=1)
    right = np.array([fitted.tasks[i] for i in fitted.probabilities.argmax(axis=1)]) == [row.task for row in held_out]
    metrics: dict[str, float] = {"n": float(len(held_out)), "folds": float(fitted.folds.max() + 1)}
    for part in PARTS:
        metrics |= {f"C of {part}": fitted.cs[part], f"weight of {part}": fitted.mixture[part]}
    for quality in qualities:
        metrics |= to_metrics(quality.name, quality)
    # Parts and baselines have no calibrated confidence, so these two are of the classifier alone.
    metrics["calibration error"] = calibration_error(confidence, right)
    metrics["share unsure"] = float((confidence < fitted.threshold).mean())
    return {name: round(value, 6) for name, value in metrics.items()}


def describe_held_out(
    seen: NDArray[np.bool_], fitted: FittedClassifier, predicted: Sequence[str], held_out: Sequence[LabelledPrompt]
) -> list[str]:
    """Return the notes on the held-out scores that a reader of the model card needs.

    Args:
        seen: Which training prompts the encoder was tuned on, shape (n,).
        fitted: The classifier.
        predicted: Predicted task of each held-out prompt.
        held_out: The prompts that were held out.
    """
    if any(row.source == DESCRIPTION for row in held_out):
        known = [
            "the figures held out are measured on descriptions, which are easier than prompts: measure on labelled prompts"
        ]
    else:
        known = describe_seen(seen, fitted)
    return [*known, *describe_languages(predicted, held_out), *describe_follow_ups(fitted)]


def describe_seen(seen: NDArray[np.bool_], fitted: FittedClassifier) -> list[str]:
    """Return a note if the encoder was tuned on some of the prompts.

    Args:
        seen: Which training prompts the encoder was tuned on, shape (n,).
        fitted: The classifier.
    """
    if not seen.any():
        return []
    if seen[fitted.held_out].any():
        return ["the encoder was tuned on nearly all of these prompts: the figures held out flatter; measure on others"]
    return [f"held out were the {len(fitted.held_out)} prompts that the encoder was not tuned on"]


def describe_languages(predicted: Sequence[str], held_out: Sequence[LabelledPrompt]) -> list[str]:
    """Return a note that compares English with other languages, if the data name both.

    Args:
        predicted: Predicted task of each held-out prompt.
        held_out: The prompts that were held out.
    """
    pairs = list(zip(predicted, held_out, strict=True))
    english = [task == row.task for task, row in pairs if row.language == "en"]
    others = [task == row.task for task, row in pairs if row.language not in ("", "en")]
    if not english or not others:
        return []
    return [
        f"held out, told right: {np.mean(english):.3f} of {len(english)} English prompts, "
        f"{np.mean(others):.3f} of {len(others)} in other languages"
    ]


def describe_follow_ups(fitted: FittedClassifier) -> list[str]:
    """Return a note on how well follow-ups are separated from turns with their own task, if there are follow-ups."""
    going_on, own = fitted.follow_ups
    if not len(going_on):
        return []
    return [
        f"held out, taken to go on with the turn before: {np.mean(going_on > 1 / 2):.3f} of {len(going_on)} turns that do, "
        f"{np.mean(own > 1 / 2):.3f} of {len(own)} that have a task of their own"
    ]
