"""`llm-router serve`: a configuration file in, a running gateway out."""

from __future__ import annotations

from pathlib import Path

import click

from router.config.read import read_config
from router.errors import ConfigError, InputError

_GRACE_S = 30


@click.command("serve")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on. Others need client keys.")
@click.option("--port", default=8100, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
def serve(*, file: Path | None, host: str, port: int) -> None:
    """Answer requests of any client with the models that FILE, TOML or YAML, describes.

    Without FILE, the server shows the decisions of the shipped model folder, and calls no model.
    """
    try:
        import uvicorn

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
    app = make_gateway(config)
    click.echo(f"http://{host}:{port}  OpenAI: base URL http://{host}:{port}/v1, model 'auto'", err=True)
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=LimitedHttpProtocol,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE_S,
    )
