import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from router.calls import CallRequest, Chunk, Completion, Reply
from router.errors import (
    AllAttemptsFailedError,
    CallError,
    DeadlineExceededError,
    InputError,
    ServingError,
    StreamInterruptedError,
)
from router.execution import CallPolicy, FakeExecutor, acomplete, as_executor, astream, complete, stream
from tests.router.execution.fakes import PROMPT, USAGE, Fleet, RealClock

DOWN = CallError("transient", "InternalServerError 503", status=503)
REFUSED = CallError("auth", "AuthenticationError 401", status=401)
Way = Callable[[Fleet, Any], Completion]


def by_complete(fleet: Fleet, executor: Any) -> Completion:
    return complete(fleet.plan(), executor, sleep=fleet.clock.sleep)


def by_acomplete(fleet: Fleet, executor: Any) -> Completion:
    return asyncio.run(acomplete(fleet.plan(), executor, sleep=fleet.clock.asleep))


def by_stream(fleet: Fleet, executor: Any) -> Completion:
    with stream(fleet.plan(stream=True), executor, sleep=fleet.clock.sleep) as chunks:
        text = "".join(chunk.text for chunk in chunks)
        assert list(chunks) == []
    assert text == chunks.completion.text
    return chunks.completion


def by_astream(fleet: Fleet, executor: Any) -> Completion:
    async def main() -> Completion:
        async with await astream(fleet.plan(stream=True), executor, sleep=fleet.clock.asleep) as chunks:
            text = "".join([chunk.text async for chunk in chunks])
            assert [chunk async for chunk in chunks] == []
        assert text == chunks.completion.text
        return chunks.completion

    return asyncio.run(main())


in_every_way = pytest.mark.parametrize("way", [by_complete, by_acomplete, by_stream, by_astream])
streaming = pytest.mark.parametrize("way", [by_stream, by_astream])


# What a caller gets


@in_every_way
def test_the_first_target_answers(way: Way) -> None:
    fleet, executor = Fleet("a", "b"), FakeExecutor({"a": ["two words"]})
    completion = way(fleet, executor)
    assert (completion.text, completion.model, completion.finish_reason) == ("two words", "a", "stop")
    assert executor.requests[0].messages[0]["content"] == PROMPT
    assert fleet.at_rest()


@in_every_way
def test_a_scripted_reply_is_given_as_it_is(way: Way) -> None:
    completion = way(Fleet("a"), FakeExecutor({"a": [Reply(text="cut", finish_reason="length", usage=USAGE)]}))
    assert (completion.text, completion.finish_reason, completion.usage) == ("cut", "length", USAGE)


@in_every_way
def test_a_failure_falls_back_and_every_attempt_is_told(way: Way) -> None:
    fleet = Fleet("a", "b")
    completion = way(fleet, FakeExecutor({"a": [DOWN]}))
    assert completion.text == "answered by b"
    told = [(record.endpoint, record.failure, record.error) for record in completion.attempts]
    assert told == [("a", "transient", "InternalServerError 503"), ("b", None, "")]
    assert fleet.at_rest()


@in_every_way
def test_a_lone_endpoint_is_asked_again_after_the_pause(way: Way) -> None:
    fleet = Fleet("a")
    assert way(fleet, FakeExecutor({"a": [DOWN, DOWN, "at last"]})).text == "at last"
    assert fleet.clock.now == 1001.5  # 0.5 s and 1 s


@in_every_way
def test_when_every_attempt_fails_the_error_tells_them_and_chains_the_last(way: Way) -> None:
    fleet = Fleet("a", "b")
    with pytest.raises(AllAttemptsFailedError) as failed:
        way(fleet, FakeExecutor({"a": [DOWN], "b": [REFUSED]}))
    assert [record.failure for record in failed.value.attempts] == ["transient", "auth"]
    assert isinstance(failed.value.__cause__, CallError)
    assert failed.value.__cause__.status == 401
    assert fleet.at_rest()


@streaming
@pytest.mark.parametrize("cut", [[DOWN], []], ids=["failure", "no finish reason"])
def test_a_stream_that_breaks_after_its_first_chunk_tells_what_had_arrived(way: Way, cut: list[CallError]) -> None:
    fleet = Fleet("a", "b")
    with pytest.raises(StreamInterruptedError) as broken:
        way(fleet, FakeExecutor({"a": [[Chunk(text="half "), Chunk(text="of"), *cut]]}))
    assert broken.value.partial_text == "half of"
    assert fleet.failures("a") == {"transient": 1}
    assert fleet.at_rest()


@streaming
@pytest.mark.parametrize("pieces", [[DOWN], []], ids=["failure", "no chunk"])
def test_a_stream_that_breaks_before_its_first_chunk_falls_back(way: Way, pieces: Sequence[CallError]) -> None:
    fleet = Fleet("a", "b")
    completion = way(fleet, FakeExecutor({"a": [pieces]}))
    assert [(record.endpoint, record.failure) for record in completion.attempts] == [("a", "transient"), ("b", None)]


def test_a_stream_is_returned_when_its_first_chunk_has_come_and_tells_its_completion_at_the_end() -> None:
    fleet = Fleet("a", "b")
    chunks = stream(fleet.plan(stream=True), FakeExecutor({"a": [DOWN], "b": ["one two"]}))
    assert fleet.failures("a") == {"transient": 1}
    with pytest.raises(InputError, match="read to its end"):
        _ = chunks.completion
    assert [chunk.text for chunk in chunks] == ["one ", "two", ""]
    assert chunks.completion.model == "b"


# Leaving early


def endless(request: CallRequest) -> Iterator[str]:
    while True:
        yield "on and "


def test_leaving_a_stream_counts_as_cancelled_and_ends_its_source() -> None:
    fleet, ended = Fleet("a"), threading.Event()

    def watched(request: CallRequest) -> Iterator[str]:
        try:
            yield from endless(request)
        finally:
            ended.set()

    with stream(fleet.plan(stream=True), as_executor(watched)) as chunks:
        assert next(chunks).text == "on and "
        assert fleet.health("a").inflight == 1
    assert ended.is_set()
    assert list(chunks) == []
    assert fleet.failures("a") == {"cancelled": 1}
    assert fleet.at_rest()


def test_a_stream_that_is_dropped_gives_its_place_back_at_once_also_after_a_fallback() -> None:
    fleet = Fleet("a", "b")
    gc.disable()
    try:
        chunks = stream(fleet.plan(stream=True), FakeExecutor({"a": [DOWN], "b": ["one two"]}))
        assert next(chunks).text == "one "
        del chunks
        assert fleet.at_rest()
    finally:
        gc.enable()
    assert fleet.failures("b") == {"cancelled": 1}


def test_an_asynchronous_stream_that_is_left_or_dropped_gives_its_place_back() -> None:
    fleet, ended = Fleet("a"), []

    async def watched(request: CallRequest) -> AsyncIterator[str]:
        try:
            while True:
                yield "on and "
        finally:
            ended.append(request.endpoint)

    async def main() -> None:
        async with await astream(fleet.plan(stream=True), as_executor(watched)) as chunks:
            assert (await anext(chunks)).text == "on and "
        assert (fleet.at_rest(), ended) == (True, ["a"])
        dropped = await astream(fleet.plan(stream=True), as_executor(watched))
        assert not fleet.at_rest()
        del dropped
        assert fleet.at_rest()

    asyncio.run(main())
    assert fleet.failures("a") == {"cancelled": 2}
    assert ended == ["a", "a"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_cancelled_task_counts_as_cancelled(streamed: bool) -> None:
    fleet = Fleet("a", "b")

    async def never(request: CallRequest) -> str:
        await asyncio.sleep(60)
        return ""

    async def main() -> None:
        plan = fleet.plan(stream=streamed)
        call = astream(plan, as_executor(never)) if streamed else acomplete(plan, as_executor(never))
        task = asyncio.ensure_future(call)
        await asyncio.sleep(0.01)
        assert fleet.health("a").inflight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (fleet.failures("a"), fleet.failures("b")) == ({"cancelled": 1}, {})
    assert fleet.at_rest()


# Time, by the real clock


HURRIED = CallPolicy(deadline_s=2.0, first_token_s=0.1, chunk_s=0.1, answer_s=0.1)


async def late_stream(request: CallRequest) -> AsyncIterator[str]:
    await asyncio.sleep(60 if request.endpoint == "a" else 0)
    yield "four"


async def late_answer(request: CallRequest) -> str:
    await asyncio.sleep(60 if request.endpoint == "a" else 0)
    return "four"


@pytest.mark.parametrize(("way", "function"), [(by_astream, late_stream), (by_acomplete, late_answer)])
def test_an_asynchronous_attempt_that_takes_too_long_is_cancelled_and_falls_back(way: Way, function: Any) -> None:
    fleet = Fleet("a", "b", policy=HURRIED, clock=RealClock())
    began_at = time.monotonic()
    completion = way(fleet, as_executor(function))
    assert time.monotonic() - began_at < 6.0
    assert [record.failure for record in completion.attempts] == ["transient", None]


@pytest.mark.parametrize(("way", "function"), [(by_astream, late_stream), (by_acomplete, late_answer)])
def test_an_asynchronous_call_ends_at_its_deadline(way: Way, function: Any) -> None:
    fleet = Fleet("a", policy=CallPolicy(deadline_s=0.2), clock=RealClock())
    began_at = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        way(fleet, as_executor(function))
    assert 0.19 < time.monotonic() - began_at < 6.0
    assert fleet.failures("a") == {"cancelled": 1}


def test_an_asynchronous_stream_that_stalls_is_interrupted() -> None:
    async def stalls(request: CallRequest) -> AsyncIterator[str]:
        yield "half"
        await asyncio.sleep(60)

    fleet = Fleet("a", policy=HURRIED, clock=RealClock())
    began_at = time.monotonic()
    with pytest.raises(StreamInterruptedError, match=r"within 0\.1 s") as broken:
        by_astream(fleet, as_executor(stalls))
    assert time.monotonic() - began_at < 6.0
    assert broken.value.partial_text == "half"


# Functions as executors


@in_every_way
@pytest.mark.parametrize("answer", ["four", Reply(text="four"), Reply(text="four", finish_reason="length")])
def test_a_function_answers_with_a_text_or_a_reply_in_every_way(way: Way, answer: str | Reply) -> None:
    async def coroutine(request: CallRequest) -> str | Reply:
        return answer

    assert way(Fleet("a"), as_executor(lambda _: answer)).text == "four"
    if way in (by_acomplete, by_astream):
        assert way(Fleet("a"), as_executor(coroutine)).text == "four"


@streaming
def test_a_stream_of_texts_ends_well_and_one_of_chunks_has_to_say_so(way: Way) -> None:
    assert way(Fleet("a"), as_executor(lambda _: iter(["fo", "ur"]))).text == "four"
    with pytest.raises(StreamInterruptedError):
        way(Fleet("a"), as_executor(lambda _: iter([Chunk(text="fo")])))


class HttpError(Exception):
    """As HTTP clients raise them."""

    def __init__(self, status_code: int, **headers: str) -> None:
        self.status_code = status_code
        self.response = type("Response", (), {"headers": {k.replace("_", "-"): v for k, v in headers.items()}})
        super().__init__(PROMPT)


@in_every_way
@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (HttpError(503), "transient", "HttpError 503"),
        (HttpError(401), "auth", "HttpError 401"),
        (KeyError(PROMPT), "transient", "KeyError"),
        (TimeoutError(), "transient", "TimeoutError"),
        (CallError("rate_limit", "slow down"), "rate_limit", "slow down"),
    ],
)
def test_what_a_function_raises_is_a_failure_by_its_status(way: Way, error: Exception, kind: str, told: str) -> None:
    def function(request: CallRequest) -> str:
        if request.endpoint == "a":
            raise error
        return "four"

    completion = way(Fleet("a", "b"), as_executor(function))
    assert [(record.failure, record.error) for record in completion.attempts] == [(kind, told), (None, "")]


def test_what_a_stream_of_a_function_raises_is_a_failure_too() -> None:
    def function(request: CallRequest) -> Iterator[str]:
        if request.stream:
            raise HttpError(429, Retry_After="9")
        yield "four"

    with pytest.raises(AllAttemptsFailedError) as failed:
        by_stream(Fleet("a", policy=CallPolicy(deadline_s=5)), as_executor(function))
    assert isinstance(failed.value.__cause__, CallError)
    assert (failed.value.__cause__.kind, failed.value.__cause__.retry_after_s) == ("rate_limit", 9.0)


@pytest.mark.parametrize("way", [by_acomplete, by_astream])
def test_synchronous_functions_do_not_block_the_event_loop(way: Way) -> None:
    both_inside = threading.Barrier(2, timeout=10)

    def function(request: CallRequest) -> str:
        both_inside.wait()
        return "four"

    async def main() -> list[Completion]:
        fleet, executor = Fleet("a"), as_executor(function)
        return await asyncio.gather(*(acomplete(fleet.plan(), executor) for _ in range(2)))

    assert [completion.text for completion in asyncio.run(main())] == ["four", "four"]


class AsyncCallable:
    async def __call__(self, _: CallRequest) -> str:
        return "four"


@pytest.mark.parametrize("function", [late_answer, late_stream, partial(late_answer), AsyncCallable()])
def test_an_asynchronous_function_serves_asynchronous_calls_alone(function: Any) -> None:
    executor = as_executor(function)
    assert not hasattr(executor, "call")
    assert by_astream(Fleet("b"), executor).text == "four"


@in_every_way
def test_a_wrong_kind_of_answer_is_told_and_not_held_against_the_endpoint(way: Way) -> None:
    fleet = Fleet("a")
    with pytest.raises(InputError, match="was int"):
        way(fleet, as_executor(lambda request: iter([4]) if request.stream else 4))  # type: ignore[arg-type,return-value]
    assert fleet.failures("a") == {"cancelled": 1}
    assert fleet.at_rest()


class Wrong:
    """An executor that answers neither request as it should."""

    def call(self, _: CallRequest, /) -> Any:
        return "four"

    async def acall(self, _: CallRequest, /) -> Any:
        return "four"


@in_every_way
def test_an_executor_that_breaks_the_protocol_is_told_so(way: Way) -> None:
    with pytest.raises(InputError, match="an executor must answer"):
        way(Fleet("a"), Wrong())


# All together


def test_many_threads_and_tasks_leave_nothing_in_flight() -> None:
    fleet = Fleet("a", "b", "c", policy=CallPolicy(extra_attempts=1000))
    script: dict[str, list[Any]] = {"a": [DOWN, "one two"] * 200, "b": ["one", [Chunk(text="x"), DOWN]] * 200}
    executor = FakeExecutor(script)

    def once(i: int) -> str:
        way = [by_complete, by_acomplete, by_stream, by_astream][i % 4]
        try:
            return way(fleet, executor).text
        except ServingError as refused:
            return type(refused).__name__

    with ThreadPoolExecutor(16) as pool:
        texts = set(pool.map(once, range(200)))
    assert texts <= {"one", "one two", "answered by c", "StreamInterruptedError"}
    assert fleet.at_rest()
    health = fleet.live.snapshot().values()
    assert sum(h.completed + sum(h.failures.values()) for h in health) == len(executor.requests)


def test_importing_the_package_imports_no_sdk() -> None:
    code = "import sys, router.execution; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
