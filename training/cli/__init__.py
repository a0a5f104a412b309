"""`llm-router-train`: train, evaluate, compare, convert. The pipeline's only place that prints."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from router.cli import USAGE, run
from training.cli.compare import diff, drift
from training.cli.data import check_data, published
from training.cli.encoders import distil, encoder
from training.cli.evaluate import evaluate
from training.cli.export import export
from training.cli.train import train


@click.group()
@click.version_option(package_name="contextual-llm-router")
def app() -> None:
    """Learn a router from two CSV files."""


for command in (train, evaluate, diff, drift, export, check_data, encoder, distil, published):
    app.add_command(command)


def main() -> NoReturn:
    """Run the command line."""
    try:
        run(app)
    except ImportError as error:
        click.echo(f"error: {error}; pip install 'contextual-llm-router[train,plots]'", err=True)
        sys.exit(USAGE)
