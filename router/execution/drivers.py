"""Doing what a plan says, waiting or awaiting, at once or in a stream. No decision is made here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from types import TracebackType
from typing import Self, TypeVar

from router.calls import AsyncExecutor, Chunk, Completion, Executor, Reply
from router.errors import CallError, InputError
from router.execution.steps import Ask, Command, More, Outcome, Pause, Plan

Sleep = Callable[[float], object]
AsyncSleep = Callable[[float], Awaitable[object]]
_T = TypeVar("_T")


def complete(plan: Plan, executor: Executor, *, sleep: Sleep = time.sleep) -> Completion:
    """Make a call and wait for its whole answer.

    Args:
        plan: From `plan_call`, for a call that is no stream.
        executor: Makes the attempts.
        sleep: Waits a number of seconds.

    Raises:
        ServingError: See `plan_call`.
    """
    with closing(plan):
        step = _advance(plan, None)
        while not isinstance(step, Completion):
            step = _advance(plan, _do(step, executor, sleep))
        return step


async def acomplete(plan: Plan, executor: AsyncExecutor, *, sleep: AsyncSleep = asyncio.sleep) -> Completion:
    """Make a call and await its whole answer; see `complete`. Being cancelled counts as cancelled."""
    with closing(plan):
        step = _advance(plan, None)
        while not isinstance(step, Completion):
            step = _advance(plan, await _ado(step, executor, sleep))
        return step


def stream(plan: Plan, executor: Executor, *, sleep: Sleep = time.sleep) -> CompletionStream:
    """Make a call and return its chunks; the first one has come by then, so that every fallback has been tried.

    Args:
        plan: From `plan_call`, for a call that is a stream.
        executor: Makes the attempts.
        sleep: Waits a number of seconds.

    Raises:
        ServingError: See `plan_call`.
    """
    chunks = CompletionStream(plan, executor, sleep)
    chunks._first = chunks._run()
    return chunks


async def astream(plan: Plan, executor: AsyncExecutor, *, sleep: AsyncSleep = asyncio.sleep) -> AsyncCompletionStream:
    """Make a call and return its chunks; see `stream`."""
    chunks = AsyncCompletionStream(plan, executor, sleep)
    chunks._first = await chunks._run()
    return chunks


class _Stream:
    """What both kinds of streams share."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._first: Chunk | None = None
        self._within_s = 0.0
        self._over = False
        self._completion: Completion | None = None

    @property
    def completion(self) -> Completion:
        """The whole answer and its attempts, once the stream has been read to its end.

        Raises:
            InputError: It has not been.
        """
        if self._completion is None:
            raise InputError("completion is there once the stream has been read to its end; read on, or use complete()")
        return self._completion

    def _take(self, step: More | Completion, outcome: Outcome) -> Chunk | None:
        """Return the chunk that may be handed over; None at the end."""
        if isinstance(step, Completion):
            self._completion, self._over = step, True
            return None
        self._within_s = step.within_s
        return outcome if isinstance(outcome, Chunk) else None


class CompletionStream(_Stream):
    """The chunks of an answer: an iterator and a context manager. Not to be shared by threads.

    Leaving the `with` block early, `close()` and dropping it end the request, which then counts as cancelled.
    """

    def __init__(self, plan: Plan, executor: Executor, sleep: Sleep) -> None:
        super().__init__(plan)
        self._executor, self._sleep = executor, sleep
        self._source: Iterator[Chunk] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        chunk, self._first = self._first, None
        if chunk is None and not self._over:
            chunk = self._run()
        if chunk is None:
            raise StopIteration
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the request; after its end nothing happens."""
        self._over, self._first = True, None
        self._plan.close()
        self._close_source()

    def _run(self) -> Chunk | None:
        """Do what the plan says until it hands over a chunk, or None at the end."""
        try:
            outcome = self._next()
            step = _advance(self._plan, outcome)
            while isinstance(step, Ask | Pause):
                outcome = self._do(step)
                step = _advance(self._plan, outcome)
        except BaseException:
            self.close()
            raise
        return self._take(step, outcome)

    def _do(self, step: Ask | Pause) -> Outcome:
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        self._close_source()
        try:
            self._source = _chunks(self._executor.call(step.request))
        except CallError as failure:
            return _bare(failure)
        return self._next()

    def _next(self) -> Outcome:
        if self._source is None:  # before the first attempt; None starts the plan
            return None
        try:
            return next(self._source, None)
        except CallError as failure:
            return _bare(failure)

    def _close_source(self) -> None:
        source, self._source = self._source, None
        if close := getattr(source, "close", None):
            close()


class AsyncCompletionStream(_Stream):
    """The chunks of an answer: an asynchronous iterator and context manager. Not to be shared by tasks.

    Leaving the `async with` block early, `aclose()` and dropping it end the request, which then counts as cancelled.
    """

    def __init__(self, plan: Plan, executor: AsyncExecutor, sleep: AsyncSleep) -> None:
        super().__init__(plan)
        self._executor, self._sleep = executor, sleep
        self._source: AsyncIterator[Chunk] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        chunk, self._first = self._first, None
        if chunk is None and not self._over:
            chunk = await self._run()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the request; after its end nothing happens."""
        self._over, self._first = True, None
        self._plan.close()
        await self._close_source()

    async def _run(self) -> Chunk | None:
        """Do what the plan says until it hands over a chunk, or None at the end."""
        try:
            outcome = await self._next()
            step = _advance(self._plan, outcome)
            while isinstance(step, Ask | Pause):
                outcome = await self._do(step)
                step = _advance(self._plan, outcome)
        except BaseException:
            await self.aclose()
            raise
        return self._take(step, outcome)

    async def _do(self, step: Ask | Pause) -> Outcome:
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        await self._close_source()
        return await _awaited(self._open(step), step.within_s)

    async def _open(self, ask: Ask) -> Outcome:
        self._source = _achunks(await self._executor.acall(ask.request))
        return await anext(self._source, None)

    async def _next(self) -> Outcome:
        if self._source is None:  # before the first attempt; None starts the plan
            return None
        return await _awaited(anext(self._source, None), self._within_s)

    async def _close_source(self) -> None:
        source, self._source = self._source, None
        if close := getattr(source, "aclose", None):
            await close()


def _advance(plan: Plan, outcome: Outcome) -> Command | Completion:
    try:
        return plan.send(outcome)
    except StopIteration as end:
        completion: Completion = end.value
        return completion


def _do(step: Command, executor: Executor, sleep: Sleep) -> Outcome:
    if isinstance(step, Pause):
        sleep(step.seconds)
    if not isinstance(step, Ask):
        return None
    try:
        return _reply(executor.call(step.request))
    except CallError as failure:
        return _bare(failure)


async def _ado(step: Command, executor: AsyncExecutor, sleep: AsyncSleep) -> Outcome:
    if isinstance(step, Pause):
        await sleep(step.seconds)
    if not isinstance(step, Ask):
        return None
    answer = await _awaited(executor.acall(step.request), step.within_s)
    return answer if isinstance(answer, CallError) else _reply(answer)


async def _awaited(work: Awaitable[_T], within_s: float) -> _T | CallError:
    """Await something for so many seconds; a failure is returned."""
    try:
        async with asyncio.timeout(within_s):
            return await work
    except TimeoutError:
        return CallError("transient", f"nothing came within {within_s:.3g} s")
    except CallError as failure:
        return _bare(failure)


def _reply(answer: object) -> Reply:
    if not isinstance(answer, Reply):
        raise InputError(f"an executor must answer a request with stream=False by a Reply, was {type(answer).__name__}")
    return answer


def _chunks(answer: Reply | Iterator[Chunk]) -> Iterator[Chunk]:
    if not isinstance(answer, Iterator):
        raise InputError(f"an executor must answer a request with stream=True by an iterator, was {type(answer).__name__}")
    return answer


def _achunks(answer: Reply | AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
    if not isinstance(answer, AsyncIterator):
        raise InputError(f"an executor must answer by an asynchronous iterator, was {type(answer).__name__}")
    return answer


def _bare(failure: CallError) -> CallError:
    """Strip the traceback: its frames hold the stream, which could then only be dropped by the garbage collector."""
    return failure.with_traceback(None)
