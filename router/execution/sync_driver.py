"""Take a plan and a synchronous executor and return the answer, whole or as a stream. Every decision is the plan's."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from types import TracebackType
from typing import Self

from router.calls import Chunk, Completion, Executor, Reply
from router.errors import CallError, InputError
from router.execution.driver_base import BaseStream, check_reply, drop_traceback
from router.execution.steps import Ask, Command, Evaluate, Give, Hold, More, Opinion, Outcome, Pause, Plan, advance

Sleep = Callable[[float], object]


def complete(plan: Plan, executor: Executor, *, sleep: Sleep = time.sleep) -> Completion:
    """Make a call and return its whole answer.

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
            step = advance(plan, _perform(step, executor, sleep))
        return step


def stream(plan: Plan, executor: Executor, *, sleep: Sleep = time.sleep) -> CompletionStream:
    """Make a call and return its chunks. By then the first chunk has come, so that all fallbacks have been tried.

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


class CompletionStream(BaseStream):
    """The chunks of an answer: an iterator and a context manager. Use it in one thread only.

    Leaving the `with` block early, `close()` and dropping the stream end the request, which then counts as cancelled.

    Args:
        plan: Plan of the call.
        executor: Makes the attempts.
        sleep: Waits a number of seconds.

    >>> from router import FakeExecutor, Router, Serving
    >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["Tea, please."]})))
    >>> with router.complete("coffee or tea?", allowed={"gpt-5.5"}, stream=True) as chunks:
    ...     [chunk.text for chunk in chunks]
    ['Tea, ', 'please.', '']
    >>> chunks.completion.text
    'Tea, please.'
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
        """End the request. After the end of the stream this does nothing."""
        self._over, self._first = True, None
        self._plan.close()
        self._close_source()

    def _run(self) -> Chunk | None:
        """Perform the plan's commands until it releases a chunk. Return None at the end."""
        try:
            outcome = self._next()
            step = advance(self._plan, outcome)
            while not isinstance(step, More | Give | Completion):
                outcome = self._perform(step)
                step = advance(self._plan, outcome)
        except BaseException:
            self.close()
            raise
        if isinstance(step, Give):
            # The held stream has been read to its end.
            self._close_source()
        return self._take(step, outcome)

    def _perform(self, step: Ask | Pause | Hold | Evaluate) -> Outcome:
        if isinstance(step, Hold):
            return self._next()
        # A check of an answer asks for a whole reply.
        if not (isinstance(step, Ask) and step.request.stream):
            return _perform(step, self._executor, self._sleep)
        # The stream of a failed attempt must not stay open while the next attempt runs.
        self._close_source()
        try:
            self._source = _check_chunks(self._executor.call(step.request))
        except CallError as failure:
            return drop_traceback(failure)
        return self._next()

    def _next(self) -> Outcome:
        # Before the first attempt there is no source. None starts the plan.
        if self._source is None:
            return None
        try:
            return next(self._source, None)
        except CallError as failure:
            return drop_traceback(failure)

    def _close_source(self) -> None:
        source, self._source = self._source, None
        if close := getattr(source, "close", None):
            close()


def _perform(step: Command, executor: Executor, sleep: Sleep) -> Outcome:
    if isinstance(step, Pause):
        sleep(step.seconds)
    if isinstance(step, Evaluate):
        return _evaluate(step)
    if not isinstance(step, Ask):
        return None
    # A blocking call cannot be given a time limit from outside: the executor keeps to the times in the request.
    try:
        return check_reply(executor.call(step.request))
    except CallError as failure:
        return drop_traceback(failure)


def _evaluate(step: Evaluate) -> Opinion:
    value = step.function(step.reply)
    if isinstance(value, Coroutine):
        value.close()
    if inspect.isawaitable(value):
        raise InputError("the verifier is asynchronous, and complete() cannot wait for it; await acomplete()")
    return Opinion(value)


def _check_chunks(answer: Reply | Iterator[Chunk]) -> Iterator[Chunk]:
    if not isinstance(answer, Iterator):
        raise InputError(f"an executor must answer a request with stream=True with an iterator, got {type(answer).__name__}")
    return answer
