"""A fast server on loopback that speaks chat completions, with faults that can be switched on. Runs as a process of its own.

    python benchmarks/load/upstream.py PORT

Each stream repeats the words of its prompt, one event each, so that a client sees whether streams were cut or mixed. Each
event holds the time when it was sent. `GET /count` returns how many requests came, `POST /fault/NAME` switches a fault on:
`none`, `down` (503), `slow` (an answer after 20 s), `half-open` (no answer), `malformed`, `cut` (a stream that breaks).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import httptools

_EVENTS_S = 0.02
_NAP_S = 20.0


class Server(asyncio.Protocol):
    """One connection."""

    fault, count = "none", 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read."""
        self._transport: Any = transport
        self._task: asyncio.Task[None] | None = None
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer."""
        del exc
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Take the path."""
        self._path += url

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        path, body = self._path.decode(), self._body
        self._begin()
        if path == "/count":
            self._send(json.dumps({"count": Server.count}).encode())
        elif path.startswith("/fault/"):
            Server.fault = path.removeprefix("/fault/")
            self._send(b"{}")
        else:
            Server.count += 1
            self._task = asyncio.get_running_loop().create_task(self._answer(json.loads(body)))

    def _begin(self) -> None:
        self._parser, self._path, self._body = httptools.HttpRequestParser(self), b"", b""

    async def _answer(self, body: dict[str, Any]) -> None:
        fault = Server.fault
        if fault == "down":
            self._send(b'{"error": {"message": "overloaded", "type": "server_error"}}', 503)
        elif fault == "malformed":
            self._send(b'{"choices": [{"index": 0, "mess')
        elif fault == "half-open":
            await asyncio.sleep(3600)
        else:
            if fault == "slow":
                await asyncio.sleep(_NAP_S)
            content = body["messages"][-1].get("content")
            words = content.split() if isinstance(content, str) else ["ok"]
            if body.get("stream"):
                await self._stream(body, words, cut=fault == "cut")
            else:
                self._send(json.dumps(_make_answer(body["model"], " ".join(words))).encode())

    async def _stream(self, body: dict[str, Any], words: list[str], *, cut: bool) -> None:
        write = self._transport.write
        write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for place, word in enumerate(words):
            if cut and place == len(words) // 2:
                self._transport.close()
                return
            write(_chunk(_make_event(body["model"], {"content": f"{word} "})))
            await asyncio.sleep(_EVENTS_S)
        write(_chunk(_make_event(body["model"], {}, "stop")))
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": len(words), "completion_tokens": len(words), "total_tokens": 2 * len(words)}
            write(
                _chunk(
                    _write(
                        {
                            "id": "c",
                            "object": "chat.completion.chunk",
                            "created": 1,
                            "model": "m",
                            "choices": [],
                            "usage": usage,
                        }
                    )
                )
            )
        write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def _send(self, body: bytes, status: int = 200) -> None:
        head = f"HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


def _make_answer(model: str, text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def _make_event(model: str, delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    event = {
        "id": f"at-{time.monotonic():.6f}",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": model,
        "choices": [choice],
    }
    return _write(event)


def _write(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def main(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
