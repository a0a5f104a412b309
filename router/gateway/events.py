"""Bytes of a server's stream in, the parts for the client and the chunks for the router out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from router.calls import Chunk
from router.errors import CallError
from router.gateway.exchange import Answer, Exchange
from router.gateway.protocol import EventReader
from router.gateway.wire import EventSplitter, hide, name_model, read_data, read_json, replace_data

# Events that prepare an answer repeat the request at most. More is a faulty server.
_MOST_HELD_BYTES = 1 << 23


class Events:
    """Reads a stream of events while it passes them on.

    Nothing is given away before the answer begins, so that another model can still take over. What comes after the last
    event is no part of the answer.

    Args:
        exchange: The request, which gets the name of the answer.
        answer: Status and headers of the answer. Each chunk holds them with its part of the body.
        keys: Keys that no part may hold.
        hide_usage: Whether the client has not asked for the usage.
    """

    def __init__(self, exchange: Exchange, answer: Answer, keys: Sequence[bytes], *, hide_usage: bool) -> None:
        self._exchange, self._answer, self._keys, self._hide_usage = exchange, answer, keys, hide_usage
        self._splitter, self._held, self._held_bytes = EventSplitter(), list[bytes](), 0
        self._reader: EventReader = exchange.format.read_events()
        self._begun = self._finished = False
        self._failure: Exception | None = None

    @property
    def over(self) -> bool:
        """Whether the stream has come to its last event."""
        return self._reader.over

    def feed(self, data: bytes) -> Chunk | None:
        """Take bytes of the stream. Return what they add to the answer. None if they only hold its preparation."""
        return self._read(self._splitter.feed(data))

    def end(self) -> Chunk | None:
        """Return what is left at the end of the stream."""
        rest = self._splitter.end()
        return self._read([rest] if rest.strip() and not self.over else [])

    def check(self) -> None:
        """Raise what went wrong behind the parts that were returned."""
        if self._failure is not None:
            raise self._failure

    def _read(self, events: Iterable[bytes]) -> Chunk | None:
        read = list[Chunk]()
        try:
            for event in events:
                if (chunk := self._take(event)) is not None:
                    read.append(chunk)
                    self._finished = self._finished or chunk.finish_reason is not None
                if self.over:
                    break
        except (CallError, ValueError, RecursionError) as error:
            if not (self._begun or self._finished):
                raise
            # The client gets what came before the failure. After a finish reason, the answer is complete anyway.
            self._failure = None if self._finished else error
        return self._release(read)

    def _take(self, event: bytes) -> Chunk | None:
        event = hide(event, self._keys)
        data = read_data(event)
        chunk = self._reader.read(data) if data else None
        self._exchange.answer_id = self._reader.answer_id
        if self._hide_usage and _is_usage_alone(data):
            return chunk  # the client has not asked for it
        self._held.append(replace_data(event, data, self._name_model(data)))
        self._held_bytes += len(event)
        if self._held_bytes > _MOST_HELD_BYTES and not self._begun and chunk is None:
            raise CallError("transient", f"the stream has more than {_MOST_HELD_BYTES} bytes before its answer")
        return chunk

    def _name_model(self, data: bytes) -> bytes:
        within = self._exchange.format.model_within
        named = name_model(data, self._answer.model)
        return named if within is None else name_model(named, self._answer.model, within=within)

    def _release(self, read: list[Chunk]) -> Chunk | None:
        self._begun = self._begun or bool(read)
        if not self._begun or not (read or self._held):
            return None
        part = b"".join(self._held)
        self._held.clear()
        return Chunk(
            text="".join(chunk.text for chunk in read),
            finish_reason=next((chunk.finish_reason for chunk in read if chunk.finish_reason), None),
            usage=next((chunk.usage for chunk in reversed(read) if chunk.usage), None),
            raw=replace(self._answer, body=part),
            logprobs=tuple(value for chunk in read for value in chunk.logprobs),
        )


def _is_usage_alone(data: bytes) -> bool:
    if b'"usage"' not in data or b'"choices"' not in data:
        return False
    event = read_json(data)
    return isinstance(event, dict) and event.get("choices") == [] and event.get("usage") is not None
