"""A server, and routers that call it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from router import Endpoint, OpenAIExecutor, Router, Serving
from tests.loopback import LoopbackServer
from tests.router.plugins.tool_model import respond


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(respond) as running:
        yield running


@pytest.fixture(scope="module")
def make_router(server: LoopbackServer, model_folder: Path) -> Iterator[Callable[..., Router]]:
    """Make routers whose models are names on the server: by default, `gpt-5.5` is down and `gpt-4.1-mini` answers."""
    made: list[Router] = []

    def make(names: dict[str, str] | None = None, **keywords: object) -> Router:
        names = names or {"gpt-5.5": "down", "gpt-4.1-mini": "ok"}
        executor = OpenAIExecutor({each: Endpoint(base_url=server.url, model=name) for each, name in names.items()})
        made.append(Router.load(model_folder, serving=Serving(executor=executor), **keywords))
        return made[-1]

    yield make
    for router in made:
        router.close()
