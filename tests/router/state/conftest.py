from collections.abc import Iterator
from pathlib import Path

import pytest

from router.state.settings import RedisState
from tests.router.state.server import RedisServer


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A server of this test alone. `REDIS_URL` leads to it."""
    server = RedisServer(tmp_path)
    monkeypatch.setenv("REDIS_URL", server.url)
    yield server
    server.stop()


@pytest.fixture
def settings() -> RedisState:
    """Settings with which only a test exchanges the state, and the thread in the background hardly ever."""
    return RedisState(sync_s=10.0, timeout_s=0.5)
