"""A checked configuration, or none, in, the application that it describes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from starlette.applications import Starlette

from router.config.make import make_router
from router.config.schema import Config, GatewayConfig
from router.core import Router
from router.errors import ConfigError, InputError
from router.execution.policy import CallPolicy
from router.gateway.app import make_app
from router.gateway.clients import Clients
from router.gateway.gateway import Gateway
from router.gateway.live import Live
from router.gateway.log import open_log
from router.gateway.metrics import Metrics
from router.gateway.names import make_names
from router.gateway.siblings import Siblings
from router.gateway.traces import Traces
from router.gateway.upstream import Upstream

# Agents let models think for minutes, and cannot ask again as cheaply as a script. The file may say otherwise.
_PATIENCE = {"deadline_s": 600.0, "first_token_s": 120.0, "chunk_s": 60.0, "answer_s": 300.0, "cooling_s": 10.0}


def make_gateway(config: Config | None, *, sockets: Path | None = None) -> Starlette:
    """Return the application of a configuration.

    Args:
        config: The configuration. None: the gateway shows decisions of the shipped model folder and calls nothing.
        sockets: Folder of the sockets by which the workers behind one port ask each other. None: this is the only worker.

    Raises:
        ConfigError: If the parts of the configuration do not fit together, or a client has no key.
        ModelFolderError: If the model folder cannot be loaded.
    """
    if config is None:
        return _assemble(Router.load(), None, None, sockets)
    policy = CallPolicy(**{**_PATIENCE, **config.calls})
    config = replace(config, serving=replace(config.serving, calls=policy))
    upstream = Upstream(config.endpoints) if config.endpoints else None
    router = make_router(Router, config, connect=lambda endpoints: upstream or Upstream(endpoints))
    try:
        return _assemble(router, upstream, config, sockets)
    except InputError as error:
        raise ConfigError(f"{config.path}: {error}") from error


def _assemble(router: Router, upstream: Upstream | None, config: Config | None, sockets: Path | None) -> Starlette:
    clients = Clients({} if config is None else config.keys, router.fleet.state)
    names = make_names(router, config)
    metrics = Metrics(router, clients)
    log = None if config is None or config.log is None else open_log(config.path.parent / config.log.file, config.log)
    live = Live(router, None if config is None else config.gateway.baseline)
    if upstream is not None:
        upstream.observe = metrics.add_attempt
    providers = {profile.name: profile.provider for profile in router.profiles}
    gateway = Gateway(
        router,
        upstream,
        clients=clients,
        names=names,
        limits=GatewayConfig() if config is None else config.gateway,
        observers=[metrics.add, live.add, Traces(providers).add, *([] if log is None else [log.add])],
        shadow_observers=[metrics.add_shadow, *([] if log is None else [log.add])],
    )
    return make_app(gateway, metrics, live, log, None if sockets is None else Siblings(sockets, metrics))
