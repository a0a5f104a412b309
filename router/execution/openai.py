"""Take requests and return replies and chunks, through the `openai` SDK and any endpoint that speaks its protocol."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, suppress
from functools import partial
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from router.calls import CallRequest, Chunk, Reply
from router.errors import CallError, InputError, RouterError
from router.execution.adaptation import Adapter
from router.execution.answers import read_chunk, read_reply
from router.execution.conversion import make_single_chunk
from router.execution.endpoint import Endpoint
from router.execution.failures import failure_of, list_texts
from router.execution.portal import Portal
from router.execution.stream_end import StreamEnd

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class OpenAIExecutor:
    """Makes attempts through the SDK, whose own retries are off. Thread-safe. It pickles without its connections.

    Each event loop has one client for each URL. It is created on first use and kept until `close` or `aclose`, or until its
    loop has ended.

    If a server refuses `max_tokens`, `max_completion_tokens` or `stream_options`, the request is sent again under the
    parameter's other name, or without it. The endpoint remembers that, and the attempt reports it.

    Synchronous calls run on an event loop in a thread of the executor. A blocking read can have a timeout, but it can have
    neither a deadline nor another timeout once the answer has begun.

    Args:
        endpoints: Address of each endpoint, by the name that requests use.

    Raises:
        InputError: If the SDK is not installed, or an endpoint is no `Endpoint`.

    >>> from router import Serving
    >>> local = OpenAIExecutor({"gpt-4.1-mini": Endpoint(base_url="http://localhost:8000/v1")})
    >>> serving = Serving(executor=local)  # for `Router.load(serving=serving)`
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        try:
            # The import takes a second. It is done here, because later it would count against a call's deadline.
            import_module("openai")
        except ImportError as error:
            raise InputError(
                "OpenAIExecutor needs the package 'openai'; pip install 'contextual-llm-router[openai]'"
            ) from error
        if not isinstance(endpoints, Mapping) or not all(isinstance(value, Endpoint) for value in endpoints.values()):
            raise InputError("OpenAIExecutor needs a mapping from names to Endpoint(...), one for each endpoint")
        self._endpoints = dict(endpoints)
        self._adapter = Adapter()
        self._lock = threading.Lock()
        self._clients: dict[asyncio.AbstractEventLoop, dict[str, AsyncOpenAI]] = {}
        self._portal = Portal()

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """The endpoints by name."""
        return dict(self._endpoints)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._endpoints!r})"

    def __reduce__(self) -> tuple[type[OpenAIExecutor], tuple[Mapping[str, Endpoint]]]:
        return type(self), (self._endpoints,)

    def call(self, request: CallRequest, /) -> Reply | Iterator[Chunk]:
        """Make an attempt. See `Executor.call`. Any thread may call it, also one whose event loop is running."""
        if request.stream:
            return self._iterate(request)
        return self._portal.run(self._answer(request))

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """Make an attempt. See `AsyncExecutor.acall`."""
        return self._stream(request) if request.stream else await self._answer(request)

    def close(self) -> None:
        """Close the clients of synchronous calls. Calls in flight fail, later calls create new clients."""
        if self._portal.is_open():
            self._portal.run(self.aclose())
            self._portal.close()

    async def aclose(self) -> None:
        """Close the clients of the running event loop. Call it before the loop ends. Calls in flight fail."""
        with self._lock:
            clients = self._clients.pop(asyncio.get_running_loop(), {})
        for client in clients.values():
            await client.close()

    async def _answer(self, request: CallRequest) -> Reply:
        try:
            async with asyncio.timeout(request.timeout_s):
                answer = await self._create(request)
                return read_reply(_make_plain(answer), raw=answer)
        except Exception as error:  # noqa: BLE001 - whatever leaves the SDK, the attempt has failed
            # `from None`, because the SDK's error may contain the prompt and the key.
            raise self._hide(_translate(error, request, request.timeout_s)) from None

    async def _stream(self, request: CallRequest) -> AsyncGenerator[Chunk, None]:
        clock = asyncio.get_running_loop().time
        ends_at, within_s = clock() + request.timeout_s, request.first_token_timeout_s
        async with aclosing(self._chunks(request)) as chunks:
            while True:
                within_s = min(within_s, ends_at - clock())
                try:
                    async with asyncio.timeout(within_s):
                        chunk = await anext(chunks, None)
                except Exception as error:  # noqa: BLE001 - whatever leaves the SDK, the attempt has failed
                    raise self._hide(_translate(error, request, within_s)) from None
                if chunk is None:
                    return
                yield chunk
                within_s = request.chunk_timeout_s

    async def _chunks(self, request: CallRequest) -> AsyncGenerator[Chunk, None]:
        events: Any = await self._create(request)
        async with events:
            end, begun, finished, empty = StreamEnd(events.response), False, False, True
            async for event in events:
                empty = False
                if (chunk := read_chunk(_make_plain(event), raw=event, begun=begun)) is not None:
                    begun, finished = True, finished or chunk.finish_reason is not None
                    yield chunk
            if empty and end.json:
                # The server does not stream. Its whole answer is paid, so it is used.
                yield make_single_chunk(_parse_answer(end.json))
            # A marked end without any content is no answer.
            if end.is_marked and begun and not finished:
                yield Chunk(text="", finish_reason="stop")

    def _iterate(self, request: CallRequest) -> Iterator[Chunk]:
        """Yield the chunks of an asynchronous stream to a synchronous caller."""
        chunks = self._stream(request)

        async def step() -> Chunk | None:
            return await anext(chunks, None)

        async def end() -> None:
            await chunks.aclose()

        try:
            while (chunk := self._portal.run(step())) is not None:
                yield chunk
        finally:
            # Not run(): this may be the garbage collector, which must not wait for the loop.
            self._portal.start(end())

    async def _create(self, request: CallRequest) -> object:
        """Send the request and return the answer. For a stream the answer is not complete yet."""
        endpoint = self._endpoints.get(request.endpoint)
        if endpoint is None:
            raise InputError(f"endpoint {request.endpoint!r} is unknown; known: {', '.join(self._endpoints)}")
        options: dict[str, object] = dict(request.options)
        if request.stream and endpoint.stream_usage:
            options.setdefault("stream_options", {"include_usage": True})
        place = (request.endpoint, request.name)
        return await self._adapter.send(place, endpoint, options, request.changes, partial(self._send, request, endpoint))

    async def _send(self, request: CallRequest, endpoint: Endpoint, options: dict[str, Any]) -> object:
        from openai import Omit, Timeout

        # The key goes into each request, because a client outlives a change of the environment variable.
        secrets = endpoint.key_headers()
        headers = {"Authorization": Omit(), **endpoint.headers, **(options.get("extra_headers") or {}), **secrets}
        if isinstance(options.get("response_format"), type):
            options = {**options, "response_format": _make_response_format(options["response_format"])}
        create: Any = self._client(endpoint).chat.completions.create  # its overloads take no mappings
        # A parameter may have a name at this server that the SDK does not know.
        foreign = {n: options[n] for n in endpoint.rename.values() if n in options and n not in signature(create).parameters}
        if foreign:
            options = {n: value for n, value in options.items() if n not in foreign}
            options["extra_body"] = {**(options.get("extra_body") or {}), **foreign}
        try:
            pending = create(
                model=endpoint.name_of(request.model),
                messages=request.messages,
                stream=request.stream,
                timeout=Timeout(request.timeout_s, connect=request.connect_timeout_s),
                **{**options, "extra_headers": headers},
            )
        except TypeError as error:
            # The arguments do not fit the signature: nothing has been sent.
            raise InputError(f"options must be arguments of the SDK's chat.completions.create(): {error}") from error
        try:
            answer: object = await pending
        except Exception as error:  # noqa: BLE001 - whatever leaves the SDK, the attempt has failed
            # `from None`, because the SDK's error may contain the prompt and the key.
            raise _translate(error, request, request.timeout_s) from None
        return answer

    def _hide(self, error: RouterError) -> RouterError:
        """Remove all keys from the server's words. Some servers repeat them."""
        if not isinstance(error, CallError):
            return error
        for endpoint in self._endpoints.values():
            with suppress(CallError):
                for header in endpoint.key_headers().values():
                    key = header.removeprefix("Bearer ")
                    for name in ("detail", "code", "param"):
                        if key in (text := getattr(error, name) or ""):
                            setattr(error, name, text.replace(key, "***"))
        return error

    def _client(self, endpoint: Endpoint) -> AsyncOpenAI:
        loop = asyncio.get_running_loop()
        with self._lock:
            for ended in [other for other in self._clients if other.is_closed()]:
                del self._clients[ended]
            clients = self._clients.setdefault(loop, {})
            if endpoint.base_url not in clients:
                clients[endpoint.base_url] = _make_client(endpoint)
            return clients[endpoint.base_url]


def _make_client(endpoint: Endpoint) -> AsyncOpenAI:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Omit

    # The SDK reads the user's organization at OpenAI from the environment. No other server should receive it.
    elsewhere: dict[str, Any] = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
    return AsyncOpenAI(
        base_url=endpoint.url,
        default_query=endpoint.query,
        api_key="read from the environment at every request",
        max_retries=0,
        default_headers=None if urlsplit(endpoint.url).hostname == "api.openai.com" else elsewhere,
        # The SDK's default client closes itself when it is dropped, on whatever loop is running then. A redirect could carry
        # the key to another host.
        http_client=DefaultAsyncHttpxClient(follow_redirects=False),
    )


def _make_response_format(model: type) -> object:
    """Return a pydantic model as a `response_format`, in the strict form that the SDK's own `parse` sends."""
    from openai.lib._parsing._completions import type_to_response_format_param

    return type_to_response_format_param(model)


def _make_plain(answer: object) -> object:
    """Return an answer of the SDK, which does not validate the data of servers, as plain values."""
    dump = getattr(answer, "model_dump", None)
    # Pydantic warns about fields whose type a server got wrong.
    return answer if dump is None else dump(warnings=False)


def _parse_answer(body: bytes) -> Reply:
    from openai.types.chat import ChatCompletion

    data = json.loads(body)
    # Not validated, like every answer of the SDK.
    return read_reply(data, raw=ChatCompletion.construct(**data) if isinstance(data, dict) else data)


def _translate(error: Exception, request: CallRequest, within_s: float) -> RouterError:
    """Return the failure that an exception of the SDK stands for, without its message."""
    if isinstance(error, RouterError):
        return error
    if isinstance(error, TimeoutError):
        return CallError("transient", f"nothing came within {within_s:.3g} s")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return CallError("transient", f"the answer is malformed ({type(error).__name__})")
    # After the decoding errors, which are ValueErrors too.
    if isinstance(error, ValueError | TypeError):
        return InputError(_describe_unsendable(request))
    return failure_of(error, sent=list_texts(request.messages))


def _describe_unsendable(request: CallRequest) -> str:
    """Return a sentence about the parameters that cannot be sent, without their values."""
    wrong = [f"{name} ({type(value).__name__})" for name, value in request.options.items() if not _is_json(value)]
    named = ", ".join(wrong or ["the messages"])
    return f"a request must consist of values that JSON has, got others in {named}; use numbers, texts, lists and mappings"


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        return False
    return True
