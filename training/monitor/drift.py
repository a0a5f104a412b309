"""A prompt log and a model folder in, a report of drift since training out, with the prompts to label next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from router.errors import ModelFolderError
from router.model_folder.load import ModelFolder
from training.data.logs import LoggedPrompt
from training.monitor.measure import Drift, measure_drift
from training.monitor.reference import load_reference
from training.monitor.reference_file import read_reference
from training.monitor.to_label import PromptToLabel, find_prompts_to_label
from training.monitor.traffic import MOST_COMPARED, check_enough, classify_texts, draw_rows, find_distinct
from training.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCheck:
    """The comparison of a log with a reference.

    Attributes:
        logged: Number of prompts in the log.
        distinct: Number of different prompts with text. Each counts once, as in training.
        sampled: Number of different prompts that were drawn for the comparison.
        follow_ups: Number of drawn prompts that were left out because they only continue the turn before. The reference has
            no such prompts.
        drift: The comparison of the remaining prompts.
        to_label: The prompts to label, the most useful first, as `find_prompts_to_label` orders them.
        notes: Sentences for the reader about the reference.
    """

    logged: int
    distinct: int
    sampled: int
    follow_ups: int
    drift: Drift
    to_label: Sequence[PromptToLabel]
    notes: Sequence[str]


def check_drift(
    model_folder: ModelFolder,
    log: Sequence[LoggedPrompt],
    *,
    reference: Path | None = None,
    seed: int = 0,
    progress: Progress = iter,
) -> DriftCheck:
    """Compare a log with the prompts that a model folder was trained on.

    Args:
        model_folder: The loaded model folder.
        log: Today's prompts. Only the last user turn of a conversation is compared.
        reference: A log or the CSV file of training prompts to compare with. None: the reference in the model folder.
        seed: Seed of the random choice of prompts and of the permutation tests.
        progress: Wraps the texts to show progress while they are encoded.

    Raises:
        DatasetError: If the log or the reference has too few different prompts, or the model folder has no reference.
        ModelFolderError: If the model folder has no classifier, or its reference is damaged.
    """
    classifier = model_folder.classifier
    if classifier is None:
        raise ModelFolderError(f"drift needs a classifier, got none: {' '.join(model_folder.problems)}")
    notes: list[str] = []
    if reference is None:
        known = load_reference(model_folder)
    else:
        known, notes = read_reference(reference, model_folder, classifier, seed=seed, progress=progress)
    distinct = find_distinct(log)
    # Encoding takes most of the time, so draw the sample before it.
    drawn = draw_rows(len(distinct), MOST_COMPARED, seed=seed)
    sample = [distinct[i] for i in drawn.tolist()]
    today = classify_texts([entry.text for entry in sample], classifier, progress=progress)
    rows = today.rows_with_task()
    check_enough(len(rows), "the log")
    # The reference has no follow-ups, so they would look like drift.
    today, sample = today.take(rows), [sample[i] for i in rows.tolist()]
    return DriftCheck(
        logged=len(log),
        distinct=len(distinct),
        sampled=len(drawn),
        follow_ups=len(drawn) - len(rows),
        drift=measure_drift(today, known, seed=seed),
        to_label=find_prompts_to_label(sample, today, known),
        notes=notes,
    )
