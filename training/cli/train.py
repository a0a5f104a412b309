"""`llm-router-train train`: train a model folder from two CSV files."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.classify.classifier import CONTINUES
from router.model_folder.load import find_model_folder
from training.cli.options import own_tasks_option, path_option, seed_option, show_steps, stage_bar
from training.cli.tables import format_qualities, format_tasks

if TYPE_CHECKING:
    from router.model_folder.manifest import Manifest
    from router.types import ModelProfile
    from training.classifier.engine import Engine
    from training.encoder.finetune import FinetunedEncoder
    from training.result import TrainingResult

BASE = "sentence-transformers/all-MiniLM-L6-v2"
_SHOWN_MODELS, _SHOWN_BY_TASK = 5, 2


@click.command("train")
@path_option("--prompts", help="CSV of labelled prompts: prompt,task,…; may end in .gz.")
@path_option("--tasks", "described", help="TOML file that describes your tasks. Labels are then optional.")
@path_option("--benchmark", required=True, help="CSV of benchmark results: model,task,score,…; may end in .gz.")
@path_option("--out", required=True, help="Model folder to write. It replaces an older model folder.")
@path_option("--encoder", help="Encoder folder; default: that of the shipped model folder.")
@click.option(
    "--finetune", is_flag=True, help="Tune an encoder on the prompts first. Needs thousands of prompts, takes up to an hour."
)
@click.option(
    "--base",
    default=BASE,
    show_default=True,
    help="Model that --finetune tunes: a hub name, a local folder, or an encoder folder.",
)
@own_tasks_option
@seed_option
@click.option("--jobs", default=-1, show_default=True, help="Processes for cross-validation. -1: one per processor.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="What encodes and fits: this machine, or a Ray cluster. Needs the extra 'ray'.",
)
@click.option("--address", help="Address of a running Ray cluster; default: --engine ray starts one on this machine.")
def train_command(
    *,
    prompts: Path | None,
    described: Path | None,
    benchmark: Path,
    out: Path,
    encoder: Path | None,
    finetune: bool,
    base: str,
    own_tasks: bool,
    seed: int,
    jobs: int,
    engine: str,
    address: str | None,
) -> None:
    """Train a model folder.

    It holds a task classifier and model profiles, and the router can load it.
    """
    from training.classifier.features import default_cache
    from training.model_folder import check_replaceable
    from training.pipeline import train

    # Click cannot exclude one option by another, so it is done here.
    if prompts is None and (described is None or finetune):
        raise click.UsageError("Missing option '--prompts'." if described is None else "--finetune needs --prompts")
    if described is not None and own_tasks:
        raise click.UsageError("--tasks already names your tasks; leave out --own-tasks")
    if address is not None and engine != "ray":
        raise click.UsageError("--address is the address of a Ray cluster; add --engine ray")
    if finetune and prompts:
        if encoder:
            raise click.UsageError("--finetune makes its own encoder; leave out --encoder")
        # Tuning takes long. Fail before it if the result could not be written.
        check_replaceable(out)
        encoder = _tune_for(out, prompts, base=base, own_tasks=own_tasks or described is not None, seed=seed)

    with _open_engine(engine, address, jobs) as opened, stage_bar() as show:
        training = train(
            prompts,
            benchmark,
            out,
            encoder=encoder or find_model_folder() / "encoder",
            own_tasks=own_tasks,
            described=described,
            seed=seed,
            jobs=jobs,
            engine=opened,
            cache=default_cache(),
            progress=show,
        )
    click.echo("\n".join(_describe_training(training, out)))
    # Only a tuned encoder is temporary. It is kept if training fails, because it took long.
    if finetune and encoder:
        shutil.rmtree(encoder)


def _open_engine(name: str, address: str | None, jobs: int) -> AbstractContextManager[Engine]:
    """Return the engine of a name: "local" or "ray"."""
    from training.classifier.engine import LocalEngine

    if name == "local":
        return nullcontext(LocalEngine(jobs))
    try:
        from training.cluster.engine import open_ray
    except ImportError as error:
        raise click.UsageError(f"--engine ray needs Ray: {error}; pip install 'contextual-llm-router[ray]'") from error
    return open_ray(address)


def _tune_for(out: Path, prompts: Path, *, base: str, own_tasks: bool, seed: int) -> Path:
    """Tune an encoder on the prompts; return its folder, which lies beside `out`."""
    from training.encoder.e5_model import unpacked
    from training.encoder.encoder_model import read_tuning
    from training.encoder.recipe import FinetuneRecipe
    from training.encoder.tune import tune_encoder

    # Beside the model folder and not in it, because a model folder is replaced as a whole.
    folder = out.with_name(f".{out.name}-encoder")
    # An interrupted run may have left it behind, and tuning writes to a new folder only.
    shutil.rmtree(folder, ignore_errors=True)
    with unpacked(base, beside=folder, prompts=prompts) as model:
        tuned, _ = tune_encoder(
            model,
            prompts,
            folder,
            recipe=FinetuneRecipe(seed=seed),
            tuning=read_tuning(base),
            name=f"{base}, tuned",
            own_tasks=own_tasks,
            progress=show_steps,
        )
    click.echo(describe_tuning(tuned))
    return folder


def describe_tuning(tuned: FinetunedEncoder) -> str:
    """Return the results of tuning an encoder, one line for each epoch."""
    lines = [f"tuned on {tuned.record.rows} prompts, {tuned.held_out} held out; epoch {tuned.record.epochs} kept"]
    lines += [
        f"epoch {epoch}: held-out log-loss {loss:.3f}, accuracy {accuracy:.3f}"
        for epoch, (loss, accuracy) in enumerate(zip(tuned.log_loss, tuned.accuracy, strict=True), 1)
    ]
    return "\n".join(lines)


def _describe_training(training: TrainingResult, out: Path) -> list[str]:
    manifest, metrics = training.manifest, training.manifest.metrics
    # The label for follow-ups is not a task of the user.
    n_tasks = sum(label != CONTINUES for label in manifest.labels)
    # Sorting is stable: models of equal quality keep the order of the file.
    best = sorted(training.profiles, key=lambda profile: -_mean_quality(profile))[:_SHOWN_MODELS]
    return [
        f"{out}: {manifest.training_data[0].rows} prompts, {n_tasks} tasks, {len(training.profiles)} models",
        *(f"note: {note}" for note in training.notes),
        "",
        f"held out, {int(metrics['folds'])} folds by group, seed {manifest.seed}, 95 % bootstrap intervals:",
        *format_qualities(training.qualities),
        "weights: "
        + ", ".join(
            f"{part} {metrics[f'weight of {part}']:.2f} (C {metrics[f'C of {part}']:g})" for part in ("embedding", "words")
        ),
        f"calibration error {metrics['calibration error']:.3f}, unsure below {manifest.threshold:.2f}",
        *_describe_first_tier(manifest),
        *_describe_heads(manifest),
        "",
        *format_tasks(training.tasks),
        "",
        "best models",
        *(f"{task.task:16} {_list_best(training, task.task)}" for task in training.tasks),
        "",
        f"best over all tasks: {', '.join(profile.name for profile in best)}",
    ]


def _describe_first_tier(manifest: Manifest) -> list[str]:
    """Return how many prompts the first tier answers, or nothing if there is no first tier."""
    record = manifest.first
    if record is None:
        return []
    return [
        f"the first tier answers {record.share:.0%} of {record.n} prompts (probability {record.threshold:.2f} or more) and "
        f"loses {record.lost * 100:.1f} points of accuracy"
    ]


def _describe_heads(manifest: Manifest) -> list[str]:
    """Return what was learned from a benchmark with prompts, or nothing if there was none."""
    lines = []
    if manifest.heads:
        kept = [
            f"{target} in {', '.join(task for task, found in by_task.items() if found.kept) or 'no task'}"
            for target, by_task in (("quality", manifest.heads.quality), ("cost", manifest.heads.cost))
        ]
        lines.append(f"the text of a prompt shifts {' and '.join(kept)}")
    if manifest.usd_per_point is not None:
        lines.append(f"balanced: a point of quality is worth {manifest.usd_per_point:.3g} USD")
    return lines


def _list_best(training: TrainingResult, task: str) -> str:
    best = sorted(training.profiles, key=lambda profile: -profile.quality[task].mean)[:_SHOWN_BY_TASK]
    return ", ".join(f"{p.name} {p.quality[task].mean:.2f} +/- {p.quality[task].stderr:.2f}" for p in best)


def _mean_quality(profile: ModelProfile) -> float:
    means = [estimate.mean for estimate in profile.quality.values()]
    return sum(means) / max(len(means), 1)
