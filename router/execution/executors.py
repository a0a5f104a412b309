"""Take a function of a `CallRequest` and return an executor."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import cast, overload

from router.calls import CallRequest, Chunk, Reply
from router.execution.conversion import (
    errors_as_failures,
    make_async_chunks,
    make_chunks,
    make_reply,
    make_single_chunk,
)

# What a function may return: the answer, or its pieces if `request.stream` is true.
Answer = str | Reply | Iterable[str | Chunk]
AsyncAnswer = str | Reply | AsyncIterable[str | Chunk]
Function = Callable[[CallRequest], Answer]
AsyncFunction = Callable[[CallRequest], Awaitable[AsyncAnswer] | AsyncIterable[str | Chunk]]


@overload
def as_executor(function: AsyncFunction) -> AsyncFunctionExecutor: ...
@overload
def as_executor(function: Function) -> FunctionExecutor: ...
def as_executor(function: Function | AsyncFunction) -> FunctionExecutor | AsyncFunctionExecutor:
    """Return an executor that calls a function with each `CallRequest`.

    A synchronous function serves all four ways of calling. If it is awaited, it runs in another thread. A coroutine function
    and an asynchronous generator function serve `acomplete` and `astream` only.

    A stream of `str` that is not empty is complete when it ends. A stream of `Chunk` must contain a finish reason.

    An exception of the function is a failure of the attempt. A `CallError` names its class itself. Another exception is
    classified by its message, its `status_code` and its `response`. Without a status it is transient. Python's own
    exceptions for a mistake in the code, such as `KeyError` and `TypeError`, are raised as they are.

    Args:
        function: Returns a text or a reply. If `request.stream` is true, it may return an iterable of texts or chunks.

    >>> from router import Router, Serving
    >>> executor = as_executor(lambda request: f"{request.model} says hello")
    >>> Router.load(serving=Serving(executor=executor)).complete("hello", allowed={"gpt-5.5"}).text
    'gpt-5.5 says hello'
    """
    # The call method of a callable object may be a coroutine function although the object is none.
    body = function if inspect.isroutine(function) or isinstance(function, partial) else type(function).__call__
    if inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body):
        return AsyncFunctionExecutor(cast("AsyncFunction", function))
    return FunctionExecutor(cast("Function", function))


class FunctionExecutor:
    """Calls a synchronous function, from synchronous and asynchronous code. See `as_executor`."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def call(self, request: CallRequest, /) -> Reply | Iterator[Chunk]:
        """Make an attempt. See `Executor.call`."""
        with errors_as_failures():
            answer = self._function(request)
        if not request.stream:
            return make_reply(answer)
        return make_chunks([make_single_chunk(make_reply(answer))] if isinstance(answer, str | Reply) else answer)

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """Make an attempt in another thread. See `AsyncExecutor.acall`."""
        answer = await asyncio.to_thread(self.call, request)
        return answer if isinstance(answer, Reply) else _iterate_in_threads(answer)


class AsyncFunctionExecutor:
    """Calls an asynchronous function, from asynchronous code only. See `as_executor`."""

    def __init__(self, function: AsyncFunction) -> None:
        self._function = function

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """Make an attempt. See `AsyncExecutor.acall`."""
        with errors_as_failures():
            # A coroutine function returns an awaitable, an asynchronous generator function the stream itself.
            begun = self._function(request)
            answer = await begun if isinstance(begun, Awaitable) else begun
        if not request.stream:
            return make_reply(answer)
        if isinstance(answer, str | Reply):
            answer = _yield_once(make_single_chunk(make_reply(answer)))
        return make_async_chunks(answer)


async def _iterate_in_threads(chunks: Iterator[Chunk]) -> AsyncIterator[Chunk]:
    """Iterate in other threads, so that the event loop is not blocked."""
    try:
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk
    finally:
        # After a timeout a thread may still run inside the generator, which cannot be closed then (ValueError). It ends when
        # that thread drops it.
        with suppress(ValueError):
            getattr(chunks, "close", lambda: None)()


async def _yield_once(chunk: Chunk) -> AsyncIterator[Chunk]:
    yield chunk
