"""A file of prompts in, a reference to compare later prompts with out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from router.classify.classifier import TaskClassifier
from router.classify.encoder import OnnxEncoder
from router.model_folder.load import ModelFolder
from training.data.logs import read_log
from training.data.table import hash_file
from training.encoder.seen import was_seen
from training.monitor.reference import Reference, make_reference
from training.monitor.traffic import FEWEST_PROMPTS, MOST_COMPARED, check_enough, classify_texts, draw_rows, find_distinct
from training.progress import Progress


def read_reference(
    path: Path, model_folder: ModelFolder, classifier: TaskClassifier, *, seed: int, progress: Progress = iter
) -> tuple[Reference, list[str]]:
    """Make a reference from a file of prompts. Return it with notes for the reader.

    The encoder and the classifier are surer of prompts that they were trained on than of new ones. So there are two
    corrections, and each adds a note:

    - Prompts that the encoder was tuned on are left out if enough others remain.
    - If the classifier was trained on the file, the share of unsure prompts is the held-out share from training.

    Args:
        path: The training prompts or any log.
        model_folder: The loaded model folder.
        classifier: The classifier of the model folder.
        seed: Seed of the random choice of prompts.
        progress: Wraps the texts to show progress while they are encoded.

    Raises:
        DatasetError: If the file breaks its rules or has too few different prompts.
    """
    texts = [entry.text for entry in find_distinct(read_log(path))]
    tuning = classifier.encoder.record.tuning if isinstance(classifier.encoder, OnnxEncoder) else None
    unseen = np.flatnonzero(~was_seen(texts, tuning))
    notes = []
    if FEWEST_PROMPTS <= len(unseen) < len(texts):
        notes.append(f"{len(texts) - len(unseen)} prompts of {path.name} left out, because the encoder was tuned on them")
        texts = [texts[i] for i in unseen.tolist()]
    # Encoding takes most of the time, so draw the sample before it.
    texts = [texts[i] for i in draw_rows(len(texts), MOST_COMPARED, seed=seed).tolist()]
    reference = make_reference(classify_texts(texts, classifier, progress=progress), seed=seed)
    check_enough(len(reference.embeddings), path.name)
    # The hash finds the file even under another name.
    if hash_file(path) in {data.sha256 for data in model_folder.manifest.training_data}:
        metrics = model_folder.manifest.metrics
        n = int(metrics["n"])
        reference = replace(reference, n_unsure=round(metrics["share unsure"] * n), n_classified=n)
        notes.append(f"the classifier was trained on {path.name}: its share unsure is the held-out share from training")
    return reference, notes
