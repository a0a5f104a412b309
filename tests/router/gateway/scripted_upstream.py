"""A server on loopback that speaks all three protocols. The name of the model says what it does."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiohttp import web

WORDS = ["Tea", " and", " scones", " please."]
USAGE = (11, 4)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedUpstream:
    """Answers by the name of the model: `ok`, `down` (503), `refuses` (400), `no-key` (401), `no-item` (404), `echoes` (500,
    with the prompt), `tells` (200, with the key), `cut` (a stream that breaks), `slow` (a stream that goes on for long),
    `steady` (one that takes a second), `junk` (one that is sent at once, with more after its end), `bad` (one whose end is
    no JSON).

    Attributes:
        seen: The body and the headers of each request.
        left: Number of clients that left a slow stream.
        flood: Whether a slow stream sends as much as it can.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.left = 0
        self.flood = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        self._port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> int:
        app = web.Application(client_max_size=1 << 27)
        app.router.add_post("/v1/chat/completions", self._tell(self._chat))
        app.router.add_post("/v1/responses", self._tell(self._responses))
        app.router.add_post("/v1/messages", self._tell(self._messages))
        app.router.add_post("/v1/messages/count_tokens", self._tell(self._count))
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    def _tell(self, answer: Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.json()
            self.seen.append((request.path, body, dict(request.headers)))
            key = request.headers.get("Authorization", "") + request.headers.get("x-api-key", "")
            if body["model"] == "down":
                return web.json_response({"error": {"message": "overloaded"}}, status=503)
            if body["model"] == "echoes":
                return web.json_response(
                    {"error": {"message": f"cannot parse {body['messages'][-1]['content']}"}}, status=500
                )
            if body["model"] == "refuses":
                error = {"message": "temperature must be at most 2", "type": "invalid_request_error", "param": "temperature"}
                return web.json_response({"type": "error", "error": error}, status=400, headers={"x-request-id": "up-7"})
            if body["model"] == "no-item":
                error = {"message": "Item with id 'rs_1' not found.", "type": "invalid_request_error"}
                return web.json_response({"error": error}, status=404)
            if body["model"] == "no-key":
                return web.json_response({"error": {"message": f"wrong key {key}"}}, status=401)
            return await answer(request, body)

        return handle

    async def _chat(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        usage = {"prompt_tokens": USAGE[0], "completion_tokens": USAGE[1], "total_tokens": sum(USAGE)}
        common = {"id": "chat-1", "created": 1, "model": f"{body['model']}-2026-11-01", "system_fingerprint": "fp"}
        if not body.get("stream"):
            told = request.headers.get("Authorization", "") if body["model"] == "tells" else ""
            message: dict[str, Any] = {"role": "assistant", "content": "".join(WORDS) + told}
            reason = "stop"
            if body.get("tools"):
                call = {"id": "call-1", "type": "function", "function": {"name": "brew", "arguments": '{"model": "oolong"}'}}
                message, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
            choice = {"index": 0, "message": message, "finish_reason": reason}
            return web.json_response({**common, "object": "chat.completion", "choices": [choice], "usage": usage})

        def event(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return {**common, "object": "chat.completion.chunk", "choices": [choice]}

        events = [event({"role": "assistant", "content": ""}), *(event({"content": word}) for word in WORDS)]
        last = [event({}, "stop")]
        if (body.get("stream_options") or {}).get("include_usage"):
            last.append({**common, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        return await self._send(request, body, events, last, end=b"data: [DONE]\n\n")

    async def _responses(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        text = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
        item = {"id": "msg-1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
        usage = {
            "input_tokens": USAGE[0],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": USAGE[1],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sum(USAGE),
        }
        response = {
            "id": f"resp-{len(self.seen)}",
            "object": "response",
            "created_at": 1,
            "model": f"{body['model']}-2026-11-01",
            "status": "completed",
            "output": [item],
            "usage": usage,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": body.get("tools", []),
        }
        if not body.get("stream"):
            return web.json_response(response)
        begun = {**response, "status": "in_progress", "output": [], "usage": None}
        at = {"item_id": "msg-1", "output_index": 0, "content_index": 0}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
            {"type": "response.content_part.added", **at, "part": {**text, "text": ""}},
            *({"type": "response.output_text.delta", **at, "delta": word, "logprobs": []} for word in WORDS),
        ]
        last = [
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": response},
        ]
        return await self._send(request, body, _number(events), _number(last, len(events)), named=True)

    async def _messages(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        message = {
            "id": "msg-1",
            "type": "message",
            "role": "assistant",
            "model": f"{body['model']}-2026-11-01",
            "content": [{"type": "text", "text": "".join(WORDS)}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": USAGE[0], "output_tokens": USAGE[1]},
        }
        if not body.get("stream"):
            return web.json_response(message)
        begun = {**message, "content": [], "stop_reason": None, "usage": {"input_tokens": USAGE[0], "output_tokens": 1}}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
            *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in WORDS),
        ]
        last = [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": USAGE[1]}},
            {"type": "message_stop"},
        ]
        return await self._send(request, body, events, last, named=True)

    async def _count(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body["model"] == "tells":
            return web.json_response({"detail": "Not Found"}, status=404)
        del request
        return web.json_response({"input_tokens": USAGE[0]})

    async def _send(
        self,
        request: web.Request,
        body: dict[str, Any],
        events: list[dict[str, Any]],
        last: list[dict[str, Any]],
        *,
        named: bool = False,
        end: bytes = b"",
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        written = b"".join(_write(event, named=named) for event in [*events, *last])
        if body["model"] == "junk":
            await response.write(written + (end or b"data: [DONE]\n\n") + b"data: {bad\n\n")
            # The connection stays open for a while after the last event.
            await asyncio.sleep(0.2)
            return response
        if body["model"] == "bad":
            await response.write(b"".join(_write(event, named=named) for event in events) + b"data: {bad\n\n")
            return response
        try:
            for event in events:
                await response.write(_write(event, named=named))
            if body["model"] in ("slow", "steady"):
                for _ in range(2_000 if body["model"] == "slow" else 50):
                    await response.write(_write(events[-1], named=named) * (10_000 if self.flood else 1))
                    await asyncio.sleep(0.02)
        except ConnectionError:
            self.left += 1
            raise
        if body["model"] == "cut":
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(b"".join(_write(event, named=named) for event in last) + end)
        return response


def _write(event: dict[str, Any], *, named: bool) -> bytes:
    head = f"event: {event['type']}\n" if named else ""
    return f"{head}data: {json.dumps(event)}\n\n".encode()


def _number(events: list[dict[str, Any]], first: int = 0) -> list[dict[str, Any]]:
    return [{**event, "sequence_number": first + place} for place, event in enumerate(events)]
