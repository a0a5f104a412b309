"""A model that speaks OpenAI's protocol well enough for the tests that libraries bring with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.loopback import Body, Response, make_events, make_json

TEXT = "Tea and scones please"
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 4,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
# An argument of a tool, by the name and the type in its schema.
_VALUES: Mapping[str, Any] = {"integer": 3, "number": 3.0, "boolean": True, "array": [], "object": {}}
_NAMED = {"location": "Paris"}


def respond(body: Body) -> Response:
    """Call the first tool of a request unless a result of a tool is already there. Without tools, say `TEXT`.

    A model named `down` has status 503.
    """
    if body["model"] == "down":
        return make_json({"error": {"message": "overloaded"}}, 503)
    return make_events(*_make_chunks(body)) if body.get("stream") else make_json(_make_answer(body))


def _make_answer(body: Body) -> dict[str, Any]:
    """Return the answer to a request as a whole."""
    call = _find_call(body)
    if call is None:
        text = TEXT.partition(_find_stop(body))[0] if _find_stop(body) else TEXT
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    else:
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return {**_common(body), "object": "chat.completion", "choices": [choice], "usage": USAGE}


def _make_chunks(body: Body) -> Iterator[dict[str, Any]]:
    """Yield the answer to a request as the events of a stream."""
    common = {**_common(body), "object": "chat.completion.chunk"}
    call = _find_call(body)
    if call is None:
        deltas: list[dict[str, Any]] = [{"content": word} for word in TEXT.replace(" ", "| ").split("|")]
    else:
        head, arguments = {**call["function"], "arguments": ""}, call["function"]["arguments"]
        half = len(arguments) // 2
        pieces = [
            {**call, "function": head},
            *({"function": {"arguments": part}} for part in (arguments[:half], arguments[half:])),
        ]
        deltas = [{"tool_calls": [{"index": 0, **piece}]} for piece in pieces]
    for delta in [{"role": "assistant", "content": ""}, *deltas]:
        yield {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**common, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if call else "stop"}]}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**common, "choices": [], "usage": USAGE}


def _find_call(body: Body) -> dict[str, Any] | None:
    """Return the call of the tool that a request asks for. None if it has no tools, or the result is there."""
    tools, last = body.get("tools") or [], body["messages"][-1]
    if not tools or last["role"] == "tool" or body.get("tool_choice") == "none":
        return None
    choice = body.get("tool_choice")
    named = choice["function"]["name"] if isinstance(choice, dict) else tools[0]["function"]["name"]
    function = next(tool["function"] for tool in tools if tool["function"]["name"] == named)
    arguments = {name: _make_value(name, schema) for name, schema in function["parameters"].get("properties", {}).items()}
    return {"id": "call-1", "type": "function", "function": {"name": named, "arguments": json.dumps(arguments)}}


def _make_value(name: str, schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    return _NAMED.get(name) or _VALUES.get(schema.get("type", "string"), "你好, こんにちは")


def _common(body: Body) -> dict[str, Any]:
    return {"id": "chat-1", "created": 1, "model": f"{body['model']}-2026-11-01"}


def _find_stop(body: Body) -> str:
    stop = body.get("stop") or ""
    return stop if isinstance(stop, str) else stop[0]
