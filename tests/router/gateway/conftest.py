"""A gateway that runs on loopback, in front of a scripted upstream."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from router.config.read import read_config
from router.gateway.connection import LimitedHttpProtocol
from router.gateway.make import make_gateway
from tests.router.gateway.scripted_upstream import ScriptedUpstream

PROVIDER_KEY = "sk-provider-s3cret"


class RunningGateway:
    """A gateway in a thread.

    Attributes:
        url: Its address.
        folder: The folder of its configuration.
    """

    def __init__(self, config: Path | None) -> None:
        self.folder = Path() if config is None else config.parent
        app = make_gateway(None if config is None else read_config(config))
        options: dict[str, Any] = {"http": LimitedHttpProtocol, "log_level": "warning", "access_log": False}
        self._server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=5, **options))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


@pytest.fixture(scope="session")
def upstream_server() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as server:
        yield server


@pytest.fixture
def upstream(upstream_server: ScriptedUpstream) -> ScriptedUpstream:
    upstream_server.seen.clear()
    upstream_server.left = 0
    return upstream_server


def write_config(folder: Path, upstream: ScriptedUpstream, more: str = "") -> Path:
    """Write the configuration of a gateway in front of the upstream."""
    path = folder / "router.toml"
    path.write_text(
        f"""{more}
[endpoints.up]
base_url = "{upstream.base_url}"
key_env = "PROVIDER_KEY"
protocols = ["chat", "responses", "messages"]

[models."gpt-5.5"]
served_by = [{{endpoint = "up", model = "ok"}}]
[models."gpt-4.1-mini"]
served_by = [{{endpoint = "up", model = "down"}}]
[models."claude-haiku-4-5"]
served_by = [{{endpoint = "up", model = "refuses"}}]
[models."gemini-2.5-flash"]
served_by = [{{endpoint = "up", model = "slow"}}]
[models."deepseek-v3.2"]
served_by = [{{endpoint = "up", model = "cut"}}]
[models."glm-4.6"]
served_by = [{{endpoint = "up", model = "no-key"}}]
"""
    )
    return path


Start = Callable[..., RunningGateway]


@pytest.fixture
def start(
    tmp_path: Path, upstream: ScriptedUpstream, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Start gateways that the test ends. Its argument is more text of the configuration."""
    monkeypatch.setenv("PROVIDER_KEY", PROVIDER_KEY)
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
    running: list[RunningGateway] = []

    def begin(more: str = "") -> RunningGateway:
        running.append(RunningGateway(write_config(tmp_path, upstream, more)))
        return running[-1]

    yield begin
    for gateway in running:
        gateway.close()


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, upstream_server: ScriptedUpstream, model_folder: Path
) -> Iterator[RunningGateway]:
    """One gateway without more configuration, for the tests that do not disturb each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "PROVIDER_KEY", PROVIDER_KEY)
        patch.setitem(os.environ, "LLM_ROUTER_MODEL", str(model_folder))
        gateway = RunningGateway(write_config(tmp_path_factory.mktemp("gateway"), upstream_server))
        yield gateway
        gateway.close()
