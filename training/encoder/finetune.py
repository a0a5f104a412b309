"""A sentence-transformers model and labelled prompts in, a fine-tuned model out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from router.classify.encoder_record import TuningRecord
from training.data.prompts import PromptSet
from training.encoder.draft_texts import make_texts
from training.encoder.recipe import FinetuneRecipe
from training.encoder.source_model import limit_tokens, load_source_model
from training.encoder.teacher import encode_as_teacher
from training.encoder.tuning_run import TuningRun
from training.encoder.tuning_texts import TuningTexts
from training.progress import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetunedEncoder:
    """A tuned encoder.

    Attributes:
        folder: Folder of the sentence-transformers model of the best epoch.
        record: The prompts and the settings of the tuning.
        log_loss: Log-loss on the held-out prompts after each epoch.
        accuracy: Accuracy of the head on the held-out prompts after each epoch.
        held_out: Number of held-out prompts.
        notes: Sentences for the reader about the file of prompts.
    """

    folder: Path
    record: TuningRecord
    log_loss: Sequence[float]
    accuracy: Sequence[float]
    held_out: int
    notes: Sequence[str] = ()


def finetune(
    name_or_path: str,
    prompts: PromptSet,
    scratch: Path,
    *,
    recipe: FinetuneRecipe | None = None,
    tuning: TuningRecord | None = None,
    progress: Steps = iter,
) -> FinetunedEncoder:
    """Tune a sentence-transformers model on labelled prompts. Keep the epoch that is best on held-out prompts.

    A tenth of the prompts is held out, or more if there are few. The run ends early when an epoch is no better than the one
    before. It uses a GPU if there is one.

    The same inputs on the same machine give the same weights, even after an interruption. If `scratch` holds the state of a
    run with the same prompts and recipe, that run continues.

    Args:
        name_or_path: A name on the Hugging Face hub or a local folder.
        prompts: Labelled prompts, at least five of each task.
        scratch: Folder for the state of the run and for the tuned model.
        recipe: The settings. None: the defaults.
        tuning: How the model was tuned before. None: it was not. Prompts that it knows are not held out.
        progress: Wraps the numbers of the remaining steps.

    Raises:
        EncoderError: If the model cannot be loaded, or has fewer layers than the recipe keeps.
    """
    recipe = recipe or FinetuneRecipe()
    texts = TuningTexts.of(prompts, seed=recipe.seed, tuning=tuning)
    run = TuningRun(name_or_path, texts, scratch, recipe=recipe, data_sha256=prompts.sha256)
    return _finish(run, prompts, progress)


def distil_student(
    teacher: Path,
    prompts: PromptSet,
    scratch: Path,
    *,
    recipe: FinetuneRecipe,
    tuning: TuningRecord | None = None,
    encoding: Steps = iter,
    progress: Steps = iter,
) -> FinetunedEncoder:
    """Distil a tuned encoder into one with fewer layers, which learns its vectors and the labels together.

    The student starts with some layers of the teacher, the first and the last among them. It learns from the prompts that
    the teacher was tuned on, and from as many texts made of their parts. It needs no prefix.

    Args:
        teacher: Folder of the tuned sentence-transformers model.
        prompts: The labelled prompts that the teacher was tuned on.
        scratch: Folder for the state of the run and for the student.
        recipe: The settings. `layers` is the number of layers of the student. The seed is that of the teacher's tuning,
            because it decides which prompts are held out.
        tuning: How the model was tuned before the teacher was. None: it was not.
        encoding: Wraps the numbers of the batches while the teacher encodes the texts.
        progress: Wraps the numbers of the remaining steps.

    Raises:
        EncoderError: If the teacher cannot be loaded, or has fewer layers than the recipe keeps.
    """
    kept = [prompts.rows[row].prompt for row in TuningTexts.of(prompts, seed=recipe.seed, tuning=tuning).kept]
    texts = TuningTexts.of(prompts, make_texts(kept, len(kept), seed=recipe.seed), seed=recipe.seed, tuning=tuning)
    model = load_source_model(str(teacher), purpose="distilling an encoder")
    tokens = limit_tokens(model, recipe.max_tokens)
    wanted = encode_as_teacher(model, texts.texts, max_tokens=tokens, kept_in=scratch, progress=encoding)
    run = TuningRun(str(teacher), texts, scratch, recipe=recipe, data_sha256=prompts.sha256, wanted=wanted)
    return _finish(run, prompts, progress)


def _finish(run: TuningRun, prompts: PromptSet, progress: Steps) -> FinetunedEncoder:
    for step in progress(range(run.done, run.steps)):
        if run.stopped:
            break
        run.take_step(step)
    return FinetunedEncoder(
        folder=run.best,
        record=run.make_record(),
        log_loss=run.log_loss,
        accuracy=run.accuracy,
        held_out=len(run.texts.held_out),
        notes=prompts.notes,
    )
