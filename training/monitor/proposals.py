"""A prompt log and a model folder in, the prompts whose labels would help most out, each with proposed tasks."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from router.errors import ModelFolderError
from router.model_folder.load import ModelFolder
from training.data.logs import LoggedPrompt, count_distinct
from training.data.table import DatasetError, escape_formula
from training.monitor.reference import load_reference
from training.monitor.traffic import MOST_COMPARED, classify_texts, draw_rows
from training.monitor.two_samples import find_novel_distance, nearest_distances
from training.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Two prompts with a larger cosine would nearly always get the same label, so only one of them is asked about.
_ALIKE = 0.9
COLUMNS = ("prompt", "task", "proposed", "confidence", "times")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A prompt to label.

    Attributes:
        entry: The prompt.
        times: Number of times that the log has it.
        tasks: The tasks with their probabilities, the likeliest first.
        unsure: Whether the classifier is unsure of it.
        novel: Whether it is farther from the training prompts than 99 % of them are from one another.
    """

    entry: LoggedPrompt
    times: int
    tasks: Sequence[tuple[str, float]]
    unsure: bool
    novel: bool


def propose_labels(
    model_folder: ModelFolder,
    log: Sequence[LoggedPrompt],
    *,
    labelled: Collection[str] = (),
    most: int = 50,
    seed: int = 0,
    progress: Progress = iter,
) -> list[Proposal]:
    """Return the prompts of a log to label, the most useful first.

    A label is worth log₂(1 + times) · (1 − confidence + novel). So prompts come first that are frequent, that the classifier
    is unsure of, or that look like none of the training. Prompts that are alike are asked about once.

    Args:
        model_folder: The model folder whose classifier proposes the tasks.
        log: The prompts.
        labelled: Texts that have a label already.
        most: Number of prompts to return at most.
        seed: Seed of the draw if the log has very many different prompts.
        progress: Wraps the texts while they are encoded.

    Raises:
        ModelFolderError: If the model folder has no classifier, or its reference is damaged.
        DatasetError: If no prompt is left to label.
    """
    classifier = model_folder.classifier
    if classifier is None:
        raise ModelFolderError(f"labels need a classifier to propose them, got none: {' '.join(model_folder.problems)}")
    done = frozenset(labelled)
    distinct = [
        pair for pair in count_distinct(log, lambda entry: entry.text) if pair[0].text.strip() and pair[0].text not in done
    ]
    if not distinct:
        raise DatasetError("the log must have a prompt without a label, found none; collect more")
    drawn = [distinct[i] for i in draw_rows(len(distinct), MOST_COMPARED, seed=seed).tolist()]
    seen = classify_texts([entry.text for entry, _ in drawn], classifier, progress=progress)
    reference = load_reference(model_folder).embeddings
    novel = nearest_distances(seen.embeddings, reference) > find_novel_distance(reference)
    confidence, unsure = seen.confidence(), seen.unsure()
    worth = np.log2(1 + np.array([times for _, times in drawn])) * (1 - confidence + novel)
    order = seen.probabilities.argsort(axis=1)[:, ::-1]
    return [
        Proposal(
            entry=drawn[i][0],
            times=drawn[i][1],
            tasks=[(seen.tasks[j], float(seen.probabilities[i, j])) for j in order[i].tolist()],
            unsure=bool(unsure[i]),
            novel=bool(novel[i]),
        )
        for i in _choose_different(seen.embeddings, worth, most)
    ]


def _choose_different(embeddings: NDArray[np.float32], worth: NDArray[np.float64], most: int) -> list[int]:
    """Return the rows of the highest worth that are not alike."""
    chosen: list[int] = []
    for i in np.argsort(-worth, kind="stable").tolist():
        if len(chosen) == most:
            break
        if not chosen or float((embeddings[chosen] @ embeddings[i]).max()) < _ALIKE:
            chosen.append(i)
    return chosen


def append_label(path: Path, proposal: Proposal, task: str) -> None:
    """Append a prompt to a CSV file of labelled prompts. A new file gets a header.

    No field runs as a formula in a spreadsheet.

    Args:
        path: The file.
        proposal: The prompt.
        task: Its task. Empty if a person has yet to fill it in.
    """
    is_new = not path.exists() or path.stat().st_size == 0
    try:
        with path.open("a", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            if is_new:
                writer.writerow(COLUMNS)
            proposed, confidence = proposal.tasks[0]
            row = [escape_formula(text) for text in (proposal.entry.text, task, proposed)]
            writer.writerow([*row, f"{confidence:.2f}", proposal.times])
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error.strerror}; name a file in an existing folder") from error
