"""The command line `llm-router`. Only this package prints.

Exit codes: 0 decided, 2 usage or input, 3 no candidate, 4 model folder.
"""

from __future__ import annotations

from typing import NoReturn

import click

from router.cli.batch import batch
from router.cli.config import config
from router.cli.folder import check, models
from router.cli.log import log
from router.cli.route import route
from router.cli.run import run
from router.cli.serve import serve


@click.group()
@click.version_option(package_name="contextual-llm-router")
def app() -> None:
    """Choose the language model that should handle a prompt."""


for command in (route, batch, models, check, config, serve, log):
    app.add_command(command)


def main() -> NoReturn:
    """Run the command line."""
    run(app)
