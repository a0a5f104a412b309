"""Functions as executors."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest

from router.calls import CallRequest, Chunk, Completion, Reply
from router.errors import (
    AllAttemptsFailedError,
    CallError,
    InputError,
    StreamInterruptedError,
)
from router.execution.async_driver import acomplete
from router.execution.executors import as_executor
from router.execution.policy import CallPolicy
from tests.router.execution.fakes import PROMPT, FakeEndpoints
from tests.router.execution.ways import Way, by_acomplete, by_astream, by_stream, in_every_way, streaming


@in_every_way
@pytest.mark.parametrize("answer", ["four", Reply(text="four"), Reply(text="four", finish_reason="length")])
def test_a_function_answers_with_a_text_or_a_reply_in_every_way(way: Way, answer: str | Reply) -> None:
    async def coroutine(request: CallRequest) -> str | Reply:
        return answer

    assert way(FakeEndpoints("a"), as_executor(lambda _: answer)).text == "four"
    if way in (by_acomplete, by_astream):
        assert way(FakeEndpoints("a"), as_executor(coroutine)).text == "four"


@streaming
def test_a_stream_of_texts_is_complete_at_its_end_and_one_of_chunks_needs_a_finish_reason(way: Way) -> None:
    assert way(FakeEndpoints("a"), as_executor(lambda _: iter(["fo", "ur"]))).text == "four"
    with pytest.raises(StreamInterruptedError):
        way(FakeEndpoints("a"), as_executor(lambda _: iter([Chunk(text="fo")])))


class HttpError(Exception):
    """As HTTP clients raise them."""

    def __init__(self, status_code: int, **headers: str) -> None:
        self.status_code = status_code
        self.response = type("Response", (), {"headers": {k.replace("_", "-"): v for k, v in headers.items()}})
        super().__init__(PROMPT)


@in_every_way
@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (HttpError(503), "transient", "HttpError 503"),
        (HttpError(401), "auth", "HttpError 401"),
        (json.JSONDecodeError(PROMPT, "", 0), "transient", "JSONDecodeError"),
        (ConnectionResetError(PROMPT), "transient", "ConnectionResetError"),
        (TimeoutError(), "transient", "TimeoutError"),
        (CallError("rate_limit", "slow down"), "rate_limit", "slow down"),
    ],
)
def test_an_exception_of_a_function_is_a_failure_classified_by_its_status(
    way: Way, error: Exception, kind: str, message: str
) -> None:
    def function(request: CallRequest) -> str:
        if request.endpoint == "a":
            raise error
        return "four"

    completion = way(FakeEndpoints("a", "b"), as_executor(function))
    assert [(record.failure, record.error) for record in completion.attempts] == [(kind, message), (None, "")]


MISTAKES = [
    KeyError("a"),
    IndexError(),
    TypeError("a"),
    ValueError("a"),
    AttributeError("a"),
    ZeroDivisionError(),
    AssertionError(),
    RecursionError(),
    FileNotFoundError("a"),
]


@in_every_way
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: type(mistake).__name__)
def test_a_mistake_in_a_function_surfaces_as_it_is_and_no_other_endpoint_is_asked(way: Way, mistake: Exception) -> None:
    endpoints, asked = FakeEndpoints("a", "b"), []

    def function(request: CallRequest) -> str:
        asked.append(request.endpoint)
        raise mistake

    with pytest.raises(type(mistake)) as raised:
        way(endpoints, as_executor(function))
    assert raised.value is mistake
    assert "function" in [entry.name for entry in raised.traceback]
    assert asked == ["a"]
    assert endpoints.failures("a") == {"cancelled": 1}
    assert endpoints.at_rest()


@streaming
def test_a_mistake_after_the_first_chunk_surfaces_too(way: Way) -> None:
    def function(request: CallRequest) -> Iterator[str]:
        yield "half"
        raise KeyError("a")

    endpoints = FakeEndpoints("a", "b")
    with pytest.raises(KeyError):
        way(endpoints, as_executor(function))
    assert endpoints.failures("a") == {"cancelled": 1}
    assert endpoints.at_rest()


def test_an_exception_in_a_stream_of_a_function_is_a_failure_too() -> None:
    def function(request: CallRequest) -> Iterator[str]:
        if request.stream:
            raise HttpError(429, Retry_After="9")
        yield "four"

    with pytest.raises(AllAttemptsFailedError) as failed:
        by_stream(FakeEndpoints("a", policy=CallPolicy(deadline_s=5)), as_executor(function))
    assert isinstance(failed.value.__cause__, CallError)
    assert (failed.value.__cause__.kind, failed.value.__cause__.retry_after_s) == ("rate_limit", 9.0)


@pytest.mark.parametrize("way", [by_acomplete, by_astream])
def test_synchronous_functions_do_not_block_the_event_loop(way: Way) -> None:
    both_inside = threading.Barrier(2, timeout=60)

    def function(request: CallRequest) -> str:
        both_inside.wait()
        return "four"

    async def main() -> list[Completion]:
        endpoints, executor = FakeEndpoints("a"), as_executor(function)
        return await asyncio.gather(*(acomplete(endpoints.plan(), executor) for _ in range(2)))

    assert [completion.text for completion in asyncio.run(main())] == ["four", "four"]


class AsyncCallable:
    async def __call__(self, _: CallRequest) -> str:
        return "four"


async def answer_four(request: CallRequest) -> str:
    return "four"


async def stream_four(request: CallRequest) -> AsyncIterator[str]:
    yield "four"


@pytest.mark.parametrize("function", [answer_four, stream_four, partial(answer_four), AsyncCallable()])
def test_an_asynchronous_function_serves_asynchronous_calls_only(function: Any) -> None:
    executor = as_executor(function)
    assert not hasattr(executor, "call")
    assert by_astream(FakeEndpoints("a"), executor).text == "four"


@in_every_way
def test_a_wrong_type_of_answer_raises_an_error_and_does_not_count_against_the_endpoint(way: Way) -> None:
    endpoints = FakeEndpoints("a")
    with pytest.raises(InputError, match="got int"):
        way(endpoints, as_executor(lambda request: iter([4]) if request.stream else 4))  # type: ignore[arg-type,return-value]
    assert endpoints.failures("a") == {"cancelled": 1}
    assert endpoints.at_rest()
