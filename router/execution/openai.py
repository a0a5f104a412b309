"""Take requests and return replies and chunks, through the `openai` SDK and any endpoint that speaks its protocol."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from router.calls import CallRequest, Chunk, Reply
from router.errors import CallError, InputError, RouterError
from router.execution.answers import read_chunk, read_reply
from router.execution.failures import failure_of
from router.execution.portal import Portal

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Address of a model. It contains no key, only the name of an environment variable.

    Attributes:
        base_url: URL without `/chat/completions`.
        key_env: Name of the environment variable with the key, read at every request. None if no key is needed.
        model: Name of the model at the server. None: the router's name.
        stream_usage: Whether to request the usage at the end of a stream. Some servers refuse the option.

    >>> Endpoint(base_url="http://localhost:8000/v1", key_env=None, model="qwen3").model
    'qwen3'
    """

    base_url: str = OPENAI_URL
    key_env: str | None = "OPENAI_API_KEY"
    model: str | None = None
    stream_usage: bool = True


class OpenAIExecutor:
    """Makes attempts through the SDK, whose own retries are off. Thread-safe. It pickles without its connections.

    Each pair of endpoint and event loop has one client. It is created on first use and kept until `close` or `aclose`, or
    until its loop has ended.

    Synchronous calls run on an event loop in a thread of the executor. A blocking read can have a timeout, but it can have
    neither a deadline nor another timeout once the answer has begun.

    Args:
        endpoints: Address of each endpoint, by the name that requests use.

    Raises:
        InputError: If the SDK is not installed.

    >>> from router import Serving
    >>> local = OpenAIExecutor({"gpt-4.1-mini": Endpoint(base_url="http://localhost:8000/v1", key_env=None)})
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
        self._endpoints = dict(endpoints)
        self._lock = threading.Lock()
        self._clients: dict[asyncio.AbstractEventLoop, dict[str, AsyncOpenAI]] = {}
        self._portal = Portal()

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
        except Exception as error:  # noqa: BLE001 - whatever leaves the SDK, the attempt has failed
            # `from None`, because the SDK's error may contain the prompt and the key.
            raise _translate(error, request.timeout_s) from None
        return read_reply(answer)

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
                    raise _translate(error, within_s) from None
                if chunk is None:
                    return
                yield chunk
                within_s = request.chunk_timeout_s

    async def _chunks(self, request: CallRequest) -> AsyncGenerator[Chunk, None]:
        events: Any = await self._create(request)
        async with events:
            async for event in events:
                if (chunk := read_chunk(event)) is not None:
                    yield chunk

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
        from openai import Timeout

        endpoint = self._endpoints.get(request.endpoint)
        if endpoint is None:
            raise InputError(f"endpoint {request.endpoint!r} is unknown; known: {', '.join(self._endpoints)}")
        options: dict[str, Any] = dict(request.options)
        # The key goes into each request, because a client outlives a change of the environment variable.
        options["extra_headers"] = {**(options.get("extra_headers") or {}), "Authorization": _authorization(endpoint)}
        if request.stream and endpoint.stream_usage:
            options.setdefault("stream_options", {"include_usage": True})
        create: Any = self._client(request.endpoint, endpoint).chat.completions.create  # its overloads take no mappings
        try:
            pending = create(
                model=endpoint.model or request.model,
                messages=request.messages,
                stream=request.stream,
                timeout=Timeout(request.timeout_s, connect=request.connect_timeout_s),
                **options,
            )
        except TypeError as error:
            # The arguments do not fit the signature: nothing has been sent.
            raise InputError(f"options must be arguments of the SDK's chat.completions.create(): {error}") from error
        answer: object = await pending
        return answer

    def _client(self, name: str, endpoint: Endpoint) -> AsyncOpenAI:
        loop = asyncio.get_running_loop()
        with self._lock:
            for ended in [other for other in self._clients if other.is_closed()]:
                del self._clients[ended]
            clients = self._clients.setdefault(loop, {})
            if name not in clients:
                clients[name] = _make_client(endpoint)
            return clients[name]


def _make_client(endpoint: Endpoint) -> AsyncOpenAI:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Omit

    # The SDK reads the user's organization at OpenAI from the environment. No other server should receive it.
    elsewhere: dict[str, Any] = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
    return AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key="read from the environment at every request",
        max_retries=0,
        default_headers=None if endpoint.base_url == OPENAI_URL else elsewhere,
        # The SDK's default client closes itself when it is dropped, on whatever loop is running then.
        http_client=DefaultAsyncHttpxClient(),
    )


def _authorization(endpoint: Endpoint) -> str:
    if endpoint.key_env is None:
        return "Bearer none"
    key = os.environ.get(endpoint.key_env, "").strip()
    # Other characters cannot stand in a header. httpx would raise an error that contains the key.
    if not (key and key.isascii() and key.isprintable()):
        raise CallError("auth", f"the environment variable {endpoint.key_env} holds no key")
    return f"Bearer {key}"


def _translate(error: Exception, within_s: float) -> RouterError:
    """Return the failure that an exception of the SDK stands for, without its message."""
    if isinstance(error, RouterError):
        return error
    if isinstance(error, TimeoutError):
        return CallError("transient", f"nothing came within {within_s:.3g} s")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return CallError("transient", f"the answer is malformed ({type(error).__name__})")
    # After the decoding errors, which are ValueErrors too.
    if isinstance(error, ValueError | TypeError):
        return CallError("request", f"the request cannot be written as JSON ({type(error).__name__})")
    return failure_of(error)
