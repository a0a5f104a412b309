"""A command in, its output and exit code out. Errors become one line on standard error."""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import click

from router.errors import ModelFolderError, NoCandidateError, RouterError

USAGE, NO_CANDIDATE, BAD_MODEL_FOLDER = 2, 3, 4


def run(command: click.Command) -> NoReturn:
    """Run a command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without the sign ± must not cost the answer
    try:
        command()
    except NoCandidateError as error:
        _fail(error, NO_CANDIDATE)
    except ModelFolderError as error:
        _fail(error, BAD_MODEL_FOLDER)
    except RouterError as error:
        _fail(error, USAGE)
    sys.exit(0)


def _fail(error: RouterError, code: int) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(code)
