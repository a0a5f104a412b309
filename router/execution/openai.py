"""Calls through the `openai` SDK, to every endpoint that speaks its protocol."""

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
    """Where a model is served. Holds no key, only the name of the environment variable that does.

    Attributes:
        base_url: Without `/chat/completions`.
        key_env: Name of the environment variable with the key, read at every request; None where no key is needed.
        model: What the server calls the model; None: as the router does.
        stream_usage: Whether to ask for the usage at the end of a stream; some servers refuse the option.

    >>> Endpoint(base_url="http://localhost:8000/v1", key_env=None, model="qwen3").model
    'qwen3'
    """

    base_url: str = OPENAI_URL
    key_env: str | None = "OPENAI_API_KEY"
    model: str | None = None
    stream_usage: bool = True


class OpenAIExecutor:
    """Makes attempts through the SDK, whose own retries are off. Thread-safe; pickles, without its connections.

    There is one client for each endpoint and event loop, made on first use and kept until it is closed here or its loop has
    ended. Synchronous calls run on an event loop in a thread of the executor: a blocking read can be given a timeout, but
    neither a deadline nor another timeout once the answer has begun.

    Args:
        endpoints: By the name that requests call them by.

    Raises:
        InputError: The SDK is not installed.

    >>> from router import Serving
    >>> local = OpenAIExecutor({"gpt-4.1-mini": Endpoint(base_url="http://localhost:8000/v1", key_env=None)})
    >>> serving = Serving(executor=local)  # for `Router.load(serving=serving)`
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        try:
            import_module("openai")  # here, since it takes a second that no call's deadline should pay
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
        """See `Executor.call`; may be called from any thread, also one whose event loop is running."""
        if request.stream:
            return self._iterate(request)
        return self._portal.run(self._answer(request))

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """See `AsyncExecutor.acall`."""
        return self._stream(request) if request.stream else await self._answer(request)

    def close(self) -> None:
        """Close the clients of synchronous calls. Calls under way fail; later ones make new clients."""
        if self._portal.is_open():
            self._portal.run(self.aclose())
            self._portal.close()

    async def aclose(self) -> None:
        """Close the clients of the running event loop, best before it ends. Calls under way fail."""
        with self._lock:
            clients = self._clients.pop(asyncio.get_running_loop(), {})
        for client in clients.values():
            await client.close()

    async def _answer(self, request: CallRequest) -> Reply:
        try:
            async with asyncio.timeout(request.timeout_s):
                answer = await self._create(request)
        except Exception as error:  # noqa: BLE001 - whatever the SDK leaks, the attempt has failed
            raise _translated(error, request.timeout_s) from None  # the SDK's error may repeat prompt and key
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
                except Exception as error:  # noqa: BLE001 - as above
                    raise _translated(error, within_s) from None
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
        chunks = self._stream(request)

        async def step() -> Chunk | None:
            return await anext(chunks, None)

        async def end() -> None:
            await chunks.aclose()

        try:
            while (chunk := self._portal.run(step())) is not None:
                yield chunk
        finally:
            self._portal.start(end())

    async def _create(self, request: CallRequest) -> object:
        """Send the request; the answer, or its head where it is a stream."""
        from openai import Timeout

        endpoint = self._endpoints.get(request.endpoint)
        if endpoint is None:
            raise InputError(f"endpoint {request.endpoint!r} is unknown; known: {', '.join(self._endpoints)}")
        options: dict[str, Any] = dict(request.options)
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
        except TypeError as error:  # of the signature: nothing has been sent
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

    # What the environment says of an organization at OpenAI is nobody else's business.
    elsewhere: dict[str, Any] = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
    return AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key="read from the environment at every request",
        max_retries=0,
        default_headers=None if endpoint.base_url == OPENAI_URL else elsewhere,
        # The SDK's own default closes itself when it is dropped, on whatever loop is running then.
        http_client=DefaultAsyncHttpxClient(),
    )


def _authorization(endpoint: Endpoint) -> str:
    if endpoint.key_env is None:
        return "Bearer none"
    key = os.environ.get(endpoint.key_env, "").strip()
    if not (key and key.isascii() and key.isprintable()):
        raise CallError("auth", f"the environment variable {endpoint.key_env} holds no key")
    return f"Bearer {key}"


def _translated(error: Exception, within_s: float) -> RouterError:
    """Tell what an exception out of the SDK means, without its message."""
    if isinstance(error, RouterError):
        return error
    if isinstance(error, TimeoutError):
        return CallError("transient", f"nothing came within {within_s:.3g} s")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return CallError("transient", f"the answer is malformed ({type(error).__name__})")
    if isinstance(error, ValueError | TypeError):
        return CallError("request", f"the request cannot be written as JSON ({type(error).__name__})")
    return failure_of(error)
