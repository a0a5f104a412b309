"""The faulty server and its clients."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.router.execution.faulty_server import FaultyServer
from tests.router.execution.openai_lab import KEY, Lab


# Once for all tests here: making a client for each fault takes seconds.
@pytest.fixture(scope="package")
def shared_lab() -> Iterator[Lab]:
    with FaultyServer() as server, asyncio.Runner() as runner:
        lab = Lab(server, runner)
        yield lab
        lab.close(lab.executor)


@pytest.fixture
def lab(shared_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("TEST_KEY", KEY)
    shared_lab.server.asked.clear()
    shared_lab.server.paths.clear()
    return shared_lab
