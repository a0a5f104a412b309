"""`llm-router-train train`: from two CSV files to a model folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.artifacts import find_artifact
from router.classifier import CONTINUES
from training.cli.options import own_tasks_option, path_option, prompts_option, seed_option, show_progress, show_steps
from training.cli.tables import tell_qualities, tell_tasks

if TYPE_CHECKING:
    from router.artifacts import Manifest
    from training.artifacts import Training
    from training.finetune import Tuned

BASE = "sentence-transformers/all-MiniLM-L6-v2"


@click.command()
@prompts_option
@path_option("--benchmark", required=True, help="CSV of benchmark results: model,task,score,…; may end in .gz.")
@path_option("--out", required=True, help="The model folder to write; an older one there is replaced.")
@path_option("--encoder", help="Encoder folder; default: that of the shipped model folder.")
@click.option(
    "--finetune", is_flag=True, help="Tune an encoder on the prompts first: better, and minutes to an hour slower."
)
@click.option("--base", default=BASE, show_default=True, help="What --finetune tunes: a hub name or a local folder.")
@own_tasks_option
@seed_option
@click.option("--jobs", default=-1, show_default=True, help="Processes for cross-validation; -1: all processors.")
def train(
    *,
    prompts: Path,
    benchmark: Path,
    out: Path,
    encoder: Path | None,
    finetune: bool,
    base: str,
    own_tasks: bool,
    seed: int,
    jobs: int,
) -> None:
    """Learn a task classifier and model profiles; write a model folder that the router loads."""
    from training.artifacts import check_replaceable
    from training.classifier import default_cache
    from training.pipeline import train as learn

    if finetune:
        if encoder:
            raise click.UsageError("--finetune makes an encoder of its own; leave out --encoder")
        check_replaceable(out)
        encoder = _tune_for(out, prompts, base=base, own_tasks=own_tasks, seed=seed)

    training = learn(
        prompts,
        benchmark,
        out,
        encoder=encoder or find_artifact() / "encoder",
        own_tasks=own_tasks,
        seed=seed,
        jobs=jobs,
        cache=default_cache(),
        progress=show_progress,
    )
    click.echo(_describe_training(training, out))
    if finetune and encoder:
        shutil.rmtree(encoder)


def _tune_for(out: Path, prompts: Path, *, base: str, own_tasks: bool, seed: int) -> Path:
    """Return the folder, beside `out`, of an encoder tuned on the prompts."""
    from training.finetune import Recipe
    from training.pipeline import tune_encoder

    folder = out.with_name(f".{out.name}-encoder")
    shutil.rmtree(folder, ignore_errors=True)
    tuned, _ = tune_encoder(base, prompts, folder, recipe=Recipe(seed=seed), own_tasks=own_tasks, progress=show_steps)
    click.echo(describe_tuning(tuned))
    return folder


def describe_tuning(tuned: Tuned) -> str:
    """Return how the tuning of an encoder went, epoch by epoch."""
    lines = [f"tuned on {tuned.record.rows} prompts, {tuned.held_out} held out; epoch {tuned.record.epochs} kept"]
    lines += [
        f"epoch {epoch}: held-out log-loss {loss:.3f}, accuracy {accuracy:.3f}"
        for epoch, (loss, accuracy) in enumerate(zip(tuned.log_loss, tuned.accuracy, strict=True), 1)
    ]
    return "\n".join(lines)


def _describe_training(training: Training, out: Path) -> str:
    manifest = training.manifest
    n_tasks = sum(label != CONTINUES for label in manifest.labels)
    best = sorted(training.profiles, key=lambda profile: -_mean_quality(profile.quality.values()))[:5]
    return "\n".join(
        [
            f"{out}: {manifest.training_data[0].rows} prompts, {n_tasks} tasks, {len(training.profiles)} models",
            *(f"note: {note}" for note in training.notes),
            "",
            f"held out, {int(manifest.metrics['folds'])} folds by group, seed {manifest.seed}, 95 % bootstrap intervals:",
            *tell_qualities(training.qualities),
            ", ".join(
                f"{part} weighs {manifest.metrics[f'weight of {part}']:.2f} (C {manifest.metrics[f'C of {part}']:g})"
                for part in ("embedding", "words")
            ),
            f"calibration error {manifest.metrics['calibration error']:.3f}, unsure below {manifest.threshold:.2f}",
            *_tell_first(manifest),
            *_tell_dial(manifest),
            "",
            *tell_tasks(training.tasks),
            "",
            "best models",
            *(f"{task.task:16} {_tell_best(training, task.task)}" for task in training.tasks),
            "",
            f"best over all tasks: {', '.join(profile.name for profile in best)}",
        ]
    )


def _tell_first(manifest: Manifest) -> list[str]:
    record = manifest.first
    if record is None:
        return []
    return [
        f"the first tier answers {record.share:.0%} of {record.n} prompts, from {record.threshold:.2f} on: "
        f"{record.lost * 100:.1f} points of accuracy lost"
    ]


def _tell_dial(manifest: Manifest) -> list[str]:
    """Tell what the benchmark taught beside profiles, where it did."""
    told = []
    if manifest.heads:
        kept = [
            f"{what} in {', '.join(task for task, found in by.items() if found.kept) or 'no task'}"
            for what, by in (("quality", manifest.heads.quality), ("cost", manifest.heads.cost))
        ]
        told.append(f"prompts themselves move {' and '.join(kept)}")
    if manifest.usd_per_point is not None:
        told.append(f"balanced: a point of quality is worth {manifest.usd_per_point:.3g} USD")
    return told


def _tell_best(training: Training, task: str) -> str:
    best = sorted(training.profiles, key=lambda profile: -profile.quality[task].mean)[:2]
    return ", ".join(f"{p.name} {p.quality[task].mean:.2f} ± {p.quality[task].stderr:.2f}" for p in best)


def _mean_quality(estimates: Iterable[object]) -> float:
    means = [getattr(estimate, "mean", 0.0) for estimate in estimates]
    return sum(means) / max(len(means), 1)
