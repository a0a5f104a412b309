"""`llm-router-train export`: profiles for other gateways."""

from __future__ import annotations

from pathlib import Path

import click

from router.artifacts import find_artifact, load_artifact
from training.cli.options import path_option


@click.command()
@path_option("--model", help="Model folder; default: $LLM_ROUTER_MODEL, else the shipped one.")
@path_option("--out", required=True, help="The JSON file to write.")
def export(*, model: Path | None, out: Path) -> None:
    """Write the profiles of a model folder as plain JSON that another gateway can read."""
    from training.export import write_profiles

    artifact = load_artifact(model or find_artifact(), on_error="keywords")
    data = [{"name": data.name, "licence": data.licence, "sha256": data.sha256} for data in artifact.manifest.training_data]
    source = {"created": artifact.manifest.created, "manifest_sha256": artifact.sha256, "learnt_from": data}
    write_profiles(out, artifact.profiles, source=source)
    click.echo(f"{out}: {len(artifact.profiles)} models")
