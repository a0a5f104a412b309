"""Clients, threads and event loops of the executor."""

import asyncio
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from router.calls import Reply
from router.errors import (
    InputError,
)
from router.execution.endpoint import Endpoint
from router.execution.openai import OpenAIExecutor
from router.execution.policy import CallPolicy
from router.execution.sync_driver import stream
from tests.router.execution.faulty_server import ANSWER, PARTIAL
from tests.router.execution.openai_lab import (
    KEY,
    Caller,
    Lab,
    requests_of,
)


def test_threads_share_one_client_and_its_loop_and_close_ends_both(lab: Lab) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok")})

    def loop_threads() -> int:
        return sum(thread.name == "llm-router-calls" for thread in threading.enumerate())

    others = loop_threads()

    def ask(i: int) -> str:
        answer = executor.call(requests_of("ok", stream=bool(i % 2)))
        return answer.text if isinstance(answer, Reply) else "".join(chunk.text for chunk in answer)

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(64))) == {ANSWER}
    assert [list(clients) for clients in executor._clients.values()] == [[lab.server.url("ok")]]
    assert loop_threads() == others + 1
    executor.close()
    assert executor._clients == {}
    assert loop_threads() == others
    assert ask(0) == ANSWER  # it starts again
    executor.close()
    executor.close()


def test_each_event_loop_has_its_client(lab: Lab) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok")})

    async def main(*, close: bool) -> int:
        answers = await asyncio.gather(*(executor.acall(requests_of("ok")) for _ in range(20)))
        assert {answer.text for answer in answers if isinstance(answer, Reply)} == {ANSWER}
        loops = len(executor._clients)
        if close:
            await executor.aclose()
        return loops

    assert [asyncio.run(main(close=True)) for _ in range(3)] == [1, 1, 1]


def test_the_client_of_an_ended_event_loop_is_dropped(lab: Lab) -> None:
    executor, ended = OpenAIExecutor({"ok": lab.endpoint("ok")}), asyncio.new_event_loop()
    executor._clients[ended] = {}
    ended.close()
    executor.call(requests_of("ok"))
    assert ended not in executor._clients
    executor.close()


def test_without_the_sdk_the_error_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(InputError, match=r"pip install 'contextual-llm-router\[openai\]'"):
        OpenAIExecutor({})


def test_synchronous_calls_work_while_an_event_loop_runs(lab: Lab) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok")})

    async def main() -> object:
        return executor.call(requests_of("ok"))

    answer = asyncio.run(main())
    executor.close()
    assert isinstance(answer, Reply)


def test_leaving_a_stream_closes_its_connection(lab: Lab) -> None:
    caller = Caller(lab, "stream", "drip-after", policy=CallPolicy())
    with stream(caller.endpoints.plan(stream=True), caller.executor) as chunks:
        assert next(chunks).text == PARTIAL
    assert caller.endpoints.at_rest()
    assert caller.endpoints.failures("drip-after") == {"cancelled": 1}


def test_an_executor_pickles_without_keys_or_connections(lab: Lab) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok")})
    data = pickle.dumps(executor)
    assert KEY.encode() not in data
    again = pickle.loads(data)  # noqa: S301 - our own bytes
    assert repr(again) == repr(executor)
    assert isinstance(again.call(requests_of("ok")), Reply)
    again.close()


def test_an_unknown_endpoint_raises_an_error() -> None:
    executor = OpenAIExecutor({"ok": Endpoint()})
    with pytest.raises(InputError, match="'other' is unknown; known: ok"):
        executor.call(requests_of("other"))
    executor.close()
