"""A CSV file of labelled prompts in, the rows with a likely mistake out."""

from __future__ import annotations

from pathlib import Path

from router.classify.encoder import OnnxEncoder
from training.classifier.features import featurize
from training.classifier.fit import fit_classifier
from training.data.prompts import TASKS, PromptSet, read_prompts
from training.encoder.seen import was_seen
from training.evaluation.labels import Finding, can_cross_validate, find_mislabelled, find_near_duplicates, find_repeats
from training.progress import Progress


def check_prompts(
    path: Path,
    *,
    encoder: Path,
    own_tasks: bool = False,
    seed: int = 0,
    jobs: int = -1,
    cache: Path | None = None,
    progress: Progress = iter,
) -> tuple[PromptSet, list[Finding]]:
    """Look for mistakes in labelled prompts.

    The search for wrong labels needs held-out predictions. It is skipped if there are too few prompts or groups. It leaves
    out prompts that the encoder was tuned on, because the encoder knows their labels. To check them too, use an encoder that
    was not tuned.

    Args:
        path: CSV of labelled prompts.
        encoder: Folder of the encoder, as `llm-router-train encoder` writes it.
        own_tasks: Whether the tasks are those of the file instead of the 14 of `TASKS`.
        seed: Seed of the folds.
        jobs: Number of processes for cross-validation. -1: all processors.
        cache: Folder for cached embeddings. None: no cache.
        progress: Wraps the texts while they are encoded.

    Returns:
        All prompts, repeated ones too, and the rows to look at. Repeats come first, then near-duplicates, then likely wrong
        labels. The last two are sorted, the most certain ones first.

    Raises:
        DatasetError: If the file breaks its rules.
        EncoderError: If the encoder cannot be used.
    """
    given = read_prompts(path, tasks=None if own_tasks else TASKS, keep_repeated=True)
    encoder_used = OnnxEncoder.load(encoder)
    features = featurize([row.prompt for row in given.rows], encoder_used, cache=cache, progress=progress)
    found = [*find_repeats(given.rows), *find_near_duplicates(given.rows, features.lexical)]
    seen = was_seen([row.prompt for row in given.rows], encoder_used.record.tuning)
    if can_cross_validate([row for row, known in zip(given.rows, seen, strict=True) if not known]):
        tasks, groups = [row.task for row in given.rows], [row.group for row in given.rows]
        fitted = fit_classifier(features, tasks, groups, seen=seen, seed=seed, jobs=jobs)
        found += find_mislabelled(given.rows, fitted)
    return given, found
