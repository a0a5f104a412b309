"""Small facts about answers, by the id of the answer, so that any process can continue what another one began."""

from __future__ import annotations

import queue
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from router.state.settings import MOST_AT_ONCE

if TYPE_CHECKING:
    from router.state.link import RedisLink

_T = TypeVar("_T")
# Answers that a later request can still name, in this process.
MOST_KEPT = 10_000
# At the server they are kept for an hour.
_KEEP_S = 3600


class Notes(Generic[_T]):
    """Remembers the latest facts, here and at the server. Not thread-safe: use it in one event loop.

    Args:
        kind: The type of a fact: a struct, a text or a number.
        link: Leads to Redis. None: this process remembers alone.
        group: Keeps facts about different things apart.
        wake: Asks for an exchange soon. None: the next one is soon enough.
    """

    def __init__(
        self,
        kind: type[_T],
        link: RedisLink | None = None,
        *,
        group: str = "",
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._wake = wake
        self._kept: OrderedDict[str, _T] = OrderedDict()
        self._link, self._group, self._decoder = link, group, msgspec.msgpack.Decoder(kind)
        self._waiting: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def keep(self, id_: str, fact: _T) -> None:
        """Remember a fact, and forget the oldest ones here."""
        self._kept[id_] = fact
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        if self._link is not None and self._waiting.qsize() < MOST_KEPT:
            self._waiting.put((self._link.key(self._group, id_), msgspec.msgpack.encode(fact)))
            if self._wake is not None:
                self._wake()

    def find(self, id_: str) -> _T | None:
        """Return a fact. None if no process remembers it."""
        link = self._link
        if not id_ or id_ in self._kept or link is None:
            return self._kept.get(id_)
        return link.read(link.key(self._group, id_), self._decoder)

    def exchange(self, *, has_forgotten: bool) -> None:
        """Tell the server what is new."""
        del has_forgotten
        self.flush()

    def flush(self) -> None:
        """Tell the server what is new."""
        if self._link is None:
            return
        pipe = self._link.client.pipeline(transaction=False)
        while not self._waiting.empty() and len(pipe) < MOST_AT_ONCE:
            pipe.set(*self._waiting.get(), ex=_KEEP_S)
        if len(pipe):
            self._link.ask(pipe.execute, trial=True)
