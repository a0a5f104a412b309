"""Take a plan and an asynchronous executor and return the answer, whole or as a stream. Every decision is the plan's."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from types import TracebackType
from typing import Self, TypeVar

from router.calls import AsyncExecutor, Chunk, Completion, Reply
from router.errors import CallError, InputError
from router.execution.driver_base import BaseStream, check_reply, drop_traceback
from router.execution.steps import Ask, Command, Evaluate, Give, Hold, More, Opinion, Outcome, Pause, Plan, advance

AsyncSleep = Callable[[float], Awaitable[object]]
_T = TypeVar("_T")


async def acomplete(plan: Plan, executor: AsyncExecutor, *, sleep: AsyncSleep = asyncio.sleep) -> Completion:
    """Make a call and return its whole answer. If the task is cancelled, the attempt counts as cancelled.

    Args:
        plan: From `plan_call`, for a call that is no stream.
        executor: Makes the attempts.
        sleep: Waits a number of seconds.

    Raises:
        ServingError: See `plan_call`.
    """
    with closing(plan):
        step = advance(plan, None)
        while not isinstance(step, Completion):
            step = advance(plan, await _perform(step, executor, sleep))
        return step


async def astream(plan: Plan, executor: AsyncExecutor, *, sleep: AsyncSleep = asyncio.sleep) -> AsyncCompletionStream:
    """Make a call and return its chunks. By then the first chunk has come, so that all fallbacks have been tried.

    Args:
        plan: From `plan_call`, for a call that is a stream.
        executor: Makes the attempts.
        sleep: Waits a number of seconds.

    Raises:
        ServingError: See `plan_call`.
    """
    chunks = AsyncCompletionStream(plan, executor, sleep)
    chunks._first = await chunks._run()
    return chunks


class AsyncCompletionStream(BaseStream):
    """The chunks of an answer: an asynchronous iterator and context manager. Use it in one task only.

    Leaving the `async with` block early, `aclose()` and dropping the stream end the request, which then counts as cancelled.

    Args:
        plan: Plan of the call.
        executor: Makes the attempts.
        sleep: Waits a number of seconds.

    >>> from router import FakeExecutor, Router, Serving
    >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["Tea, please."]})))
    >>> async def ask() -> list[str]:
    ...     async with await router.acomplete("coffee or tea?", allowed={"gpt-5.5"}, stream=True) as chunks:
    ...         return [chunk.text async for chunk in chunks]
    >>> asyncio.run(ask())
    ['Tea, ', 'please.', '']
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
        """End the request. After the end of the stream this does nothing."""
        self._over, self._first = True, None
        self._plan.close()
        await self._close_source()

    async def _run(self) -> Chunk | None:
        """Perform the plan's commands until it releases a chunk. Return None at the end."""
        try:
            outcome = await self._next()
            step = advance(self._plan, outcome)
            while not isinstance(step, More | Give | Completion):
                outcome = await self._perform(step)
                step = advance(self._plan, outcome)
        except BaseException:
            await self.aclose()
            raise
        if isinstance(step, Give):
            # The held stream has been read to its end.
            await self._close_source()
        return self._take(step, outcome)

    async def _perform(self, step: Ask | Pause | Hold | Evaluate) -> Outcome:
        if isinstance(step, Hold):
            self._within_s = step.within_s
            return await self._next()
        # A check of an answer asks for a whole reply.
        if not (isinstance(step, Ask) and step.request.stream):
            return await _perform(step, self._executor, self._sleep)
        # The stream of a failed attempt must not stay open while the next attempt runs.
        await self._close_source()
        return await _await_within(self._open(step), step.within_s)

    async def _open(self, ask: Ask) -> Outcome:
        self._source = _check_chunks(await self._executor.acall(ask.request))
        return await anext(self._source, None)

    async def _next(self) -> Outcome:
        # Before the first attempt there is no source. None starts the plan.
        if self._source is None:
            return None
        return await _await_within(anext(self._source, None), self._within_s)

    async def _close_source(self) -> None:
        source, self._source = self._source, None
        if close := getattr(source, "aclose", None):
            await close()


async def _perform(step: Command, executor: AsyncExecutor, sleep: AsyncSleep) -> Outcome:
    if isinstance(step, Pause):
        await sleep(step.seconds)
    if isinstance(step, Evaluate):
        return await _await_within(_evaluate(step), step.within_s)
    if not isinstance(step, Ask):
        return None
    answer = await _await_within(executor.acall(step.request), step.within_s)
    return answer if isinstance(answer, CallError) else check_reply(answer)


async def _evaluate(step: Evaluate) -> Opinion:
    # A function that blocks, such as one that runs tests, must not hold up the event loop.
    is_plain = not inspect.iscoroutinefunction(step.function)
    value = await asyncio.to_thread(step.function, step.reply) if is_plain else step.function(step.reply)
    return Opinion(await value if inspect.isawaitable(value) else value)


async def _await_within(work: Awaitable[_T], within_s: float) -> _T | CallError:
    """Await something for at most so many seconds. A failure is returned, not raised."""
    # Executors have time limits too, but one that ignores them must not hold the caller beyond the deadline.
    try:
        async with asyncio.timeout(within_s):
            return await work
    except TimeoutError:
        return CallError("transient", f"nothing came within {within_s:.3g} s")
    except CallError as failure:
        return drop_traceback(failure)


def _check_chunks(answer: Reply | AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
    if not isinstance(answer, AsyncIterator):
        raise InputError(f"an executor must answer with an asynchronous iterator, got {type(answer).__name__}")
    return answer
