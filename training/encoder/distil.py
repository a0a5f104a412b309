"""A model folder and texts in, its encoder with a draft for the first tier out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from router.classify.classifier import TaskClassifier, softmax
from router.classify.encoder import OnnxEncoder
from router.classify.encoder_record import DistillationRecord, TuningRecord
from router.errors import EncoderError
from router.model_folder.load import ModelFolder, load_model_folder
from training.classifier.features import encode_in_threads, featurize
from training.classifier.linear import head_logits
from training.classifier.outliers import make_outliers
from training.data.prompts import TASKS, PromptSet, read_prompts
from training.data.table import read_table
from training.encoder.draft import DraftRecipe, fit_draft
from training.encoder.draft_texts import make_texts
from training.encoder.folder import check_new, write_with_draft
from training.encoder.seen import hold_out, record_seen, was_seen
from training.progress import Progress, Steps

# Number of draws of outliers, each with another seed. One draw gives a few hundred texts.
_OUTLIER_DRAWS = 8

# Each different text of a file, in order, with its source and its licence.
_FileTexts = dict[str, tuple[str, str]]


def distil_draft(
    model: Path,
    prompts: Path,
    out: Path,
    *,
    texts: Sequence[Path] = (),
    recipe: DraftRecipe | None = None,
    own_tasks: bool = False,
    jobs: int = -1,
    cache: Path | None = None,
    progress: Progress = iter,
    steps: Steps = iter,
) -> DistillationRecord:
    """Distil a draft encoder from a model folder, and write that folder's encoder with the draft beside it.

    The draft does not see the prompts that the encoder was not tuned on. Later, training evaluates the first tier on them.
    If the encoder was not tuned, a tenth to a fifth of the prompts is kept unseen. The draft learns from the other texts,
    from as many texts made of their parts, and from outliers.

    Args:
        model: The model folder whose classifier is the teacher.
        prompts: CSV file of the labelled prompts that the folder was trained on. The labels are not used.
        out: The encoder folder to write. It must not exist.
        texts: CSV files with a column `prompt`, with more texts to learn from. They should be similar to real prompts.
        recipe: The settings. None: the defaults.
        own_tasks: Whether the file defines the tasks. If not, they are the 14 of `TASKS`.
        jobs: Number of threads that encode. -1: one for each processor.
        cache: Folder that keeps embeddings. None: no cache.
        progress: Wraps the texts while the teacher encodes them.
        steps: Wraps the numbers of the steps.

    Raises:
        DatasetError: If a file breaks its rules.
        ModelFolderError: If the model folder is damaged.
        EncoderError: If torch is missing, the model folder has no classifier, or `out` exists.
    """
    check_new(out)
    recipe = recipe or DraftRecipe()
    folder, encoder = load_model_folder(model), OnnxEncoder.load(model / "encoder")
    teacher = _require_classifier(folder, model)
    labelled = read_prompts(prompts, tasks=None if own_tasks else TASKS)
    files = {path.name: _read_texts(path) for path in (prompts, *texts)}
    others = [text for path in texts for text in files[path.name]]
    given = _choose_texts(labelled, others, encoder.record.tuning, seed=recipe.seed)
    made = _make_more(given, seed=recipe.seed)
    encode = partial(encode_in_threads, jobs=jobs)
    features = featurize([*given, *made], encoder, encode=encode, cache=cache, progress=progress)
    probabilities = softmax(head_logits(teacher.heads, features) / teacher.temperature)
    arrays, _ = fit_draft([*given, *made], probabilities, encoder, recipe=recipe, progress=steps)
    record = DistillationRecord(
        teacher_sha256=folder.sha256,
        texts=len(given) + len(made),
        made=len(made),
        files={name: dict(sorted(filter(all, set(found.values())))) for name, found in files.items()},
        epochs=recipe.epochs,
        seed=recipe.seed,
        seen=record_seen(given),
    )
    write_with_draft(model / "encoder", out, arrays, record)
    return record


def _require_classifier(folder: ModelFolder, path: Path) -> TaskClassifier:
    if folder.classifier is None:
        raise EncoderError(f"{path} must have a classifier that works here: {'; '.join(folder.problems)}; train it again")
    return folder.classifier


def _read_texts(path: Path) -> _FileTexts:
    """Return the texts of a file in order, each with its source or benchmark and its licence, as far as they are named."""
    return {
        text: (record.get("source") or record.get("benchmark", ""), record.get("licence") or "not named")
        for _, record in read_table(path, required=("prompt",))
        if (text := record["prompt"].strip())
    }


def _choose_texts(labelled: PromptSet, others: Sequence[str], tuning: TuningRecord | None, *, seed: int) -> list[str]:
    """Return the different texts that the draft may see: prompts that are not kept for the evaluation, then the others."""
    prompts = [row.prompt for row in labelled.rows]
    unseen = ~was_seen(prompts, tuning) if tuning else hold_out(labelled, seed=seed)
    hidden = frozenset(itertools.compress(prompts, unseen))
    candidates = dict.fromkeys([*itertools.compress(prompts, ~unseen), *others])
    # A hidden prompt may stand in another file too.
    return [text for text in candidates if text not in hidden]


def _make_more(given: Sequence[str], *, seed: int) -> list[str]:
    """Return as many texts made of parts of the given ones, then outliers.

    The teacher is unsure of outliers, and the draft has to learn that from it.
    """
    made = make_texts(given, len(given), seed=seed)
    for n in range(_OUTLIER_DRAWS):
        made += make_outliers(len(given), seed=seed + n)
    return made
