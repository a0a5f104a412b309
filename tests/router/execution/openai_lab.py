"""Endpoints of the faulty server, called through the SDK in all four ways."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from router.calls import CallRequest, CallTarget, Chunk, Completion, Reply, Usage
from router.errors import (
    ServingError,
)
from router.execution.async_driver import acomplete, astream
from router.execution.endpoint import Endpoint
from router.execution.openai import OpenAIExecutor
from router.execution.policy import CallPolicy
from router.execution.steps import Plan
from router.execution.sync_driver import complete, stream
from router.types import FailureClass
from tests.router.execution.fakes import PROMPT, FakeEndpoints, RealClock
from tests.router.execution.faulty_server import STATUSES, WHOLE, FaultyServer

KEY = "sk-s3cret"


# Long times, so that no test fails on a busy machine. Only requests to an endpoint that stalls have a short one.
PATIENT = CallPolicy(deadline_s=300.0, connect_s=120.0, first_token_s=120.0, chunk_s=120.0, answer_s=120.0)


SHORT_S = 0.5


# A stall lasts for 60 s. A call that takes longer than this has waited for its end.
BOUND_S = 30.0


TOKENS = Usage(input_tokens=1000, output_tokens=200)


WAYS = ["sync", "async", "stream", "astream"]


in_every_way = pytest.mark.parametrize("way", WAYS)


streaming = pytest.mark.parametrize("way", ["stream", "astream"])


class Lab:
    """A faulty server, an executor with an endpoint for each of its faults, and an event loop that outlives a test."""

    def __init__(self, server: FaultyServer, runner: asyncio.Runner) -> None:
        self.server, self.runner = server, runner
        endpoints = {name: self.endpoint(name) for name in (*STATUSES, *WHOLE)}
        self.executor = OpenAIExecutor(endpoints)

        async def make_clients() -> None:
            """Make them before the tests: it takes long, and some tests have short times."""
            for endpoint in endpoints.values():
                self.executor._client(endpoint)

        self.executor._portal.run(make_clients())
        runner.run(make_clients())

    def endpoint(self, fault: str, **fields: Any) -> Endpoint:
        return Endpoint(base_url=self.server.url(fault), key_env="TEST_KEY", **fields)

    def close(self, executor: OpenAIExecutor) -> None:
        executor.close()
        self.runner.run(executor.aclose())


@dataclass
class Result:
    """Result of a call, and how long it took."""

    completion: Completion | None
    error: ServingError | None
    text: str
    seconds: float

    @property
    def attempts(self) -> list[tuple[str, FailureClass | None]]:
        got = self.completion or self.error
        assert got is not None
        return [(record.endpoint, record.failure) for record in got.attempts]


class ImpatientExecutor:
    """Shortens the times of requests to an endpoint that stalls. The other endpoints keep their long times."""

    def __init__(self, executor: OpenAIExecutor, fault: str) -> None:
        self._executor, self._fault = executor, fault

    def call(self, request: CallRequest, /) -> Reply | Iterator[Chunk]:
        return self._executor.call(self._shorten(request))

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        return await self._executor.acall(self._shorten(request))

    def _shorten(self, request: CallRequest) -> CallRequest:
        if request.endpoint != self._fault:
            return request
        if not request.stream:
            return replace(request, timeout_s=SHORT_S)
        if self._fault.endswith("-after"):
            # The first chunk comes, and may come late on a busy machine.
            return replace(request, chunk_timeout_s=SHORT_S)
        return replace(request, first_token_timeout_s=SHORT_S)


class Caller:
    """Calls endpoints of the faulty server, named by their fault, in one way, and with its own executor if given.

    The clock of the plan stands still, so that only the executor measures time. Tests of the deadline set `real_time`.
    """

    def __init__(
        self,
        lab: Lab,
        way: str,
        *faults: str,
        policy: CallPolicy = PATIENT,
        executor: OpenAIExecutor | None = None,
        real_time: bool = False,
    ) -> None:
        self.lab, self.way, self.executor = lab, way, executor or lab.executor
        slow = faults[0].startswith(("stall", "drip")) and not real_time
        self._in_use = ImpatientExecutor(self.executor, faults[0]) if slow else self.executor
        self.endpoints = FakeEndpoints(*faults, policy=policy, clock=RealClock() if real_time else None)
        # With a clock that stands still, a pause of real seconds would never end.
        self._sleep: Any = time.sleep if real_time else self.endpoints.clock.sleep
        self._asleep: Any = asyncio.sleep if real_time else self.endpoints.clock.asleep

    def ask(self, *targets: CallTarget, **call: Any) -> Result:
        texts: list[str] = []
        completion, error, began_at = None, None, time.monotonic()
        plan = self.endpoints.plan(*targets, stream="stream" in self.way, **call)
        try:
            completion = self._run(plan, texts)
        except ServingError as raised:
            error = raised
        seconds = time.monotonic() - began_at
        assert self.endpoints.at_rest()
        if self.executor is not self.lab.executor:
            self.lab.close(self.executor)
        return Result(completion, error, "".join(texts), seconds)

    def _run(self, plan: Plan, texts: list[str]) -> Completion:
        if self.way == "sync":
            return complete(plan, self._in_use, sleep=self._sleep)
        if self.way == "stream":
            with stream(plan, self._in_use, sleep=self._sleep) as chunks:
                texts.extend(chunk.text for chunk in chunks)
            return chunks.completion
        return self.lab.runner.run(self._arun(plan, texts))

    async def _arun(self, plan: Plan, texts: list[str]) -> Completion:
        if self.way == "async":
            return await acomplete(plan, self._in_use, sleep=self._asleep)
        async with await astream(plan, self._in_use, sleep=self._asleep) as chunks:
            async for chunk in chunks:
                texts.append(chunk.text)
        return chunks.completion


def requests_of(name: str, **fields: Any) -> CallRequest:
    times = dict.fromkeys(("timeout_s", "connect_timeout_s", "first_token_timeout_s", "chunk_timeout_s"), 120.0)
    messages = [{"role": "user", "content": PROMPT}]
    return CallRequest(model="m", endpoint=name, messages=messages, **({"stream": False, **times} | fields))
