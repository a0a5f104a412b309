"""`llm-router-train encoder` and `distil`: convert an encoder for the runtime, and distil a draft of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.cli.options import own_tasks_option, path_option, prompts_option, seed_option, show_progress, show_steps
from training.cli.train import describe_tuning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.encoder.convert import Conversion, Precision
    from training.encoder.loss import Objective


@click.command("encoder")
@click.argument("name_or_path")
@path_option("--out", required=True, help="Encoder folder to write. It must not exist.")
@click.option("--name", help="Name to record for the encoder; default: NAME_OR_PATH.")
@click.option("--fp32", is_flag=True, help="Keep 32-bit floats instead of 8-bit integers.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=8),
    default=128,
    show_default=True,
    help="Longest input in tokens. Longer texts are cut to their head and tail.",
)
@path_option("--prompts", help="CSV of prompts to compare both encoders on; default: built-in sentences.")
@path_option("--finetune", help="CSV of labelled prompts to tune on first. If interrupted, run it again to continue.")
@click.option("--layers", type=int, help="With --finetune: keep only the first layers.  [default: all]")
@click.option(
    "--objective",
    type=click.Choice(["cross-entropy", "contrastive", "both"]),
    default="cross-entropy",
    show_default=True,
    help="With --finetune: the loss.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="With --finetune: number of epochs.  [default: 3, or more if there are few prompts]",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=6e-5,
    show_default=True,
    help="With --finetune: the highest learning rate.",
)
@click.option(
    "--freeze-words",
    is_flag=True,
    help="With --finetune: leave the vectors of word pieces as they are, so that languages without prompts stay in step.",
)
@click.option(
    "--student",
    type=click.IntRange(min=1),
    metavar="LAYERS",
    help="With --finetune: distil the tuned encoder into one with so many layers.",
)
@own_tasks_option
@seed_option
def encoder_command(
    name_or_path: str,
    *,
    out: Path,
    name: str | None,
    fp32: bool,
    max_tokens: int,
    prompts: Path | None,
    finetune: Path | None,
    layers: int | None,
    objective: Objective,
    epochs: int | None,
    learning_rate: float,
    freeze_words: bool,
    student: int | None,
    own_tasks: bool,
    seed: int,
) -> None:
    """Convert an encoder for the runtime.

    NAME_OR_PATH is a sentence-transformers model: a name on the Hugging Face hub or a local folder. It becomes ONNX, and its
    vectors are compared with the original's.

    NAME_OR_PATH may also be an encoder folder, which is then tuned further. Or it is e5-small-q4.bin, the file of
    multilingual-e5-small in four bits, with its tokenizer.json beside it. Then rare word pieces are dropped, except those
    that the prompts use.
    """
    from training.encoder.convert import convert_encoder
    from training.encoder.e5_model import unpacked
    from training.encoder.encoder_model import read_tuning
    from training.encoder.parity import PARITY_PROMPTS, parity_prompts
    from training.encoder.recipe import FinetuneRecipe
    from training.encoder.tune import tune_encoder

    # Eight-bit integers are the default because they are four times smaller and faster on a CPU.
    precision: Precision = "fp32" if fp32 else "int8"
    with unpacked(name_or_path, beside=out, prompts=finetune or prompts) as base:
        if finetune:
            recipe = FinetuneRecipe(
                layers=layers,
                objective=objective,
                epochs=epochs,
                max_tokens=max_tokens,
                freeze_words=freeze_words,
                learning_rate=learning_rate,
                seed=seed,
            )
            tuned, made = tune_encoder(
                base,
                finetune,
                out,
                recipe=recipe,
                tuning=read_tuning(name_or_path),
                student=None if student is None else replace(recipe, layers=student),
                name=name or f"{name_or_path}, tuned",
                precision=precision,
                own_tasks=own_tasks,
                progress=show_steps,
            )
            click.echo("\n".join([describe_tuning(tuned), *(f"note: {note}" for note in tuned.notes)]))
        else:
            # Tuning compares on its own prompts. A plain conversion needs some to compare on.
            texts = parity_prompts(prompts, PARITY_PROMPTS)
            made = convert_encoder(
                base, out, prompts=texts, name=name or name_or_path, precision=precision, max_tokens=max_tokens
            )
    click.echo(_describe_conversion(made, out))


def _describe_conversion(made: Conversion, out: Path) -> str:
    record = made.record
    return (
        f"{out}: {record.name}, {record.precision}, {made.size_bytes / 1e6:.1f} MB, {record.dim} dimensions, "
        f"{record.pooling} pooling, prefix {record.prefix!r}, {record.max_tokens} tokens\n"
        f"cosine to the original over {made.n} prompts: mean {made.mean_cosine:.4f}, lowest {made.min_cosine:.4f}"
    )


@click.command("distil")
@path_option("--model", required=True, help="Model folder whose classifier is the teacher.")
@prompts_option
@path_option(
    "--texts", multiple=True, help="CSV with a column prompt: more texts to learn from. Labels are not needed. Repeatable."
)
@path_option("--out", required=True, help="Encoder folder to write. It must not exist.")
@own_tasks_option
@seed_option
def distil_command(*, model: Path, prompts: Path, texts: Sequence[Path], out: Path, own_tasks: bool, seed: int) -> None:
    """Distil a small draft of a classifier.

    The draft learns from the classifier of a model folder and is written beside a copy of its encoder. The first tier of a
    router uses it.
    """
    from training.classifier.features import default_cache
    from training.encoder.distil import distil_draft
    from training.encoder.draft import DraftRecipe

    made = distil_draft(
        model,
        prompts,
        out,
        texts=texts,
        recipe=DraftRecipe(seed=seed),
        own_tasks=own_tasks,
        cache=default_cache(),
        progress=show_progress,
        steps=show_steps,
    )
    click.echo(f"{out}: a draft of {made.texts} texts, {made.made} of them made from parts of others, {made.epochs} epochs")
    click.echo(f"next: llm-router-train train --encoder {out} ...")
