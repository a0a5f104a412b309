"""Attempts in, the servers' own answers out: bodies and events pass through unchanged, except for the model's name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from router.calls import CallRequest, Chunk, Reply, Usage
from router.errors import CallError, InputError
from router.execution.adaptation import Adapter
from router.execution.failures import failure_in_response, list_texts
from router.gateway.protocol import EventReader, WireFormat
from router.gateway.wire import (
    Body,
    EventSplitter,
    name_model,
    read_data,
    read_json,
    read_value,
    replace_data,
    write_body,
    write_value,
)

if TYPE_CHECKING:
    from router.execution.endpoint import Endpoint

_ANTHROPIC_VERSION = "2023-06-01"
# A longer error is a page, and its end says nothing.
_MOST_ERROR_BYTES = 1 << 20
# An answer with pictures or sound may be long. This only keeps a faulty server from filling the memory.
_MOST_ANSWER_BYTES = 1 << 28
# Events that prepare an answer repeat the request at most. More is a faulty server.
_MOST_HELD_BYTES = 1 << 23
# A server that has sent the last event has so long to close the stream. Then its connection can serve the next request.
_CLOSING_S = 1.0
# A shorter key is a placeholder, such as EMPTY, which may be a word of an answer.
_SHORTEST_KEY = 16
# A server without a path is no faulty server. Only the request has to go elsewhere.
_NO_SUCH_PATH = (404, 405, 501)
# Headers of an answer that clients read. Others describe the connection to the server, not the one to the client.
_PASSED_ON = ("content-type", "request-id", "x-request-id", "retry-after", "openai-", "anthropic-", "x-ratelimit-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of a server as the client gets it.

    Attributes:
        status: The HTTP status.
        headers: The headers that clients read, by their lower-case names.
        body: The body. Empty for a stream.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


@dataclass(slots=True, kw_only=True)
class SeenAttempt:
    """One attempt at a server.

    Attributes:
        model: Name of the model.
        endpoint: Name of the endpoint.
        began_at: When it began, by `time.monotonic`.
        seconds: How long it took.
        first_s: Seconds until the first part of a stream. None without one.
        usage: Usage that the server reported.
        finished: Whether a stream has come to its finish reason.
        end: `ok`, or the class of the failure.
    """

    model: str
    endpoint: str
    began_at: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    first_s: float | None = None
    usage: Usage = field(default_factory=Usage)
    finished: bool = False
    end: str = "running"

    def add(self, chunk: Chunk) -> None:
        """Take a chunk of a stream into account."""
        self.first_s = time.monotonic() - self.began_at if self.first_s is None else self.first_s
        self.usage = chunk.usage or self.usage
        self.finished = self.finished or chunk.finish_reason is not None


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request of a client and what comes back. The attempts at several servers share it.

    Attributes:
        format: The protocol.
        path: Path of the request behind a server's base URL.
        body: The body of the request.
        headers: Headers of the client that servers read, without keys.
        model: Model that was asked last. Empty before the first attempt.
        endpoint: Endpoint that was asked last.
        answer: The last answer: the one for the client, or the last refusal.
        answer_id: Name that the server gave the answer. Empty if it gave none.
        out: The parts of a stream that the client has not got yet.
        attempts: The attempts so far.
    """

    format: WireFormat
    path: str
    body: Body = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    model: str = ""
    endpoint: str = ""
    answer: Answer | None = None
    answer_id: str = ""
    out: list[bytes] = field(default_factory=list, repr=False)
    attempts: list[SeenAttempt] = field(default_factory=list)

    def take(self) -> bytes:
        """Return the parts of the stream that the client has not got yet, and forget them."""
        data = b"".join(self.out)
        self.out.clear()
        return data


class Upstream:
    """Sends requests to the endpoints of a configuration. For one event loop.

    Args:
        endpoints: Address of each endpoint, by the name that requests use.

    Attributes:
        observe: Called with each attempt when it has ended. None: nothing is.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints, self._adapter = dict(endpoints), Adapter()
        self._proxies = {name: _find_proxy(endpoint.url) for name, endpoint in endpoints.items()}
        self.observe: Callable[[SeenAttempt], None] | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """The endpoints by name."""
        return dict(self._endpoints)

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """Make an attempt. See `AsyncExecutor.acall`."""
        exchange = cast("Exchange", request.options["exchange"])
        exchange.model, exchange.endpoint, exchange.answer = request.model, request.endpoint, None
        exchange.out.clear()
        return self._stream(request, exchange) if request.stream else await self._answer(request, exchange)

    async def aclose(self) -> None:
        """Close all connections. Attempts under way fail."""
        if self._session is not None:
            await self._session.close()

    async def _answer(self, request: CallRequest, exchange: Exchange) -> Reply:
        with self._watch(request, exchange) as seen:
            async with asyncio.timeout(request.timeout_s), self._open(request, exchange) as response:
                data = await _read(response, _MOST_ANSWER_BYTES)
                reply = _read_answer(exchange, data)
                data = name_model(self._hide(data), request.model)
                exchange.answer = Answer(status=response.status, headers=self._choose_headers(response), body=data)
            seen.usage = reply.usage
            return reply

    async def _stream(self, request: CallRequest, exchange: Exchange) -> AsyncGenerator[Chunk, None]:
        with self._watch(request, exchange) as seen:
            async with self._open(request, exchange) as response:
                if "json" in response.content_type:
                    # The server does not stream. Its whole answer is paid, but no client of a stream can read it.
                    _read_answer(exchange, await _read(response, _MOST_ANSWER_BYTES))
                    raise CallError("unable", "the server answered a stream with one whole answer")
                exchange.answer = Answer(status=response.status, headers=self._choose_headers(response))
                is_asked = _asks_for_usage(exchange.body.get("stream_options"))
                events = _Events(exchange, request.model, self._hide, hide_usage=not is_asked)
                async for data in response.content.iter_any():
                    chunk = events.feed(data)
                    if chunk is not None:
                        seen.add(chunk)
                        yield chunk
                    events.check()
                    if events.over:
                        await _wait_for_end(response)
                        break
                if rest := events.end():
                    seen.add(rest)
                    yield rest
                events.check()
                if not seen.finished:
                    raise CallError("transient", "the stream ended without a finish reason")

    @contextmanager
    def _watch(self, request: CallRequest, exchange: Exchange) -> Iterator[SeenAttempt]:
        """Give the record of an attempt, which is complete when the block ends."""
        seen = SeenAttempt(model=request.model, endpoint=request.endpoint)
        exchange.attempts.append(seen)
        try:
            yield seen
            seen.end = "ok"
        except CallError as failure:
            seen.end = failure.kind
            raise
        except (asyncio.CancelledError, GeneratorExit):
            seen.end = "ok" if seen.finished else "cancelled"
            raise
        except BaseException:
            seen.end = "transient"
            raise
        finally:
            seen.seconds = time.monotonic() - seen.began_at
            if self.observe is not None:
                self.observe(seen)

    @asynccontextmanager
    async def _open(self, request: CallRequest, exchange: Exchange) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """Send the request and give the response, whose status says that there is an answer."""
        endpoint = self._endpoints.get(request.endpoint)
        if endpoint is None:
            raise InputError(f"endpoint {request.endpoint!r} is unknown; known: {', '.join(self._endpoints)}")
        body = dict(exchange.body)
        if request.stream and endpoint.stream_usage and exchange.format.protocol == "chat":
            body["stream_options"] = _ask_for_usage(body.get("stream_options"))
        try:
            place = (request.endpoint, request.model)
            send = partial(self._send, request, exchange, endpoint)
            is_chat = exchange.format.protocol == "chat"
            response = await self._adapter.send(place, endpoint, body, request.changes, send, learn=is_chat)
            async with response:
                yield response
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # `from None`, because the error may contain the address with its query.
            raise CallError("transient", f"the server cannot be reached or broke off ({type(error).__name__})") from None
        except (ValueError, RecursionError) as error:
            raise CallError("transient", f"the answer is malformed ({type(error).__name__})") from None

    async def _send(
        self, request: CallRequest, exchange: Exchange, endpoint: Endpoint, fields: dict[str, Any]
    ) -> aiohttp.ClientResponse:
        fields["model"] = write_value(endpoint.name_of(request.model))
        response = await self._open_session().post(
            endpoint.url.rstrip("/") + exchange.path,
            params=endpoint.query,
            data=write_body(fields),
            headers=_make_headers(exchange, endpoint, stream=request.stream),
            timeout=aiohttp.ClientTimeout(total=None, connect=request.connect_timeout_s),
            allow_redirects=False,  # a redirect could carry the key to another host
            proxy=self._proxies[request.endpoint],
        )
        if 200 <= response.status < 300:  # noqa: PLR2004 - HTTP's classes
            return response
        async with response:
            data = self._hide(await _read(response, _MOST_ERROR_BYTES))
            exchange.answer = Answer(status=response.status, headers=self._choose_headers(response), body=data)
            if exchange.path in exchange.format.free_paths and response.status in _NO_SUCH_PATH:
                raise CallError("unable", "the server has no such path", status=response.status)
            body: object = data.decode("utf-8", "replace")
            with suppress(InputError):
                body = read_json(data)
            raise failure_in_response(response.status, response.headers, body, sent=list_texts(request.messages))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # The router limits what is in flight. A queue here would only hide it.
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _hide(self, data: bytes) -> bytes:
        """Remove all keys from a server's words. Some servers repeat them."""
        for endpoint in self._endpoints.values():
            with suppress(CallError):
                for header in endpoint.key_headers().values():
                    key = header.removeprefix("Bearer ").encode()
                    data = data.replace(key, b"***") if len(key) >= _SHORTEST_KEY else data
        return data

    def _choose_headers(self, response: aiohttp.ClientResponse) -> dict[str, str]:
        """Return the headers of an answer that clients read, without keys."""
        chosen = {name.lower(): value for name, value in response.headers.items() if name.lower().startswith(_PASSED_ON)}
        hidden = self._hide("\n".join(chosen.values()).encode("utf-8", "surrogateescape"))
        return dict(zip(chosen, hidden.decode("utf-8", "surrogateescape").split("\n"), strict=True))


class _Events:
    """Reads a stream of events while it passes them on.

    Nothing is given away before the answer begins, so that another model can still take over. What comes after the last
    event is no part of the answer.
    """

    def __init__(self, exchange: Exchange, model: str, hide: Callable[[bytes], bytes], *, hide_usage: bool) -> None:
        self._exchange, self._model, self._hide, self._hide_usage = exchange, model, hide, hide_usage
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
        event = self._hide(event)
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
        named = name_model(data, self._model)
        return named if within is None else name_model(named, self._model, within=within)

    def _release(self, read: list[Chunk]) -> Chunk | None:
        self._begun = self._begun or bool(read)
        if not self._begun or not (read or self._held):
            return None
        self._exchange.out += self._held
        self._held.clear()
        return Chunk(
            text="",
            finish_reason=next((chunk.finish_reason for chunk in read if chunk.finish_reason), None),
            usage=next((chunk.usage for chunk in reversed(read) if chunk.usage), None),
        )


async def _wait_for_end(response: aiohttp.ClientResponse) -> None:
    """Wait a moment for the end of a stream whose last event has come."""
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_CLOSING_S):
            async for _ in response.content.iter_any():
                pass


def _asks_for_usage(options: msgspec.Raw | None) -> bool:
    given = None if options is None else read_value(options)
    return isinstance(given, dict) and given.get("include_usage") is True


def _ask_for_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    """Return the options of a stream, with the usage at its end. Faulty ones are left to the server."""
    given = None if options is None else read_value(options)
    if options is not None and (_asks_for_usage(options) or not (given is None or isinstance(given, dict))):
        return options
    fields: dict[object, object] = given if isinstance(given, dict) else {}
    return write_value({**fields, "include_usage": True})


def _is_usage_alone(data: bytes) -> bool:
    if b'"usage"' not in data or b'"choices"' not in data:
        return False
    event = read_json(data)
    return isinstance(event, dict) and event.get("choices") == [] and event.get("usage") is not None


def _read_answer(exchange: Exchange, data: bytes) -> Reply:
    answer = read_json(data)
    exchange.answer_id = str(answer.get("id") or "") if isinstance(answer, dict) else ""
    return exchange.format.read_reply(answer)


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return a body.

    Raises:
        CallError: If it is longer.
    """
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            raise CallError("transient", f"the answer has more than {most} bytes")
    return b"".join(parts)


def _make_headers(exchange: Exchange, endpoint: Endpoint, *, stream: bool) -> dict[str, str]:
    version = {"anthropic-version": _ANTHROPIC_VERSION} if exchange.format.protocol == "messages" else {}
    return {
        "Content-Type": "application/json",
        "Accept": "text/event-stream" if stream else "application/json",
        # A compressed stream would wait for full blocks.
        "Accept-Encoding": "identity" if stream else "gzip, deflate",
        **version,
        **exchange.headers,
        **endpoint.headers,
        **endpoint.key_headers(),
    }


def _find_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a URL. Read once: aiohttp would also read a file at every request."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
