"""Functions as executors, and an executor that answers from a script."""

from __future__ import annotations

import asyncio
import inspect
import re
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import cast, overload

from router.calls import CallRequest, Chunk, Reply, Usage
from router.errors import CallError, InputError, RouterError
from router.execution.failures import failure_of

# What a function may return: the answer, or for `request.stream` its pieces.
Answer = str | Reply | Iterable[str | Chunk]
AsyncAnswer = str | Reply | AsyncIterable[str | Chunk]
Function = Callable[[CallRequest], Answer]
AsyncFunction = Callable[[CallRequest], Awaitable[AsyncAnswer] | AsyncIterable[str | Chunk]]
# What a scripted executor does once: answer, fail, or stream pieces that may end in a failure.
Act = str | Reply | CallError | Sequence[str | Chunk | CallError]


@overload
def as_executor(function: AsyncFunction) -> AsyncFunctionExecutor: ...
@overload
def as_executor(function: Function) -> FunctionExecutor: ...
def as_executor(function: Function | AsyncFunction) -> FunctionExecutor | AsyncFunctionExecutor:
    """Make an executor of a function that takes a `CallRequest`.

    A synchronous function serves both ways, in another thread where it is awaited; a coroutine function or an asynchronous
    generator function serves `acomplete` and `astream` alone. A stream of `str`, not empty, is complete when it ends; one
    of `Chunk` has to tell a finish reason. Whatever it raises is a failure of the attempt: a `CallError` tells its class
    itself, another exception by its `status_code` (or that of its `response`), and otherwise it is transient.

    Args:
        function: Returns a text or a reply; for `request.stream` it may return an iterable of texts or chunks instead.
    """
    body = function if inspect.isroutine(function) or isinstance(function, partial) else type(function).__call__
    if inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body):
        return AsyncFunctionExecutor(cast("AsyncFunction", function))
    return FunctionExecutor(cast("Function", function))


class FunctionExecutor:
    """Serves both ways from a synchronous function; see `as_executor`."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def call(self, request: CallRequest, /) -> Reply | Iterator[Chunk]:
        """See `Executor.call`."""
        with _classified():
            answer = self._function(request)
        if not request.stream:
            return _reply(answer)
        return _chunks([_last_chunk(_reply(answer))] if isinstance(answer, str | Reply) else answer)

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """See `AsyncExecutor.acall`."""
        answer = await asyncio.to_thread(self.call, request)
        return answer if isinstance(answer, Reply) else _in_threads(answer)


class AsyncFunctionExecutor:
    """Serves `acomplete` and `astream` from an asynchronous function; see `as_executor`."""

    def __init__(self, function: AsyncFunction) -> None:
        self._function = function

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """See `AsyncExecutor.acall`."""
        with _classified():
            begun = self._function(request)
            answer = await begun if isinstance(begun, Awaitable) else begun
        if not request.stream:
            return _reply(answer)
        return _achunks(_alone(_last_chunk(_reply(answer))) if isinstance(answer, str | Reply) else answer)


class FakeExecutor:
    """Answers both ways from a script, without a network or a key. Thread-safe.

    Args:
        script: By endpoint, what it does at each request in turn; the last act again and again. An endpoint that is missing
            answers with its model's name.

    Attributes:
        requests: What was asked, in order.

    >>> from router import Router, Serving
    >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["first", "second"]})))
    >>> [router.complete("hello", allowed={"gpt-5.5"}).text for _ in range(3)]
    ['first', 'second', 'second']
    """

    def __init__(self, script: Mapping[str, Sequence[Act]] | None = None) -> None:
        self._script = {endpoint: list(acts) for endpoint, acts in (script or {}).items()}
        self._lock = threading.Lock()
        self.requests: list[CallRequest] = []

    def call(self, request: CallRequest, /) -> Reply | Iterator[Chunk]:
        """See `Executor.call`."""
        act = self._next_act(request)
        if isinstance(act, CallError):
            raise act
        if request.stream:
            return _chunks(_pieces(act))
        return act if isinstance(act, Reply) else _joined(list(_chunks(_pieces(act))))

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """See `AsyncExecutor.acall`."""
        answer = self.call(request)
        return answer if isinstance(answer, Reply) else _one_by_one(answer)

    def _next_act(self, request: CallRequest) -> Act:
        with self._lock:
            before = sum(asked.endpoint == request.endpoint for asked in self.requests)
            self.requests.append(request)
        acts = self._script.get(request.endpoint) or [f"answered by {request.model}"]
        return acts[min(before, len(acts) - 1)]


@contextmanager
def _classified() -> Iterator[None]:
    """Make failures of what a user's function raises, which may be anything."""
    try:
        yield
    except RouterError:
        raise
    except Exception as error:
        raise failure_of(error) from error


def _pieces(act: str | Reply | Sequence[str | Chunk | CallError]) -> Iterator[str | Chunk]:
    """Play an act as a stream; a text comes word by word."""
    if isinstance(act, str):
        yield from re.findall(r"\s*\S+\s*", act)
    elif isinstance(act, Reply):
        yield _last_chunk(act)
    else:
        for piece in act:
            if isinstance(piece, CallError):
                raise piece
            yield piece


def _reply(answer: object) -> Reply:
    if isinstance(answer, str):
        return Reply(text=answer, finish_reason="stop", raw=answer)
    if not isinstance(answer, Reply):
        raise InputError(f"a function must answer with a str or a Reply where stream=False, was {type(answer).__name__}")
    return answer


def _joined(chunks: Sequence[Chunk]) -> Reply:
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    reasons = [chunk.finish_reason for chunk in chunks if chunk.finish_reason is not None]
    return Reply(
        text="".join(chunk.text for chunk in chunks),
        finish_reason=reasons[-1] if reasons else None,
        usage=usages[-1] if usages else Usage(),
    )


def _last_chunk(reply: Reply) -> Chunk:
    return Chunk(text=reply.text, finish_reason=reply.finish_reason or "stop", usage=reply.usage, raw=reply.raw)


def _chunks(pieces: Iterable[str | Chunk]) -> Iterator[Chunk]:
    """Make chunks of what a function yields, and failures of what it raises."""
    all_text = None
    with _classified():
        for piece in pieces:
            all_text = all_text is not False and isinstance(piece, str)
            yield _chunk(piece)
    if all_text:
        yield Chunk(text="", finish_reason="stop")


async def _achunks(pieces: AsyncIterable[str | Chunk]) -> AsyncIterator[Chunk]:
    all_text = None
    try:
        with _classified():
            async for piece in pieces:
                all_text = all_text is not False and isinstance(piece, str)
                yield _chunk(piece)
    finally:
        if close := getattr(pieces, "aclose", None):
            await close()
    if all_text:
        yield Chunk(text="", finish_reason="stop")


def _chunk(piece: object) -> Chunk:
    if isinstance(piece, str):
        return Chunk(text=piece, raw=piece)
    if not isinstance(piece, Chunk):
        raise InputError(f"a stream must consist of str or Chunk, was {type(piece).__name__}")
    return piece


async def _in_threads(chunks: Iterator[Chunk]) -> AsyncIterator[Chunk]:
    """Iterate in other threads, so that the event loop goes on meanwhile."""
    try:
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk
    finally:
        # After a timeout its thread may still be inside; then it ends when that thread lets go of it.
        with suppress(ValueError):
            getattr(chunks, "close", lambda: None)()


async def _one_by_one(chunks: Iterator[Chunk]) -> AsyncIterator[Chunk]:
    for chunk in chunks:
        yield chunk


async def _alone(chunk: Chunk) -> AsyncIterator[Chunk]:
    yield chunk
