"""OpenAI's responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from router.calls import Chunk, Reply, Usage
from router.errors import CallError, InputError
from router.execution.failures import failure_in
from router.execution.usage import read_responses_usage
from router.gateway.chat import DONE, write_openai_error
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
from router.gateway.wire import Body, read_event, read_value, write_event
from router.types import WireProtocol

# Items of the input that are no messages. The router reads their size only.
_BESIDES = {"tools": "tools", "max_output_tokens": "max_tokens"}
_EFFORT_FIELD = "reasoning"
_ENDS = {"response.completed": "stop", "response.incomplete": "length"}
# Events after which the model has begun to answer.
_TEXT_DELTA = "response.output_text.delta"
_BEGUN = ("response.output_item.added", _TEXT_DELTA, "response.reasoning", "response.refusal.delta")


class Responses(WireFormat):
    """OpenAI's responses, which Codex and the Agents SDK speak."""

    protocol: WireProtocol = "responses"
    path = "/responses"
    model_within = "response"

    def read_request(self, body: Body) -> Request:
        """See `WireFormat.read_request`."""
        if read_field(body, "background", bool, "true or false", False):
            raise InputError("background must be false, because the answer cannot be fetched here; ask for a stream instead")
        given = read_value(body["input"]) if "input" in body else None
        if not (given is None or isinstance(given, str | list)):
            raise InputError(f"input must be a text or a list of items, got {type(given).__name__}; correct it")
        instructions = read_field(body, "instructions", str, "a text", "")
        messages: list[dict[str, object]] = [{"role": "system", "content": instructions}] if instructions else []
        messages += [{"role": "user", "content": given}] if isinstance(given, str) else map(read_item, given or [])
        besides = read_besides(body, _BESIDES) | read_effort(body, _EFFORT_FIELD)
        text = read_value(body["text"]) if "text" in body else None
        if isinstance(text, Mapping) and text.get("format"):
            besides["response_format"] = text["format"]
        return Request(
            model=read_model(body),
            # A request that only refers to an earlier response, or to a stored prompt, has no text here.
            messages=messages or [{"role": "user", "content": ""}],
            stream=cast("bool", read_field(body, "stream", bool, "true or false", False)),
            earlier=str(read_field(body, "previous_response_id", str, "the id of a response", "")),
            besides=besides,
        )

    def add_options(self, body: Body, options: Mapping[str, object]) -> None:
        """See `WireFormat.add_options`."""
        super().add_options(body, write_effort(body, _EFFORT_FIELD, options))

    def read_reply(self, answer: object) -> Reply:
        """See `WireFormat.read_reply`."""
        response = answer if isinstance(answer, Mapping) else {}
        if error := response.get("error"):
            raise failure_in(error)
        if response.get("status") == "failed" or not isinstance(response.get("output"), list):
            raise CallError("transient", "the answer is malformed or has no output")
        text = "".join(join_texts(item.get("content")) for item in response["output"] if isinstance(item, Mapping))
        usage = read_responses_usage(response.get("usage")) or Usage()
        return Reply(text=text, finish_reason=_read_finish_reason(response), usage=usage)

    def read_events(self) -> EventReader:
        """See `WireFormat.read_events`."""
        return _ResponseEvents()

    def write_error(self, status: int, message: str, *, code: str) -> bytes:
        """See `WireFormat.write_error`."""
        return write_openai_error(status, message, code)

    def write_error_event(self, message: str) -> bytes:
        """See `WireFormat.write_error_event`."""
        event = {"type": "error", "code": "upstream_error", "message": message, "param": None}
        return write_event(msgspec.json.encode(event), "error")


class _ResponseEvents(EventReader):
    def read(self, data: bytes) -> Chunk | None:
        """See `EventReader.read`."""
        if data == DONE:
            return None
        event = read_event(data)
        kind = event.get("type")
        self.over = kind in _ENDS
        if not isinstance(kind, str) or kind == "error":
            raise failure_in(event.get("error") or event)
        given = event.get("response")
        response: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        self.answer_id = str(response.get("id") or self.answer_id)
        if kind == "response.failed":
            raise failure_in(response.get("error") or {})
        if kind in _ENDS:
            usage = read_responses_usage(response.get("usage"))
            return Chunk(text="", finish_reason=_read_finish_reason(response), usage=usage)
        delta = event.get("delta") if kind == _TEXT_DELTA else None
        return Chunk(text=delta if isinstance(delta, str) else "") if kind.startswith(_BEGUN) else None


def read_item(item: object) -> dict[str, object]:
    """Return an item of the input as a message. Calls of tools and their results are material, not the user's words."""
    if not isinstance(item, Mapping):
        raise InputError(f"an item of input must be an object, got {type(item).__name__}; correct it")
    if isinstance(item.get("role"), str):
        return {"role": item["role"], "content": item.get("content")}
    output = item.get("output")
    if isinstance(output, list):  # a result with images
        return {"role": "tool", "content": output}
    kept = {name: value for name, value in item.items() if name not in ("type", "id", "status", "encrypted_content")}
    return {"role": "tool", "content": "", **kept}


def _read_finish_reason(response: Mapping[str, Any]) -> str:
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    if response.get("status") == "incomplete":
        return "length" if reason == "max_output_tokens" else str(reason or "length")
    return "stop"
