"""All four ways of carrying out a plan."""

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from router.calls import CallRequest, Chunk
from router.errors import (
    AllAttemptsFailedError,
    CallError,
    DeadlineExceededError,
    InputError,
    ServingError,
    StreamInterruptedError,
)
from router.execution.async_driver import acomplete, astream
from router.execution.executors import as_executor
from router.execution.fake import FakeExecutor
from router.execution.policy import CallPolicy
from router.execution.sync_driver import stream
from tests.router.execution.fakes import PROMPT, FakeEndpoints, SimulatedClock
from tests.router.execution.ways import Way, by_acomplete, by_astream, by_complete, by_stream, in_every_way, streaming

DOWN = CallError("transient", "InternalServerError 503", status=503)


REFUSED = CallError("auth", "AuthenticationError 401", status=401)


@in_every_way
def test_the_first_target_answers(way: Way) -> None:
    endpoints, executor = FakeEndpoints("a", "b"), FakeExecutor({"a": ["two words"]})
    completion = way(endpoints, executor)
    assert (completion.text, completion.model, completion.finish_reason) == ("two words", "a", "stop")
    assert executor.requests[0].messages[0]["content"] == PROMPT
    assert endpoints.at_rest()


@in_every_way
def test_a_failure_falls_back_and_every_attempt_is_recorded(way: Way) -> None:
    endpoints = FakeEndpoints("a", "b")
    completion = way(endpoints, FakeExecutor({"a": [DOWN]}))
    assert completion.text == "answered by b"
    attempts = [(record.endpoint, record.failure, record.error) for record in completion.attempts]
    assert attempts == [("a", "transient", "InternalServerError 503"), ("b", None, "")]
    assert endpoints.at_rest()


@in_every_way
def test_a_lone_endpoint_is_asked_again_after_the_pause(way: Way) -> None:
    endpoints = FakeEndpoints("a")
    assert way(endpoints, FakeExecutor({"a": [DOWN, DOWN, "at last"]})).text == "at last"
    assert endpoints.clock.now == 1001.5  # 0.5 s and 1 s


@in_every_way
def test_when_every_attempt_fails_the_error_lists_them_and_chains_the_last(way: Way) -> None:
    endpoints = FakeEndpoints("a", "b")
    with pytest.raises(AllAttemptsFailedError) as failed:
        way(endpoints, FakeExecutor({"a": [DOWN], "b": [REFUSED]}))
    # The refused key does no work and does not count: three attempts remain for the other endpoint.
    assert [record.failure for record in failed.value.attempts] == ["transient", "auth", "transient", "transient"]
    assert isinstance(failed.value.__cause__, CallError)
    assert failed.value.failure is failed.value.__cause__
    assert failed.value.status == 503
    assert endpoints.at_rest()


@streaming
@pytest.mark.parametrize("cut", [[DOWN], []], ids=["failure", "no finish reason"])
def test_a_stream_that_breaks_after_its_first_chunk_raises_the_partial_text(way: Way, cut: list[CallError]) -> None:
    endpoints = FakeEndpoints("a", "b")
    with pytest.raises(StreamInterruptedError) as broken:
        way(endpoints, FakeExecutor({"a": [[Chunk(text="half "), Chunk(text="of"), *cut]]}))
    assert broken.value.partial_text == "half of"
    assert endpoints.failures("a") == {"transient": 1}
    assert endpoints.at_rest()


@streaming
@pytest.mark.parametrize("pieces", [[DOWN], []], ids=["failure", "no chunk"])
def test_a_stream_that_breaks_before_its_first_chunk_falls_back(way: Way, pieces: Sequence[CallError]) -> None:
    endpoints = FakeEndpoints("a", "b")
    completion = way(endpoints, FakeExecutor({"a": [pieces]}))
    assert [(record.endpoint, record.failure) for record in completion.attempts] == [("a", "transient"), ("b", None)]


def test_a_stream_is_returned_after_its_first_chunk_and_has_its_completion_at_the_end() -> None:
    endpoints = FakeEndpoints("a", "b")
    chunks = stream(endpoints.plan(stream=True), FakeExecutor({"a": [DOWN], "b": ["one two"]}))
    assert endpoints.failures("a") == {"transient": 1}
    with pytest.raises(InputError, match="read to its end"):
        _ = chunks.completion
    assert [chunk.text for chunk in chunks] == ["one ", "two", ""]
    assert chunks.completion.model == "b"


def endless(request: CallRequest) -> Iterator[str]:
    while True:
        yield "on and "


def test_leaving_a_stream_counts_as_cancelled_and_ends_its_source() -> None:
    endpoints, ended = FakeEndpoints("a"), threading.Event()

    def watched(request: CallRequest) -> Iterator[str]:
        try:
            yield from endless(request)
        finally:
            ended.set()

    with stream(endpoints.plan(stream=True), as_executor(watched)) as chunks:
        assert next(chunks).text == "on and "
        assert endpoints.health("a").inflight == 1
    assert ended.is_set()
    assert list(chunks) == []
    assert endpoints.failures("a") == {"cancelled": 1}
    assert endpoints.at_rest()


def test_a_stream_that_is_dropped_is_no_longer_in_flight_at_once_also_after_a_fallback() -> None:
    endpoints = FakeEndpoints("a", "b")
    gc.disable()
    try:
        chunks = stream(endpoints.plan(stream=True), FakeExecutor({"a": [DOWN], "b": ["one two"]}))
        assert next(chunks).text == "one "
        del chunks
        assert endpoints.at_rest()
    finally:
        gc.enable()
    assert endpoints.failures("b") == {"cancelled": 1}


def test_an_asynchronous_stream_that_is_left_or_dropped_is_no_longer_in_flight() -> None:
    endpoints, ended = FakeEndpoints("a"), []

    async def watched(request: CallRequest) -> AsyncIterator[str]:
        try:
            while True:
                yield "on and "
        finally:
            ended.append(request.endpoint)

    async def main() -> None:
        async with await astream(endpoints.plan(stream=True), as_executor(watched)) as chunks:
            assert (await anext(chunks)).text == "on and "
        assert (endpoints.at_rest(), ended) == (True, ["a"])
        dropped = await astream(endpoints.plan(stream=True), as_executor(watched))
        assert not endpoints.at_rest()
        del dropped
        assert endpoints.at_rest()

    asyncio.run(main())
    assert endpoints.failures("a") == {"cancelled": 2}
    assert ended == ["a", "a"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_cancelled_task_counts_as_cancelled(streamed: bool) -> None:
    endpoints = FakeEndpoints("a", "b", clock=SimulatedClock())

    async def never(request: CallRequest) -> str:
        await asyncio.sleep(3600)
        return ""

    async def main() -> None:
        plan = endpoints.plan(stream=streamed)
        call = astream(plan, as_executor(never)) if streamed else acomplete(plan, as_executor(never))
        task = asyncio.ensure_future(call)
        await asyncio.sleep(1)
        assert endpoints.health("a").inflight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    endpoints.clock.run(main())
    assert (endpoints.failures("a"), endpoints.failures("b")) == ({"cancelled": 1}, {})
    assert endpoints.at_rest()


HURRIED = CallPolicy(deadline_s=2.0, first_token_s=0.1, chunk_s=0.1, answer_s=0.1)


async def late_stream(request: CallRequest) -> AsyncIterator[str]:
    await asyncio.sleep(60 if request.endpoint == "a" else 0)
    yield "four"


async def late_answer(request: CallRequest) -> str:
    await asyncio.sleep(60 if request.endpoint == "a" else 0)
    return "four"


@pytest.mark.parametrize(("way", "function"), [(by_astream, late_stream), (by_acomplete, late_answer)])
def test_an_asynchronous_attempt_that_takes_too_long_is_cancelled_and_falls_back(way: Way, function: Any) -> None:
    endpoints = FakeEndpoints("a", "b", policy=HURRIED, clock=SimulatedClock())
    completion = way(endpoints, as_executor(function))
    assert endpoints.clock() == pytest.approx(1000.1)
    assert [record.failure for record in completion.attempts] == ["transient", None]


@pytest.mark.parametrize(("way", "function"), [(by_astream, late_stream), (by_acomplete, late_answer)])
def test_an_asynchronous_call_ends_at_its_deadline(way: Way, function: Any) -> None:
    endpoints = FakeEndpoints("a", policy=CallPolicy(deadline_s=0.2), clock=SimulatedClock())
    with pytest.raises(DeadlineExceededError):
        way(endpoints, as_executor(function))
    assert endpoints.clock() == pytest.approx(1000.2)
    assert endpoints.failures("a") == {"cancelled": 1}


def test_an_asynchronous_stream_that_stalls_is_interrupted() -> None:
    async def stalls(request: CallRequest) -> AsyncIterator[str]:
        yield "half"
        await asyncio.sleep(60)

    endpoints = FakeEndpoints("a", policy=HURRIED, clock=SimulatedClock())
    with pytest.raises(StreamInterruptedError, match=r"within 0\.1 s") as broken:
        by_astream(endpoints, as_executor(stalls))
    assert endpoints.clock() == pytest.approx(1000.1)
    assert broken.value.partial_text == "half"


class Wrong:
    """An executor that answers neither request as it should."""

    def call(self, _: CallRequest, /) -> Any:
        return "four"

    async def acall(self, _: CallRequest, /) -> Any:
        return "four"


@in_every_way
def test_an_executor_that_breaks_the_protocol_raises_an_error(way: Way) -> None:
    with pytest.raises(InputError, match="an executor must answer"):
        way(FakeEndpoints("a"), Wrong())


def test_many_threads_and_tasks_leave_nothing_in_flight() -> None:
    endpoints = FakeEndpoints("a", "b", "c", policy=CallPolicy(extra_attempts=1000))
    script: dict[str, list[Any]] = {"a": [DOWN, "one two"] * 200, "b": ["one", [Chunk(text="x"), DOWN]] * 200}
    executor = FakeExecutor(script)

    def once(i: int) -> str:
        way = [by_complete, by_acomplete, by_stream, by_astream][i % 4]
        try:
            return way(endpoints, executor).text
        except ServingError as refused:
            return type(refused).__name__

    with ThreadPoolExecutor(16) as pool:
        texts = set(pool.map(once, range(200)))
    assert texts <= {"one", "one two", "answered by c", "StreamInterruptedError"}
    assert endpoints.at_rest()
    health = endpoints.live.snapshot().values()
    assert sum(h.completed + sum(h.failures.values()) for h in health) == len(executor.requests)


def test_importing_the_package_imports_no_sdk() -> None:
    code = "import sys, router.execution; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
