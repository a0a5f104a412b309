"""A sentence-transformers model and labelled prompts in, an encoder folder tuned on them out."""

from __future__ import annotations

import shutil
from pathlib import Path

from router.classify.encoder_record import TuningRecord
from training.classifier.tasks import check_tasks
from training.data.prompts import TASKS, read_prompts
from training.encoder.convert import Conversion, Precision, convert_encoder
from training.encoder.finetune import FinetunedEncoder, distil_student, finetune
from training.encoder.folder import check_new
from training.encoder.parity import PARITY_PROMPTS, parity_prompts
from training.encoder.recipe import FinetuneRecipe
from training.progress import Steps


def tune_encoder(
    base: str,
    prompts: Path,
    out: Path,
    *,
    recipe: FinetuneRecipe,
    student: FinetuneRecipe | None = None,
    tuning: TuningRecord | None = None,
    name: str | None = None,
    precision: Precision = "int8",
    own_tasks: bool = False,
    progress: Steps = iter,
) -> tuple[FinetunedEncoder, Conversion]:
    """Tune a sentence-transformers model on labelled prompts, and write it in the runtime's form.

    An interrupted run continues when it is started again. Its state lies beside `out` until `out` is complete.

    Args:
        base: A name on the Hugging Face hub or a local folder.
        prompts: CSV file of labelled prompts.
        out: The encoder folder to write. It must not exist.
        recipe: The settings of the tuning.
        student: The settings of a student, into which the tuned model is distilled. None: no student.
        tuning: How the model was tuned before. None: it was not. Prompts that it knows are not held out.
        name: Name of the encoder in the record. None: "`base`, tuned".
        precision: Precision of the runtime's form.
        own_tasks: Whether the file defines the tasks. If not, they are the 14 of `TASKS`.
        progress: Wraps the numbers of the steps.

    Raises:
        DatasetError: If the file breaks its rules or a task has too few prompts.
        EncoderError: If the model cannot be tuned or converted, or `out` exists.
    """
    check_new(out)
    labelled = read_prompts(prompts, tasks=None if own_tasks else TASKS)
    check_tasks(prompts, labelled.rows)
    scratch = out.with_name(f".{out.name}-tuning")
    tuned = finetune(base, labelled, scratch, recipe=recipe, tuning=tuning, progress=progress)
    if student is not None:
        recipe = student
        tuned = distil_student(
            tuned.folder,
            labelled,
            scratch / "student",
            recipe=student,
            tuning=tuning,
            encoding=progress,
            progress=progress,
        )
    conversion = convert_encoder(
        str(tuned.folder),
        out,
        prompts=parity_prompts(prompts, PARITY_PROMPTS),
        name=name or f"{base}, tuned",
        precision=precision,
        max_tokens=recipe.max_tokens,
        tuning=tuned.record,
    )
    # Only now, so that a failed conversion does not lose the tuned model.
    shutil.rmtree(scratch, ignore_errors=True)
    return tuned, conversion
