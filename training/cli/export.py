"""`llm-router-train export`: write the profiles of a model folder for other gateways."""

from __future__ import annotations

from pathlib import Path

import click

from router.model_folder.load import find_model_folder, load_model_folder
from training.cli.options import model_option, path_option


@click.command("export")
@model_option
@path_option("--out", required=True, help="JSON file to write.")
def export_command(*, model: Path | None, out: Path) -> None:
    """Write profiles for other gateways.

    The profiles of a model folder become plain JSON that another gateway can read.
    """
    from training.export import write_profiles

    # Profiles can be exported even if the classifier is broken.
    folder = load_model_folder(model or find_model_folder(), on_error="keywords")
    data = [{"name": data.name, "licence": data.licence, "sha256": data.sha256} for data in folder.manifest.training_data]
    # Other gateways can see from this which data the profiles come from, and under which licence.
    source = {"created": folder.manifest.created, "manifest_sha256": folder.sha256, "learnt_from": data}
    write_profiles(out, folder.profiles, source=source)
    click.echo(f"{out}: {len(folder.profiles)} models")
