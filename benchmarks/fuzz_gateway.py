"""Send odd requests to the gateway on loopback, and check that it answers each of them with a status below 500.

    python benchmarks/fuzz_gateway.py [--n 100000] [--seed 0]

The requests are valid ones of all paths, changed at random: values of other types, deep nesting, cut or foreign bytes, odd
headers, wrong lengths, chunks of any size, slow senders and clients that leave. 502, 503 and 504 are answers too, if the
upstream fails. The log of the gateway must hold no traceback, no key and no prompt.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway import Processes

_PROMPT, _KEY = "my-secret-prompt-7f3a", "client-key-0123456789abcdef"
_CONCURRENCY, _ANSWER_S = 64, 60.0
_ALLOWED = {502, 503, 504}
_PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/route", "/v1/feedback")
_OTHER_PATHS = (
    "/",
    "/v1/models",
    "/metrics",
    "/v1/live",
    "/health",
    "/ready",
    "/page/page.js",
    "/nope",
    "/page/../app.py",
    "//",
)
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1e308, 10**400, "", " ", "auto", "\ud83d", "\x00", "x" * 10_000, [], [[]], {}, {"": None}),
    *([1, 2], {"a": {"b": []}}, "1e999", float(2**53 + 1), "gpt-5.5", ["user"], {"role": "user"}, "\u202e\u0000"),
)


def _make_body(rng: random.Random) -> dict[str, Any]:
    parts: list[Any] = [
        _PROMPT,
        [{"type": "text", "text": _PROMPT}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
        [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": _PROMPT}]}],
    ]
    messages = [{"role": rng.choice(["user", "assistant", "system", "tool", "developer"]), "content": rng.choice(parts)}]
    body: dict[str, Any] = {
        "model": rng.choice(["auto", "auto:cheap", "gpt-5.5", "nope"]),
        "messages": messages,
        "input": messages,
    }
    extras: dict[str, Any] = {
        "stream": rng.random() < 0.5,  # noqa: PLR2004
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "max_tokens": 10,
        "response_format": {"type": "json_object"},
        "router": {"prefer": "cheap", "allowed": ["gpt-5.5"]},
        "previous_response_id": "resp-1",
        "stream_options": {"include_usage": True},
        "prompt": _PROMPT,
        "id": "req-1",
        "score": 0.5,
        "system": _PROMPT,
        "text": {"format": {"type": "json_schema"}},
    }
    body.update({name: value for name, value in extras.items() if rng.random() < 0.3})  # noqa: PLR2004
    return body


def _spoil(value: Any, rng: random.Random) -> Any:
    """Return a value with one part replaced by something odd."""
    if isinstance(value, dict) and value and rng.random() < 0.8:  # noqa: PLR2004
        name = rng.choice(list(value))
        if rng.random() < 0.1:  # noqa: PLR2004
            return {key: inner for key, inner in value.items() if key != name}
        return {**value, name: _spoil(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:  # noqa: PLR2004
        place = rng.randrange(len(value))
        return [*value[:place], _spoil(value[place], rng), *value[place + 1 :]]
    return rng.choice(_ODD)


def _write_body(rng: random.Random) -> bytes:
    body: Any = _make_body(rng)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
        body = _spoil(body, rng)
    data = json.dumps(body, ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")  # noqa: PLR2004
    odd: list[Callable[[bytes], bytes]] = [
        lambda data: data[: rng.randrange(len(data) + 1)],
        lambda data: data + rng.randbytes(rng.randrange(20)),
        lambda data: bytes(byte if rng.random() < 0.99 else rng.randrange(256) for byte in data),  # noqa: PLR2004
        lambda _: b'{"messages":' + b"[" * rng.randrange(5_000),
        lambda _: rng.randbytes(rng.randrange(200)),
        lambda data: data.replace(b'"auto"', b"1e999"),
    ]
    return rng.choice(odd)(data) if rng.random() < 0.25 else data  # noqa: PLR2004


def _write_headers(rng: random.Random) -> list[bytes]:
    lines = [b"Host: localhost", b"Content-Type: application/json"]
    if rng.random() < 0.9:  # noqa: PLR2004
        lines.append(b"Authorization: Bearer " + _KEY.encode())
    names = [
        "x-router-prefer",
        "x-router-quality-floor",
        "x-router-allowed",
        "x-router-needs",
        "x-router-key",
        "x-router-debug",
    ]
    names += [
        "x-router-tier",
        "x-router-max-loss",
        "traceparent",
        "anthropic-version",
        "x-api-key",
        "content-encoding",
        "expect",
    ]
    for name in names:
        if rng.random() < 0.08:  # noqa: PLR2004
            values = [
                b"cheap",
                b"0.5",
                b"nan",
                b"gpt-5.5, nope",
                b"1",
                b"\xff\xfe",
                b"",
                b"x" * 3_000,
                b"100-continue",
                b"inf",
            ]
            lines.append(name.encode() + b": " + rng.choice(values))
    return lines


def _write_request(rng: random.Random) -> list[bytes]:
    """Return a request as the parts in which it is sent."""
    if rng.random() < 0.05:  # noqa: PLR2004
        method, path = rng.choice([b"GET", b"POST", b"PUT", b"OPTIONS", b"HEAD", b"BREW"]), rng.choice(_OTHER_PATHS).encode()
        return [b"\r\n".join([method + b" " + path + b" HTTP/1.1", *_write_headers(rng), b"", b""])]
    head, body = [f"POST {rng.choice(_PATHS)} HTTP/1.1".encode(), *_write_headers(rng)], _write_body(rng)
    kind = rng.random()
    if kind < 0.2:  # noqa: PLR2004 - in chunks
        size = rng.randrange(1, 400)
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        parts = [f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks] + [b"0\r\n\r\n"]
        return [b"\r\n".join([*head, b"Transfer-Encoding: chunked", b"", b""]), *parts]
    length = len(body) if kind < 0.95 else rng.choice([0, 1, len(body) + 5, 10**12, -1])  # noqa: PLR2004
    return [b"\r\n".join([*head, f"Content-Length: {length}".encode(), b"", b""]), body]


async def _send(port: int, rng: random.Random) -> str:
    """Send a request and return the status of the answer, `closed` or `left`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in _write_request(rng):
            writer.write(part)
            if rng.random() < 0.02:  # noqa: PLR2004
                await asyncio.sleep(rng.random() / 5)
        if rng.random() < 0.03:  # noqa: PLR2004
            return "left"
        async with asyncio.timeout(_ANSWER_S):
            await writer.drain()
            line = await reader.readline()
            if line and rng.random() < 0.5:  # noqa: PLR2004
                await reader.read(1 << 16)
        return line.split()[1].decode() if line else "closed"
    except ConnectionError:
        return "closed"
    finally:
        writer.close()


async def run(processes: Processes, n: int, seed: int) -> None:
    """Send the requests and print what came of them."""
    os.environ["CLIENT_KEY"] = _KEY
    upstream = await processes.start_upstream(8321)
    more = '[keys.client]\nenv = "CLIENT_KEY"\n[gateway]\nread_s = 2.0\n[log]\nfile = "fuzz.jsonl"\nmax_mb = 5\n'
    await processes.start_gateway([upstream], more)
    statuses, numbers, began = Counter[str](), iter(range(n)), time.monotonic()

    async def work() -> None:
        for number in numbers:
            try:
                statuses[await _send(8301, random.Random(f"{seed} {number}"))] += 1
            except TimeoutError:
                statuses[f"hangs: {number}"] += 1

    await asyncio.gather(*(work() for _ in range(_CONCURRENCY)))
    faults = [
        status for status in statuses if status.startswith("hangs") or (status[0] == "5" and int(status) not in _ALLOWED)
    ]
    written = [processes.folder / "ours.log", *processes.folder.glob("fuzz*.jsonl")]
    text = "".join(path.read_text(errors="replace") for path in written)
    found = [name for name, words in (("a traceback", "Traceback"), ("a key", _KEY), ("a prompt", _PROMPT)) if words in text]
    print(f"{n} requests, seed {seed}, {time.monotonic() - began:.0f} s: {dict(sorted(statuses.items()))}")
    print(f"faults: {faults or 'none'}; in the logs: {', '.join(found) or 'no traceback, no key, no prompt'}")


def main() -> None:
    """Fuzz the gateway."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/gateway-benchmark"))  # noqa: S108 - logs
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    processes = Processes(arguments.folder.resolve())
    try:
        asyncio.run(run(processes, arguments.n, arguments.seed))
    finally:
        processes.end()


if __name__ == "__main__":
    main()
