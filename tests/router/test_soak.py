"""Many callers at once while endpoints fail in turn. `benchmarks/soak.py` does the same for longer, by the real clock."""

import asyncio
import gc
import random
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from router import Router
from router.calls import CallRequest, Chunk
from router.errors import CallError, ServingError
from router.execution.deadline import NO_TIME_S
from router.execution.policy import CallPolicy
from router.health.policy import HealthPolicy
from router.serving.serving import Serving
from router.strategies.dynamic import Dynamic
from tests.router.fakes import model
from tests.router.simulated_loop import SimulatedLoop

NAMES = ("a", "b", "c", "d", "e")
PROMPT = "prove that two is prime"
FAILURES: dict[str, Callable[[], CallError]] = {
    "500": lambda: CallError("transient", "500", status=500),
    "429": lambda: CallError("rate_limit", "429", status=429, retry_after_s=0.2),
    "401": lambda: CallError("auth", "401", status=401),
    "400": lambda: CallError("request", "400", status=400),
}
FAULTS = (None, None, None, "stalls", "breaks off", *FAILURES)

# Tasks, on simulated time. The times are so short that everything happens in every second.
TASKS, TASK_PAUSE_S = 1000, 5.0
WARM_UP_S, SOAK_S = 5.0, 10.0
DEADLINE_S, ANSWER_S = 1.5, 0.05
# The longest cooldown with its jitter.
COOLED_S = 0.6
CALLS = CallPolicy(deadline_s=DEADLINE_S, first_token_s=0.25, chunk_s=0.25, answer_s=0.25, backoff_s=0.1)
HEALTH = HealthPolicy(
    cooldown_s=0.1,
    cooldown_max_s=0.5,
    rate_limit_cooldown_s=0.1,
    rate_limit_cooldown_max_s=0.5,
    auth_cooldown_s=0.3,
    slow_start_s=0.3,
    penalty_min_s=0.1,
    penalty_decay_s=0.3,
)
# Blocks of memory that the live state of five endpoints may take until it has reached its bound.
STATE_BLOCKS = 1000

# Threads, on real time. Nothing waits long, so that a slow machine changes no result.
THREADS, TURNS = 16, 30


class Schedule:
    """The fault of each endpoint: a new one every second, the same in every run. In every third second all of them stall."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.over = False
        self._clock, self._began_at = clock, clock()

    def fault(self, endpoint: str) -> str | None:
        if self.over:
            return None
        second = int(self._clock() - self._began_at)
        if second % 3 == 2:
            return "stalls"
        return random.Random(f"{second} {endpoint}").choice(FAULTS)  # noqa: S311 - reproducible, no secret


class Tally:
    """How the calls ended, and how long the longest one took."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.longest_s = 0.0

    def add(self, end: str, seconds: float) -> None:
        self.ends[end] += 1
        self.longest_s = max(self.longest_s, seconds)


def make_async_function(schedule: Schedule) -> object:
    async def answer(request: CallRequest) -> str | AsyncIterator[Chunk]:
        fault = schedule.fault(request.endpoint)
        await asyncio.sleep(3600 if fault == "stalls" else ANSWER_S)
        if fault in FAILURES:
            raise FAILURES[fault]()
        return chunks(fault) if request.stream else "yes"

    async def chunks(fault: str | None) -> AsyncIterator[Chunk]:
        yield Chunk(text="y")
        await asyncio.sleep(ANSWER_S)
        yield Chunk(text="es", finish_reason="stop" if fault is None else None)

    return answer


async def acall(router: Router, turn: int) -> str:
    """Every third call is a stream, and every third stream is left after a chunk. Every seventh caller is impatient."""
    try:
        async with asyncio.timeout(ANSWER_S if turn % 7 == 0 else None):
            if turn % 3:
                await router.acomplete(PROMPT)
                return "answered"
            async with await router.acomplete(PROMPT, stream=True) as stream:
                async for _ in stream:
                    if turn % 9 == 0:
                        return "left"
            return "answered"
    except TimeoutError:
        return "left"


async def soak(router: Router, seconds: float) -> Tally:
    clock, tally = asyncio.get_running_loop().time, Tally()
    ends_at = clock() + seconds

    async def keep_calling(first: int) -> None:
        await asyncio.sleep(TASK_PAUSE_S * first / TASKS)
        for turn in count(first):
            began_at = clock()
            try:
                end = await acall(router, turn)
            except ServingError as error:
                end = type(error).__name__
            tally.add(end, clock() - began_at)
            if clock() + TASK_PAUSE_S > ends_at:
                return
            await asyncio.sleep(TASK_PAUSE_S)

    async with asyncio.TaskGroup() as group:
        for first in range(TASKS):
            group.create_task(keep_calling(first))
    return tally


def blocks_in_use() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def make_router(schedule: Schedule, clock: Callable[[], float]) -> Router:
    """A router on simulated time. All its random choices are the same in every run."""
    serving = Serving(executor=make_async_function(schedule), calls=CALLS, health=HEALTH)  # type: ignore[arg-type]
    strategy = Dynamic(random.Random(0))  # noqa: S311 - reproducible, no secret
    router = Router([model(name) for name in NAMES], strategy=strategy, serving=serving, clock=clock)
    router.fleet._rng.seed(0)
    return router


def test_under_faults_1000_tasks_get_an_answer_or_an_error_in_time_and_leave_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Otherwise pytest keeps every log record, and memory grows with them.
    caplog.set_level("CRITICAL", logger="contextual_llm_router")
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        clock = runner.get_loop().time
        schedule = Schedule(clock)
        router = make_router(schedule, clock)
        runner.run(soak(router, WARM_UP_S))
        blocks_before = blocks_in_use()
        tally = runner.run(soak(router, SOAK_S))
        grown_blocks = blocks_in_use() - blocks_before
        assert tally.ends["AllAttemptsFailedError"] > 0
        assert tally.ends["answered"] > tally.ends.total() / 5
        assert tally.longest_s <= DEADLINE_S + NO_TIME_S
        assert {health.inflight for health in router.fleet.live.snapshot().values()} == {0}
        # A leak would take several blocks per call.
        assert grown_blocks < tally.ends.total() + STATE_BLOCKS

        async def recover() -> str:
            schedule.over = True
            await asyncio.sleep(COOLED_S)
            return (await router.acomplete(PROMPT)).text

        assert runner.run(recover()) == "yes"


def test_under_faults_every_thread_gets_an_answer_or_an_error_and_no_thread_is_left() -> None:
    threads_before = set(threading.enumerate())
    faults = (None, "breaks off", *FAILURES)
    numbers = count()

    def answer(request: CallRequest) -> str | Iterator[Chunk]:
        # The fault depends on the number of the request, not on the time. next() on a count is atomic in CPython.
        fault = faults[next(numbers) // 5 % len(faults)]
        if fault in FAILURES:
            raise FAILURES[fault]()
        return chunks(fault) if request.stream else "yes"

    def chunks(fault: str | None) -> Iterator[Chunk]:
        yield Chunk(text="y")
        yield Chunk(text="es", finish_reason="stop" if fault is None else None)

    def call(router: Router, turn: int) -> str:
        try:
            if turn % 3:
                return router.complete(PROMPT).text
            with router.complete(PROMPT, stream=True) as stream:
                for _ in stream:
                    if turn % 9 == 0:
                        return "left"
            return stream.completion.text
        except ServingError:
            return "refused"

    serving = Serving(executor=answer, health=HEALTH)
    router = Router([model(name) for name in NAMES], strategy="dynamic", serving=serving)
    with ThreadPoolExecutor(THREADS) as pool:
        results = [pool.submit(call, router, first + turn) for first in range(THREADS) for turn in range(TURNS)]
        ends = Counter(result.result() for result in results)
    assert ends.keys() <= {"yes", "left", "refused"}
    assert ends.total() == THREADS * TURNS
    assert {health.inflight for health in router.fleet.live.snapshot().values()} == {0}
    assert set(threading.enumerate()) <= threads_before
