"""`llm-router serve`: a configuration file in, a running gateway out."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.cli.folder import warn_of_old_prices
from router.config.make import choose_profiles
from router.config.read import read_config
from router.errors import CallError, ConfigError, InputError
from router.model_folder.load import find_model_folder, load_profiles

if TYPE_CHECKING:
    from router.config.schema import Config
    from router.types import ModelProfile

_GRACE_S = 30


@click.command("serve")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on. Others need client keys.")
@click.option("--port", default=8100, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Processes that answer.")
def serve(*, file: Path | None, host: str, port: int, workers: int) -> None:
    """Answer requests of any client with the models that FILE, TOML or YAML, describes.

    Without FILE, the server shows the decisions of the shipped model folder, and calls no model. Several workers need a
    table [state] in FILE.
    """
    try:
        import uvicorn

        from router.cli.workers import run_workers
        from router.gateway.connection import LimitedHttpProtocol
        from router.gateway.guard import is_loopback
        from router.gateway.make import make_gateway
        from router.gateway.traces import set_up_tracing
    except ImportError as error:
        raise InputError(
            f"the gateway needs the package {error.name!r}; pip install 'contextual-llm-router[gateway]'"
        ) from error
    set_up_tracing()
    config = None if file is None else read_config(file)
    if not is_loopback(host) and not (config and config.keys):
        raise ConfigError(f"--host {host} can be reached from other machines, so the clients need keys; add a table [keys]")
    options: dict[str, Any] = {
        "http": LimitedHttpProtocol,
        "access_log": False,
        "server_header": False,
        "log_level": "warning",
        "timeout_graceful_shutdown": _GRACE_S,
    }
    run: Callable[[list[socket.socket]], None]
    if workers > 1:
        run = partial(run_workers, _find_shared(config, workers), workers=workers, options=options)
    else:
        run = uvicorn.Server(uvicorn.Config(make_gateway(config), **options)).run
    with _bind(host, port) as listening:
        for warning in _find_missing_keys(config):
            click.echo(f"warning: {warning}", err=True)
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{listening.getsockname()[1]}"
        click.echo(f"{url}  OpenAI: base URL {url}/v1, model 'auto'", err=True)
        warn_of_old_prices(_find_models(config))
        run([listening])


def _find_shared(config: Config | None, workers: int) -> Path:
    """Return the file of a configuration that several workers can run.

    Raises:
        InputError: If they could not share what they know, or the system cannot run them.
    """
    if sys.platform == "win32":
        raise InputError(f"--workers {workers} cannot run on Windows; start one worker")
    if config is None or config.serving.state is None:
        raise InputError(
            f"--workers {workers} needs a table [state] in FILE, or each worker would have limits and circuit breakers "
            "of its own; add the table, or start one worker"
        )
    return config.path


def _bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        InputError: If the address cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise InputError(
            f"cannot listen on port {port} of {host}: {error.strerror or error}; choose another with --port or --host"
        ) from None


def _find_models(config: Config | None) -> Sequence[ModelProfile]:
    """Return the models that are served."""
    if config is None:
        return load_profiles(find_model_folder())
    return choose_profiles(config, load_profiles(config.model_folder or find_model_folder()))


def _find_missing_keys(config: Config | None) -> list[str]:
    """Return a sentence for each endpoint whose key the environment does not hold."""
    missing = []
    for endpoint in {} if config is None else config.endpoints.values():
        try:
            endpoint.key_headers()
        except CallError as error:
            missing.append(f"{error}, so every call to {endpoint.base_url} fails; set it and start again")
    return list(dict.fromkeys(missing))
