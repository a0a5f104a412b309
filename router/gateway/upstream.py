"""Attempts in, the servers' own answers out: bodies and events pass through unchanged, except for the model's name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from router.calls import CallRequest, Chunk, Reply
from router.errors import CallError, InputError
from router.execution.adaptation import Adapter
from router.execution.failures import failure_in_response, list_texts
from router.gateway.chat import Chat
from router.gateway.events import Events
from router.gateway.exchange import Answer, Exchange, SeenAttempt
from router.gateway.wire import hide, name_model, read_json, read_value, write_body, write_value

if TYPE_CHECKING:
    from router.execution.endpoint import Endpoint

_ANTHROPIC_VERSION = "2023-06-01"
# A longer error is a page, and its end says nothing.
_MOST_ERROR_BYTES = 1 << 20
# An answer with pictures or sound may be long. This only keeps a faulty server from filling the memory.
_MOST_ANSWER_BYTES = 1 << 28
# A server that has sent the last event has so long to close the stream. Then its connection can serve the next request.
_CLOSING_S = 1.0
# A shorter key is a placeholder, such as EMPTY, which may be a word of an answer.
_SHORTEST_KEY = 16
# A server without a path is no faulty server. Only the request has to go elsewhere.
_NO_SUCH_PATH = (404, 405, 501)
# Headers of an answer that clients read. Others describe the connection to the server, not the one to the client.
_PASSED_ON = ("content-type", "request-id", "x-request-id", "retry-after", "openai-", "anthropic-", "x-ratelimit-")

# How aiohttp turns the bytes of a header into a text.
_RAW = ("utf-8", "surrogateescape")


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
        # A judge is asked by the router itself, not for the client.
        exchange = cast("Exchange | None", request.options.get("exchange")) or _make_exchange(request)
        exchange.model, exchange.endpoint, exchange.answer = request.name, request.endpoint, None
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
                data = name_model(hide(data, self._find_keys()), request.name)
                exchange.answer = self._make_answer(request, response, data)
            seen.usage = reply.usage
            return replace(reply, raw=exchange.answer)

    async def _stream(self, request: CallRequest, exchange: Exchange) -> AsyncGenerator[Chunk, None]:
        with self._watch(request, exchange) as seen:
            async with self._open(request, exchange) as response:
                if "json" in response.content_type:
                    # The server does not stream. Its whole answer is paid, but no client of a stream can read it.
                    _read_answer(exchange, await _read(response, _MOST_ANSWER_BYTES))
                    raise CallError("unable", "the server answered a stream with one whole answer")
                exchange.answer = self._make_answer(request, response)
                is_asked = _asks_for_usage(exchange.body.get("stream_options"))
                events = Events(exchange, exchange.answer, self._find_keys(), hide_usage=not is_asked)
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
        seen = SeenAttempt(model=request.name, endpoint=request.endpoint)
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
        # The parameters of a variant are the options that the client did not send.
        added = {name: value for name, value in request.options.items() if name != "exchange" and name not in exchange.known}
        exchange.format.add_options(body, added)
        if request.stream and endpoint.stream_usage and exchange.format.protocol == "chat":
            body["stream_options"] = _ask_for_usage(body.get("stream_options"))
        try:
            place = (request.endpoint, request.name)
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
            data = hide(await _read(response, _MOST_ERROR_BYTES), self._find_keys())
            exchange.answer = self._make_answer(request, response, data)
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

    def _find_keys(self) -> list[bytes]:
        """Return the keys of all endpoints. Some servers repeat them."""
        keys = []
        for endpoint in self._endpoints.values():
            with suppress(CallError):
                keys += [header.removeprefix("Bearer ").encode() for header in endpoint.key_headers().values()]
        return [key for key in keys if len(key) >= _SHORTEST_KEY]

    def _make_answer(self, request: CallRequest, response: aiohttp.ClientResponse, body: bytes = b"") -> Answer:
        return Answer(
            model=request.name,
            endpoint=request.endpoint,
            status=response.status,
            headers=self._choose_headers(response),
            body=body,
        )

    def _choose_headers(self, response: aiohttp.ClientResponse) -> dict[str, str]:
        """Return the headers of an answer that clients read, without keys."""
        keys = self._find_keys()
        chosen = {name.lower(): value for name, value in response.headers.items() if name.lower().startswith(_PASSED_ON)}
        return {name: hide(value.encode(*_RAW), keys).decode(*_RAW) for name, value in chosen.items()}


def _make_exchange(request: CallRequest) -> Exchange:
    """Return the exchange of a request that the router makes itself."""
    format_ = Chat()
    body = {"messages": write_value(list(request.messages))}
    return Exchange(format=format_, path=format_.path, body=body)


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
