"""A server on loopback that speaks OpenAI's protocol well enough for the tests that libraries bring with them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

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


class ToolServer:
    """Calls the first tool of a request unless a result of a tool is already there. Without tools, it says `TEXT`.

    A model named `down` has status 503.

    Attributes:
        seen: The body of each request.
    """

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def log_message(self, *args: object) -> None:
                """Write no log."""

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.seen.append(body)
                if body["model"] == "down":
                    return self.reply(503, "application/json", json.dumps({"error": {"message": "overloaded"}}))
                if body.get("stream"):
                    events = [f"data: {json.dumps(event)}\n\n" for event in make_events(body)]
                    return self.reply(200, "text/event-stream", "".join([*events, "data: [DONE]\n\n"]))
                return self.reply(200, "application/json", json.dumps(make_answer(body)))

            def reply(self, status: int, kind: str, text: str) -> None:
                content = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever)
        self.base_url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def make_answer(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a request as a whole."""
    call = find_call(body)
    if call is None:
        text = TEXT.partition(_find_stop(body))[0] if _find_stop(body) else TEXT
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    else:
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return {**_common(body), "object": "chat.completion", "choices": [choice], "usage": USAGE}


def make_events(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the answer to a request as the events of a stream."""
    common = {**_common(body), "object": "chat.completion.chunk"}
    call = find_call(body)
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


def find_call(body: Mapping[str, Any]) -> dict[str, Any] | None:
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


def _common(body: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": "chat-1", "created": 1, "model": f"{body['model']}-2026-11-01"}


def _find_stop(body: Mapping[str, Any]) -> str:
    stop = body.get("stop") or ""
    return stop if isinstance(stop, str) else stop[0]
