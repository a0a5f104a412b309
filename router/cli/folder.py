"""`llm-router models` and `check`: a model folder in, its content out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from router.classify.classifier import CONTINUES
from router.model_folder.load import ModelFolder, find_model_folder, load_model_folder
from router.model_folder.price_age import describe_old_prices
from router.types import ModelProfile

model_option = click.option(
    "--model",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Model folder; default: $LLM_ROUTER_MODEL, or else the shipped one.",
)


@click.command()
@model_option
def models(model: Path | None) -> None:
    """List the models of a model folder: prices, context window, mean quality over all tasks."""
    profiles = load_model_folder(model or find_model_folder(), on_error="keywords").profiles
    width = max(len(profile.name) for profile in profiles)
    click.echo(
        f"{'model':{width}}  {'provider':12}  {'in USD/M':>8}  {'out USD/M':>9}  {'context':>9}  quality  capabilities"
    )
    for profile in profiles:
        quality = [estimate.mean for estimate in profile.quality.values()]
        click.echo(
            f"{profile.name:{width}}  {profile.provider:12}  {_number(profile.input_usd_per_mtok):>8}"
            f"  {_number(profile.output_usd_per_mtok):>9}  {_number(profile.context_window):>9}"
            f"  {sum(quality) / len(quality) if quality else float('nan'):7.3f}  {', '.join(sorted(profile.capabilities))}"
        )
    warn_of_old_prices(profiles)


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def check(folder: Path | None) -> None:
    """Verify a model folder (default: the one that route uses): every hash, shape and recorded vector."""
    click.echo(_describe(load_model_folder(folder or find_model_folder(), eager=True)))


def _describe(folder: ModelFolder) -> str:
    manifest = folder.manifest
    lines = [
        f"{folder.folder}: sound",
        f"  manifest sha256  {folder.sha256}",
        f"  created          {manifest.created}, seed {manifest.seed}, "
        + ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
        f"  tasks            {', '.join(label for label in manifest.labels if label != CONTINUES)}",
        f"  encoder          {manifest.encoder.name}, {manifest.encoder.dim} dimensions",
        f"  models           {len(folder.profiles)}",
        *(
            f"  trained on       {data.name}, {data.rows} rows, {data.licence or 'no licence named'}"
            for data in manifest.training_data
        ),
        *(f"  {name:30} {value:.3f}" for name, value in manifest.metrics.items()),
    ]
    return "\n".join(lines)


def warn_of_old_prices(profiles: Sequence[ModelProfile]) -> None:
    """Print a warning if prices are old."""
    # Only the day matters, not the time zone.
    if warning := describe_old_prices(profiles, today=datetime.now(UTC).date()):
        click.echo(f"warning: {warning}", err=True)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.10g}"
