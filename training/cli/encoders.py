"""`llm-router-train encoder` and `distil`: any sentence-transformers model in the runtime's form, and a draft of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.cli.options import own_tasks_option, path_option, prompts_option, seed_option, show_progress, show_steps
from training.cli.train import describe_tuning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.encoders import Precision
    from training.finetune import Objective


@click.command()
@click.argument("name_or_path")
@path_option("--out", required=True, help="The encoder folder to write; must not exist.")
@click.option("--name", help="What to call it in the record; default: NAME_OR_PATH.")
@click.option("--fp32", is_flag=True, help="Keep 32-bit floats instead of 8-bit integers.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=8),
    default=128,
    show_default=True,
    help="Longest input; of longer ones head and tail are kept.",
)
@path_option("--prompts", help="CSV of prompts to compare on; default: built-in sentences.")
@path_option("--finetune", help="CSV of labelled prompts to tune it on first; what is cut short goes on when run again.")
@click.option("--layers", type=int, help="With --finetune: keep its first layers only.  [default: all]")
@click.option(
    "--objective",
    type=click.Choice(["cross-entropy", "contrastive", "both"]),
    default="cross-entropy",
    show_default=True,
    help="With --finetune: the loss.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="With --finetune.  [default: 3, few prompts more]")
@own_tasks_option
@seed_option
def encoder(
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
    """Turn a sentence-transformers model, by hub name or local folder, into the runtime's ONNX form, and compare the two."""
    from training.encoders import PARITY_PROMPTS, convert_encoder, parity_prompts
    from training.finetune import Recipe
    from training.pipeline import tune_encoder

    precision: Precision = "fp32" if fp32 else "int8"
    if finetune:
        recipe = Recipe(layers=layers, objective=objective, epochs=epochs, max_tokens=max_tokens, seed=seed)
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
        click.echo(describe_tuning(tuned))
    else:
        texts = parity_prompts(prompts, PARITY_PROMPTS)
        made = convert_encoder(name_or_path, out, prompts=texts, name=name, precision=precision, max_tokens=max_tokens)
    record = made.record
    click.echo(
        f"{out}: {record.name}, {record.precision}, {made.size_bytes / 1e6:.1f} MB, {record.dim} dimensions, "
        f"{record.pooling} pooling, prefix {record.prefix!r}, {record.max_tokens} tokens\n"
        f"cosine to the original over {made.n} prompts: mean {made.mean_cosine:.4f}, least {made.min_cosine:.4f}"
    )


@click.command()
@path_option("--model", required=True, help="The model folder whose classifier is the teacher.")
@prompts_option
@path_option(
    "--texts", multiple=True, help="CSV with a column `prompt`: more to learn from, labels or none; repeat for more."
)
@path_option("--out", required=True, help="The encoder folder to write; must not exist.")
@own_tasks_option
@seed_option
def distil(*, model: Path, prompts: Path, texts: Sequence[Path], out: Path, own_tasks: bool, seed: int) -> None:
    """Distil a model folder's classifier to a small draft beside its encoder: what the first tier of a router looks at."""
    from training.classifier import default_cache
    from training.draft import DraftRecipe
    from training.pipeline import distil_draft

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
    click.echo(f"{out}: a draft of {made.texts} texts, {made.made} of them put together of parts, seen {made.epochs} times")
    click.echo(f"train with it: llm-router-train train --encoder {out} ...")
