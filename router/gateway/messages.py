"""Anthropic's messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import msgspec

from router.calls import Chunk, Reply, Usage
from router.errors import CallError
from router.execution.failures import failure_in
from router.execution.usage import read_messages_usage
from router.gateway.protocol import (
    EventReader,
    Request,
    WireFormat,
    join_texts,
    read_besides,
    read_effort,
    read_field,
    read_model,
    write_effort,
)
from router.gateway.wire import Body, make_valid, read_event, read_value, write_event
from router.types import WireProtocol

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
# platform.claude.com, effort.
_EFFORT_FIELD = "output_config"
_ENDS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


class Messages(WireFormat):
    """Anthropic's messages, which Claude Code speaks."""

    protocol: WireProtocol = "messages"
    path = "/messages"
    free_paths = ("/messages/count_tokens",)
    model_within = "message"

    def read_request(self, body: Body) -> Request:
        """See `WireFormat.read_request`."""
        system = read_value(body["system"]) if "system" in body else None
        given = cast("list[object]", read_field(body, "messages", list, "a list of messages", []))
        messages = [read_message(message) for message in given]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        return Request(
            model=read_model(body),
            messages=messages,
            stream=cast("bool", read_field(body, "stream", bool, "true or false", False)),
            besides=read_besides(body, {"tools": "tools", "max_tokens": "max_tokens"}) | read_effort(body, _EFFORT_FIELD),
        )

    def add_options(self, body: Body, options: Mapping[str, object]) -> None:
        """See `WireFormat.add_options`."""
        super().add_options(body, write_effort(body, _EFFORT_FIELD, options))

    def read_reply(self, answer: object) -> Reply:
        """See `WireFormat.read_reply`."""
        message = answer if isinstance(answer, Mapping) else {}
        if message.get("type") == "error" or message.get("error"):
            raise failure_in(message.get("error") or message)
        # The answer to /messages/count_tokens.
        if isinstance(message.get("input_tokens"), int):
            return Reply(text="", finish_reason="stop")
        if not isinstance(message.get("content"), list):
            raise CallError("transient", "the answer is malformed or has no content")
        text, usage = join_texts(message["content"]), read_messages_usage(message.get("usage")) or Usage()
        return Reply(text=text, finish_reason=_read_stop(message), usage=usage)

    def read_events(self) -> EventReader:
        """See `WireFormat.read_events`."""
        return _MessageEvents()

    def write_error(self, status: int, message: str, *, code: str) -> bytes:
        """See `WireFormat.write_error`."""
        error = {"type": _KINDS.get(status, "api_error"), "message": make_valid(message), "code": code}
        return msgspec.json.encode({"type": "error", "error": error})

    def write_error_event(self, message: str) -> bytes:
        """See `WireFormat.write_error_event`."""
        return write_event(self.write_error(502, message, code="upstream_error"), "error")


class _MessageEvents(EventReader):
    def __init__(self) -> None:
        self._usage = Usage()

    def read(self, data: bytes) -> Chunk | None:
        """See `EventReader.read`."""
        event = read_event(data)
        kind = event.get("type")
        self.over = kind == "message_stop"
        if kind == "error" or kind is None:
            raise failure_in(event.get("error") or event)
        if kind == "message_start":
            # The tokens of the prompt come at the start, those of the answer at the end.
            message = event.get("message")
            self._usage = read_messages_usage(message.get("usage") if isinstance(message, Mapping) else None) or self._usage
            return None
        if kind == "message_delta":
            delta = event.get("delta")
            last = read_messages_usage(event.get("usage")) or Usage()
            # The end may repeat the tokens of the prompt.
            prompt = self._usage if last.input_tokens is None else last
            self._usage = replace(prompt, output_tokens=last.output_tokens)
            return Chunk(text="", finish_reason=_read_stop(delta) if isinstance(delta, Mapping) else None, usage=self._usage)
        # Both events hold at most one part of the answer. Only a part of text has a text.
        part = event.get("delta") or event.get("content_block")
        return Chunk(text=join_texts([part])) if kind in ("content_block_start", "content_block_delta") else None


def read_message(message: object) -> dict[str, object]:
    """Return a message as the router reads it. A turn of the user that only holds results of tools is a tool's message."""
    if not isinstance(message, Mapping):
        return {"role": "user", "content": message}  # the router says what is wrong with it
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    is_result = bool(parts) and all(isinstance(part, Mapping) and part.get("type") == "tool_result" for part in parts)
    return {**message, "role": "tool"} if is_result else dict(message)


def _read_stop(message: Mapping[str, Any]) -> str | None:
    reason = message.get("stop_reason")
    return _ENDS.get(reason, reason) if isinstance(reason, str) else None
