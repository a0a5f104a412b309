"""One socket and a configuration file in, several processes that answer on it out."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

import click
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from router.config.read import read_config
from router.errors import RouterError
from router.gateway.make import make_gateway
from router.gateway.traces import set_up_tracing

if TYPE_CHECKING:
    from starlette.applications import Starlette

# A worker that says nothing for so long hangs, and is replaced. On a busy machine its start alone takes 20 s.
_SILENT_S = 60


def run_workers(file: Path, listening: list[socket], *, workers: int, options: dict[str, Any]) -> None:
    """Run until a signal ends all workers. One that dies is started again.

    Args:
        file: The configuration. Each worker reads it when it starts.
        listening: The sockets on which all of them listen.
        workers: Number of processes.
        options: Options of uvicorn.
    """
    with tempfile.TemporaryDirectory(prefix="llm-router-") as sockets:
        supervisor = Multiprocess(
            uvicorn.Config(
                partial(_make_worker, file, Path(sockets)),
                factory=True,
                workers=workers,
                timeout_worker_healthcheck=_SILENT_S,
                **options,
            ),
            sockets=listening,
        )
        supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        sys.exit(STARTUP_FAILURE)


def _make_worker(file: Path, sockets: Path) -> Starlette:
    """Return the application of a worker, in its process."""
    set_up_tracing()
    try:
        return make_gateway(read_config(file), sockets=sockets)
    except RouterError as error:
        click.echo(f"error: {error}", err=True)
        # The supervisor ends the other workers, too: a new one would fail in the same way. It waits for a sign of life of a
        # process that takes its time to exit, so this one exits at once.
        os._exit(STARTUP_FAILURE)
