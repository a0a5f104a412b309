"""Processes that share a state, as far as one test process can hold them: each has a state and a live state of its own."""

from typing import Self

from router.health.live import LiveState
from router.state.settings import RedisState
from router.state.shared import SharedState
from tests.router.state.server import RedisServer


class Sharing:
    """Several shared states of one server. Only `exchange` exchanges them."""

    def __init__(self, server: RedisServer) -> None:
        self._server, self.states = server, list[SharedState]()
        self._settings = RedisState(sync_s=10.0, timeout_s=0.5)

    def add(self) -> SharedState:
        """Return a state that is connected."""
        state = SharedState(self._settings, self._server.url)
        state.share_live(LiveState({"a": 1.0, "b": 1.0}))
        self.states.append(state)
        self.exchange()
        return state

    def exchange(self) -> None:
        for state in [*self.states, *self.states]:
            assert state.exchange()

    def make_costs_older(self, name: str, seconds: float) -> None:
        """Let the server believe that the costs of a budget are older."""
        client, key = self._server.client, f"{{llm-router}}:spend:{name}:costs"
        window_s = 100.0
        for place, entry in enumerate(client.lrange(key, 0, -1)):  # type: ignore[arg-type, union-attr]
            slot, usd = entry.decode().split(":")
            client.lset(key, place, f"{int(slot) - int(seconds * 1000 / window_s)}:{usd}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for state in self.states:
            state.close()
