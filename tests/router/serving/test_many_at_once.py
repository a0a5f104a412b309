"""Many calls that are in flight together while the first model fails."""

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from router import CallError, OpenAIExecutor, Router
from router.calls import CallRequest
from router.execution.endpoint import Endpoint
from router.serving.serving import Serving
from tests.router.execution.faulty_server import ANSWER, FaultyServer
from tests.router.fakes import model

A, B = model("a", 0.9), model("b", 0.8)
FAILURES = [CallError("transient", "503", status=503), CallError("rate_limit", "429", status=429, retry_after_s=60.0)]
at_once = pytest.mark.parametrize("n_calls", [10, 40])
failing = pytest.mark.parametrize("failure", FAILURES, ids=["503", "429"])


@at_once
@failing
def test_of_many_threads_at_once_every_one_gets_the_answer_of_the_second_model(n_calls: int, failure: CallError) -> None:
    # No request to the first model ends before all of them have begun.
    all_there = threading.Barrier(n_calls, timeout=60)

    def answer(request: CallRequest) -> str:
        if request.model == "a":
            all_there.wait()
            raise failure
        return f"from {request.model}"

    router = Router([A, B], prefer="quality", serving=Serving(executor=answer))
    with ThreadPoolExecutor(n_calls) as pool:
        texts = Counter(pool.map(lambda _: router.complete("hello").text, range(n_calls)))
    assert texts == {"from b": n_calls}
    assert router.fleet.live.snapshot()["a"].inflight == 0


@at_once
@failing
def test_of_many_tasks_at_once_every_one_gets_the_answer_of_the_second_model(n_calls: int, failure: CallError) -> None:
    async def main() -> Counter[str]:
        all_there = asyncio.Barrier(n_calls)

        async def answer(request: CallRequest) -> str:
            if request.model == "a":
                await all_there.wait()
                raise failure
            return f"from {request.model}"

        router = Router([A, B], prefer="quality", serving=Serving(executor=answer))
        answers = await asyncio.gather(*(router.acomplete("hello") for _ in range(n_calls)))
        return Counter(answer.text for answer in answers)

    assert asyncio.run(main()) == {"from b": n_calls}


@pytest.mark.parametrize("fault", ["500", "429"])
def test_of_many_requests_at_once_to_real_servers_every_one_gets_the_answer_of_the_second_model(fault: str) -> None:
    with FaultyServer() as server:
        executor = OpenAIExecutor({"a": Endpoint(base_url=server.url(fault)), "b": Endpoint(base_url=server.url("ok"))})
        router = Router([A, B], prefer="quality", serving=Serving(executor=executor))
        with ThreadPoolExecutor(40) as pool:
            answers = Counter(pool.map(lambda _: router.complete("hello").text, range(40)))
        router.close()
    assert answers == {ANSWER: 40}
    assert server.faults_asked().count("ok") == 40
