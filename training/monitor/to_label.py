"""Today's prompts in, the prompts whose labels would help the classifier most out."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.logs import LoggedPrompt
from training.data.table import escape_formula
from training.monitor.reference import Reference
from training.monitor.traffic import Traffic
from training.monitor.two_samples import find_novel_distance, nearest_distances

_MOST_TO_LABEL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptToLabel:
    """A prompt whose label would help the classifier.

    Attributes:
        entry: The prompt.
        task: Its most likely task.
        confidence: Probability of this task.
        distance: 1 − cosine to the nearest prompt of the reference.
        novel: Whether `distance` is larger than for 99 % of the reference. If not, the classifier is only unsure.
    """

    entry: LoggedPrompt
    task: str
    confidence: float
    distance: float
    novel: bool


def find_prompts_to_label(sample: Sequence[LoggedPrompt], today: Traffic, reference: Reference) -> list[PromptToLabel]:
    """Return at most 200 novel or unsure prompts, the most useful first.

    Novel prompts come first, by falling distance. The unsure ones follow, by rising confidence. Ties keep the order of the
    sample, except that equally distant prompts are ordered by rising confidence.

    Args:
        sample: n prompts.
        today: The classifier's view of them, in the same order.
        reference: The reference to compare with.
    """
    distances = nearest_distances(today.embeddings, reference.embeddings)
    novel, confidence = distances > find_novel_distance(reference.embeddings), today.confidence()
    # lexsort takes its main key last: negative distances put the novel prompts first, the farthest at the top.
    order = np.lexsort((confidence, np.where(novel, -distances, 0.0)))
    rows = order[(novel | today.unsure())[order]][:_MOST_TO_LABEL]
    likeliest = today.probabilities.argmax(axis=1)
    return [
        PromptToLabel(
            entry=sample[i],
            task=today.tasks[int(likeliest[i])],
            confidence=float(confidence[i]),
            distance=float(distances[i]),
            novel=bool(novel[i]),
        )
        for i in rows.tolist()
    ]


def write_prompts_to_label(path: Path, to_label: Iterable[PromptToLabel]) -> None:
    """Write a CSV file of prompts and their most likely tasks, for a person to correct.

    It has the layout of labelled prompts. No field runs as a formula in a spreadsheet.

    Args:
        path: The file to write.
        to_label: The prompts.
    """
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["prompt", "task"])
        writer.writerows([escape_formula(prompt.entry.text), escape_formula(prompt.task)] for prompt in to_label)
