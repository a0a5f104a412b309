"""OpenAI's chat completions."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import msgspec

from router.calls import Chunk, Reply
from router.classify.messages import read_messages
from router.execution.answers import read_chunk, read_reply
from router.gateway.protocol import EventReader, Request, WireFormat, read_besides, read_field, read_model
from router.gateway.wire import Body, make_valid, read_json, write_event
from router.types import WireProtocol

_BESIDES = ("tools", "functions", "response_format", "max_tokens", "max_completion_tokens", "reasoning_effort")
DONE = b"[DONE]"


class Chat(WireFormat):
    """OpenAI's chat completions, which most servers speak."""

    protocol: WireProtocol = "chat"
    path = "/chat/completions"

    def read_request(self, body: Body) -> Request:
        """See `WireFormat.read_request`."""
        messages = read_field(body, "messages", list, "a list of messages", [])
        return Request(
            model=read_model(body),
            messages=read_messages(messages),
            stream=cast("bool", read_field(body, "stream", bool, "true or false", False)),
            besides=read_besides(body, {name: name for name in _BESIDES}),
        )

    def read_reply(self, answer: object) -> Reply:
        """See `WireFormat.read_reply`."""
        return read_reply(answer, raw=None)

    def read_events(self) -> EventReader:
        """See `WireFormat.read_events`."""
        return _ChatEvents()

    def write_error(self, status: int, message: str, *, code: str) -> bytes:
        """See `WireFormat.write_error`."""
        return write_openai_error(status, message, code)

    def write_error_event(self, message: str) -> bytes:
        """See `WireFormat.write_error_event`."""
        return write_event(write_openai_error(502, message, "upstream_error"))


class _ChatEvents(EventReader):
    def __init__(self) -> None:
        self._begun = self._finished = False
        # Places of the answers that have begun and not finished. A client may ask for several.
        self._running = set[object]()

    def read(self, data: bytes) -> Chunk | None:
        """See `EventReader.read`."""
        if data == DONE:
            self.over = True
            # Some servers end with this alone.
            ended = Chunk(text="", finish_reason="stop") if self._begun and not self._finished else None
            self._finished = True
            return ended
        event = read_json(data)
        chunk = read_chunk(event, raw=None, begun=self._begun)
        if chunk is not None:
            chunk = replace(chunk, finish_reason=self._find_finish_reason(event))
            self._begun, self._finished = True, self._finished or chunk.finish_reason is not None
        return chunk

    def _find_finish_reason(self, event: object) -> str | None:
        """Return why the answer ended. None while one of its choices goes on."""
        choices = event.get("choices") if isinstance(event, dict) else None
        reason = None
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                ended, place = choice.get("finish_reason"), str(choice.get("index"))
                (self._running.discard if ended else self._running.add)(place)
                reason = str(ended) if ended else reason
        return None if self._running else reason


def write_openai_error(status: int, message: str, code: str) -> bytes:
    """Return the body of an error in OpenAI's form."""
    kind = "invalid_request_error" if status < 500 else "server_error"  # noqa: PLR2004 - HTTP's classes
    return msgspec.json.encode({"error": {"message": make_valid(message), "type": kind, "param": None, "code": code}})
