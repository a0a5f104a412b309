"""A server on loopback that behaves like a model of an agent, in all three protocols, whole and as a stream.

If a request offers a tool that the server knows and has no result of one yet, the answer calls it. Otherwise the answer says
what the tool said.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

# Arguments for the tools of the clients, by name.
_CALLS: Mapping[str, Mapping[str, Any]] = {
    "add": {"a": 2, "b": 3},
    "Bash": {"command": "echo scones", "description": "Say scones"},
    "bash": {"command": "echo scones", "description": "Say scones"},
    "shell": {"command": ["bash", "-lc", "echo scones"]},
    "shell_command": {"command": "echo scones"},
    "exec_command": {"cmd": "echo scones"},
}
_USAGE = (21, 9)
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says: a text, or the call of a tool."""

    text: str = ""
    tool: str = ""

    @property
    def arguments(self) -> str:
        """The arguments of the call, as JSON."""
        return json.dumps(_CALLS[self.tool])


def think(tools: Sequence[str], results: Sequence[str]) -> Answer:
    """Return an answer.

    Args:
        tools: Names of the tools that are offered.
        results: Results of tools so far.
    """
    known = [tool for tool in tools if tool in _CALLS]
    if results:
        return Answer(text=f"The tool said: {results[-1][:_SHOWN]}")
    return Answer(tool=known[0]) if known else Answer(text="Tea and scones, please.")


def make_upstream(seen: list[tuple[str, bool, str]]) -> web.Application:
    """Return the application. It appends path, whether the answer is a stream, and the kind of the answer to `seen`."""
    app = web.Application(client_max_size=1 << 27)
    paths = {"/v1/chat/completions": _chat, "/v1/responses": _responses, "/v1/messages": _messages}
    for path, answer in paths.items():

        async def handle(request: web.Request, answer: Any = answer, path: str = path) -> web.StreamResponse:
            body = await request.json()
            thought, whole, events = answer(body)
            seen.append(
                (path, bool(body.get("stream")), "tool" if thought.tool else "result" if "said" in thought.text else "text")
            )
            if not body.get("stream"):
                return web.json_response(whole)
            return await _send(request, events, named=path != "/v1/chat/completions")

        app.router.add_post(path, handle)

    async def count(request: web.Request) -> web.Response:
        del request
        return web.json_response({"input_tokens": _USAGE[0]})

    app.router.add_post("/v1/messages/count_tokens", count)
    return app


async def _send(request: web.Request, events: Iterator[dict[str, Any]], *, named: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        head = f"event: {event['type']}\n" if named else ""
        await response.write(f"{head}data: {json.dumps(event)}\n\n".encode())
        await asyncio.sleep(0.002)
    if not named:
        await response.write(b"data: [DONE]\n\n")
    return response


def _cut(text: str) -> list[str]:
    return [text[at : at + 5] for at in range(0, len(text), 5)]


def _chat(body: dict[str, Any]) -> tuple[Answer, dict[str, Any], Iterator[dict[str, Any]]]:
    tools = [tool["function"]["name"] for tool in body.get("tools") or () if tool.get("type") == "function"]
    results = [str(message["content"]) for message in body["messages"] if message["role"] == "tool"]
    answer = think(tools, results)
    usage = {"prompt_tokens": _USAGE[0], "completion_tokens": _USAGE[1], "total_tokens": sum(_USAGE)}
    common = {"id": "chat-1", "created": 1, "model": body["model"]}
    call = {"id": "call-1", "type": "function", "function": {"name": answer.tool, "arguments": ""}}
    reason = "tool_calls" if answer.tool else "stop"
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.tool:
        message["tool_calls"] = [{**call, "function": {"name": answer.tool, "arguments": answer.arguments}}]
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    whole = {**common, "object": "chat.completion", "choices": [choice], "usage": usage}

    def events() -> Iterator[dict[str, Any]]:
        def event(delta: dict[str, Any], end: str | None = None) -> dict[str, Any]:
            return {
                **common,
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": delta, "finish_reason": end}],
            }

        yield event({"role": "assistant", "content": None if answer.tool else ""})
        if answer.tool:
            yield event({"tool_calls": [{"index": 0, **call}]})
            for part in _cut(answer.arguments):
                yield event({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
        for part in _cut(answer.text):
            yield event({"content": part})
        yield event({}, reason)
        if (body.get("stream_options") or {}).get("include_usage"):
            yield {**common, "object": "chat.completion.chunk", "choices": [], "usage": usage}

    return answer, whole, events()


def _responses(body: dict[str, Any]) -> tuple[Answer, dict[str, Any], Iterator[dict[str, Any]]]:
    tools = [tool.get("name", "") for tool in body.get("tools") or ()]
    items = body["input"] if isinstance(body["input"], list) else []
    results = [str(item.get("output")) for item in items if str(item.get("type")).endswith("_call_output")]
    answer = think(tools, results)
    if answer.tool:
        item = {
            "id": "fc-1",
            "type": "function_call",
            "status": "completed",
            "call_id": "call-1",
            "name": answer.tool,
            "arguments": answer.arguments,
        }
    else:
        text = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        item = {"id": "msg-1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    usage = {
        "input_tokens": _USAGE[0],
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": _USAGE[1],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sum(_USAGE),
    }
    whole = {
        "id": "resp-1",
        "object": "response",
        "created_at": 1,
        "model": body["model"],
        "status": "completed",
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "usage": usage,
        "error": None,
        "incomplete_details": None,
    }

    def events() -> Iterator[dict[str, Any]]:
        begun = {**whole, "status": "in_progress", "output": [], "usage": None}
        listed: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
        ]
        at = {"item_id": item["id"], "output_index": 0}
        if answer.tool:
            listed.append(
                {
                    "type": "response.output_item.added",
                    "output_index": 0,
                    "item": {**item, "arguments": "", "status": "in_progress"},
                }
            )
            listed += [
                {"type": "response.function_call_arguments.delta", **at, "delta": part} for part in _cut(answer.arguments)
            ]
            listed.append(
                {"type": "response.function_call_arguments.done", **at, "name": answer.tool, "arguments": answer.arguments}
            )
        else:
            empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            listed.append(
                {
                    "type": "response.output_item.added",
                    "output_index": 0,
                    "item": {**item, "content": [], "status": "in_progress"},
                }
            )
            listed.append({"type": "response.content_part.added", **at, "content_index": 0, "part": empty})
            listed += [
                {"type": "response.output_text.delta", **at, "content_index": 0, "delta": part, "logprobs": []}
                for part in _cut(answer.text)
            ]
            listed.append(
                {"type": "response.output_text.done", **at, "content_index": 0, "text": answer.text, "logprobs": []}
            )
            listed.append(
                {"type": "response.content_part.done", **at, "content_index": 0, "part": {**empty, "text": answer.text}}
            )
        listed += [
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ]
        for number, event in enumerate(listed):
            yield {**event, "sequence_number": number}

    return answer, whole, events()


def _messages(body: dict[str, Any]) -> tuple[Answer, dict[str, Any], Iterator[dict[str, Any]]]:
    tools = [tool.get("name", "") for tool in body.get("tools") or ()]
    parts = [part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]]
    answer = think(tools, [str(part.get("content")) for part in parts if part.get("type") == "tool_result"])
    if answer.tool:
        block: dict[str, Any] = {"type": "tool_use", "id": "toolu_01", "name": answer.tool, "input": _CALLS[answer.tool]}
    else:
        block = {"type": "text", "text": answer.text}
    reason = "tool_use" if answer.tool else "end_turn"
    usage = {"input_tokens": _USAGE[0], "output_tokens": _USAGE[1]}
    common = {"id": "msg_01", "type": "message", "role": "assistant", "model": body["model"], "stop_sequence": None}
    whole = {**common, "content": [block], "stop_reason": reason, "usage": usage}

    def events() -> Iterator[dict[str, Any]]:
        yield {
            "type": "message_start",
            "message": {**common, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}},
        }
        if answer.tool:
            yield {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}}
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in _cut(answer.arguments)]
        else:
            yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            deltas = [{"type": "text_delta", "text": part} for part in _cut(answer.text)]
        yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        yield {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": _USAGE[1]},
        }
        yield {"type": "message_stop"}

    return answer, whole, events()
