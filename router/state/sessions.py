"""The model of each session, known to every process."""

from __future__ import annotations

import hashlib
import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from router.state.settings import KEEP_S, MOST_AT_ONCE
from router.strategies.sticky import Session, Sessions

if TYPE_CHECKING:
    from router.state.link import RedisLink

# A copy of a session may be so old. Then the server is asked, once for each decision.
_FRESH_S = 1.0
_DECODER = msgspec.msgpack.Decoder(tuple[float, Session])
# More sessions that wait to be told are not told.
_MOST_WAITING = 10_000


class SharedSessions(Sessions):
    """Remembers sessions here and at the server. Only a hash of their key leaves this process.

    Args:
        link: Leads to Redis.
        capacity: Number of sessions to remember here.
        wake: Asks for an exchange soon.
    """

    def __init__(self, link: RedisLink, *, capacity: int, wake: Callable[[], None]) -> None:
        super().__init__(capacity=capacity)
        self._link, self._wake = link, wake
        self._heard_at: dict[str, float] = {}
        self._waiting: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def recall(self, key: str, *, now_s: float) -> Session | None:
        """Return what is known of a session. None if it is new."""
        known = super().recall(key, now_s=now_s)
        if known is not None and now_s - max(known.at_s, self._heard_at.get(key, known.at_s)) < _FRESH_S:
            return known
        self._heard_at[key] = now_s
        if len(self._heard_at) > 2 * self._capacity:
            self._heard_at = {key: at for key, at in self._heard_at.items() if key in self}
        heard = self._link.read(self._name(key), _DECODER)
        if heard is None:
            return known
        written_at, session = heard
        # The clock of the other process says nothing here.
        session = msgspec.structs.replace(session, at_s=now_s - max(0.0, time.time() - written_at))
        return known if known is not None and known.at_s > session.at_s else self.replace(key, session)

    def keep(self, key: str, session: Session, before: Session | None, *, accepts: Callable[[str], bool]) -> Session:
        """Remember a session and return what is remembered. See `Sessions.keep`."""
        kept = super().keep(key, session, before, accepts=accepts)
        if kept is session and self._waiting.qsize() < _MOST_WAITING:
            # The decision does not wait for the server. The next request of the session comes after its answer.
            self._waiting.put((self._name(key), msgspec.msgpack.encode((time.time(), session))))
            self._wake()
        return kept

    def exchange(self, *, has_forgotten: bool) -> None:
        """Tell the server what has changed."""
        del has_forgotten
        self.flush()

    def flush(self) -> None:
        """Tell the server what has changed."""
        pipe = self._link.client.pipeline(transaction=False)
        while not self._waiting.empty() and len(pipe) < MOST_AT_ONCE:
            name, data = self._waiting.get()
            pipe.set(name, data, ex=KEEP_S)
        if len(pipe):
            self._link.ask(pipe.execute, trial=True)

    def _name(self, key: str) -> str:
        return self._link.key("session", hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=16).hexdigest())
