"""`llm-router-train encoder` and `distil`: convert an encoder for the runtime, and distil a draft of it."""

from __future__ import annotations

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
    own_tasks: bool,
    seed: int,
) -> None:
    """Convert an encoder for the runtime.

    NAME_OR_PATH is a sentence-transformers model: a name on the Hugging Face hub or a local folder. It becomes ONNX, and its
    vectors are compared with the original's.
    """
    from training.encoder.convert import convert_encoder
    from training.encoder.finetune import FinetuneRecipe
    from training.encoder.parity import PARITY_PROMPTS, parity_prompts
    from training.encoder.tune import tune_encoder

    # Eight-bit integers are the default because they are four times smaller and faster on a CPU.
    precision: Precision = "fp32" if fp32 else "int8"
    if finetune:
        recipe = FinetuneRecipe(layers=layers, objective=objective, epochs=epochs, max_tokens=max_tokens, seed=seed)
        tuned, made = tune_encoder(
            name_or_path,
            finetune,
            out,
            recipe=recipe,
            name=name,
            precision=precision,
            own_tasks=own_tasks,
            progress=show_steps,
        )
        click.echo("\n".join([describe_tuning(tuned), *(f"note: {note}" for note in tuned.notes)]))
    else:
        # Tuning compares on its own prompts. A plain conversion needs some to compare on.
        texts = parity_prompts(prompts, PARITY_PROMPTS)
        made = convert_encoder(name_or_path, out, prompts=texts, name=name, precision=precision, max_tokens=max_tokens)
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
