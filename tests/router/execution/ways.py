"""The four ways of making a call: blocking or awaited, whole or as a stream."""

from collections.abc import Callable
from typing import Any

import pytest

from router.calls import Completion
from router.execution.async_driver import acomplete, astream
from router.execution.sync_driver import complete, stream
from tests.router.execution.fakes import FakeEndpoints

Way = Callable[[FakeEndpoints, Any], Completion]


def by_complete(endpoints: FakeEndpoints, executor: Any) -> Completion:
    return complete(endpoints.plan(), executor, sleep=endpoints.clock.sleep)


def by_acomplete(endpoints: FakeEndpoints, executor: Any) -> Completion:
    return endpoints.clock.run(acomplete(endpoints.plan(), executor, sleep=endpoints.clock.asleep))


def by_stream(endpoints: FakeEndpoints, executor: Any) -> Completion:
    with stream(endpoints.plan(stream=True), executor, sleep=endpoints.clock.sleep) as chunks:
        text = "".join(chunk.text for chunk in chunks)
        assert list(chunks) == []
    assert text == chunks.completion.text
    return chunks.completion


def by_astream(endpoints: FakeEndpoints, executor: Any) -> Completion:
    async def main() -> Completion:
        async with await astream(endpoints.plan(stream=True), executor, sleep=endpoints.clock.asleep) as chunks:
            text = "".join([chunk.text async for chunk in chunks])
            assert [chunk async for chunk in chunks] == []
        assert text == chunks.completion.text
        return chunks.completion

    return endpoints.clock.run(main())


in_every_way = pytest.mark.parametrize("way", [by_complete, by_acomplete, by_stream, by_astream])


streaming = pytest.mark.parametrize("way", [by_stream, by_astream])
