"""The command line `llm-router-train`: train, evaluate, compare and convert. Only this package of `training` prints."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from router.cli.run import USAGE, run
from training.cli.data import check_data_command, published_command
from training.cli.diff import diff_command
from training.cli.drift import drift_command
from training.cli.encoders import distil_command, encoder_command
from training.cli.evaluate import evaluate_command
from training.cli.experiment import experiment_command
from training.cli.export import export_command
from training.cli.label import label_command
from training.cli.measure import measure_command
from training.cli.plan import plan_command
from training.cli.prices import prices_command
from training.cli.train import train_command
from training.cli.verifier import verifier_command

_COMMANDS = (
    train_command,
    evaluate_command,
    diff_command,
    drift_command,
    experiment_command,
    label_command,
    measure_command,
    export_command,
    check_data_command,
    encoder_command,
    distil_command,
    published_command,
    prices_command,
    plan_command,
    verifier_command,
)


@click.group()
@click.version_option(package_name="contextual-llm-router")
def app() -> None:
    """Train a router from two CSV files, and evaluate it."""


for command in _COMMANDS:
    app.add_command(command)


def main() -> NoReturn:
    """Run the command line."""
    try:
        run(app)
    # The commands import their libraries when they run. A missing one means that an extra was not installed.
    except ImportError as error:
        click.echo(f"error: {error}; pip install 'contextual-llm-router[train,plots]'", err=True)
        sys.exit(USAGE)
