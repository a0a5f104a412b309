"""Many callers at once while endpoints fail in turn: everybody is answered or refused in time, and nothing is left behind.

A usual run takes about five seconds for each kind of caller; LLM_ROUTER_SOAK_S=60 soaks for a minute.
"""

import asyncio
import gc
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from router import Router
from router.calls import CallRequest, Chunk
from router.errors import CallError, ServingError
from router.execution import CallPolicy
from router.health import HealthPolicy
from router.serving import Serving
from tests.router.fakes import model

SOAK_S = float(os.environ.get("LLM_ROUTER_SOAK_S", "5"))
WARM_UP_S = 1.0
THREADS, TASKS = 64, 1000
TASK_PAUSE_S = 5.0  # a thousand that ask without a pause would only measure the machine
DEADLINE_S, GRACE_S = 1.5, 0.5
STATE_BLOCKS = 1000
NAMES = ("a", "b", "c", "d", "e")
PROMPT = "prove that two is prime"

# Short enough for everything to happen in every second.
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
COOLED_S = 0.6  # the longest cooldown and its jitter
ANSWER_S, TICK_S = 0.05, 0.01
FAILURES: dict[str, Callable[[], CallError]] = {
    "500": lambda: CallError("transient", "500", status=500),
    "429": lambda: CallError("rate_limit", "429", status=429, retry_after_s=0.2),
    "401": lambda: CallError("auth", "401", status=401),
    "400": lambda: CallError("request", "400", status=400),
}
AILMENTS = (None, None, None, "stalls", "breaks off", *FAILURES)


class Faults:
    """Tells what ails an endpoint: each second something else, the same in every run; in every third, all of them stall."""

    def __init__(self) -> None:
        self.over = False
        self._began_at = time.monotonic()

    def of(self, endpoint: str) -> str | None:
        if self.over:
            return None
        second = int(time.monotonic() - self._began_at)
        if second % 3 == 2:
            return "stalls"
        return random.Random(f"{second} {endpoint}").choice(AILMENTS)  # noqa: S311 - reproducible, no secret


class Tally:
    """What became of the requests, and how late the machine is: by how much a wait outlasts what was asked. Thread-safe."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.longest_s = self.latest_s = 0.0
        self._lock = threading.Lock()

    def add(self, end: str, seconds: float) -> None:
        with self._lock:
            self.ends[end] += 1
            self.longest_s = max(self.longest_s, seconds)

    def watch_threads(self, over: threading.Event) -> None:
        while not over.is_set():
            began_at = time.monotonic()
            time.sleep(TICK_S)
            self._add_lateness(began_at)

    async def watch_tasks(self) -> None:
        while True:
            began_at = time.monotonic()
            await asyncio.to_thread(time.sleep, TICK_S)
            self._add_lateness(began_at)

    def _add_lateness(self, began_at: float) -> None:
        self.latest_s = max(self.latest_s, time.monotonic() - began_at - TICK_S)


def answers(faults: Faults) -> Callable[[CallRequest], str | Iterator[Chunk]]:
    def answer(request: CallRequest) -> str | Iterator[Chunk]:
        ailment = faults.of(request.endpoint)
        if ailment == "stalls":
            time.sleep(request.first_token_timeout_s if request.stream else request.timeout_s)
            raise CallError("transient", "nothing came in time")
        time.sleep(ANSWER_S)
        if ailment in FAILURES:
            raise FAILURES[ailment]()
        return chunks(ailment) if request.stream else "yes"

    def chunks(ailment: str | None) -> Iterator[Chunk]:
        yield Chunk(text="y")
        time.sleep(ANSWER_S)
        yield Chunk(text="es", finish_reason="stop" if ailment is None else None)

    return answer


def awaited_answers(faults: Faults) -> object:
    async def answer(request: CallRequest) -> str | AsyncIterator[Chunk]:
        ailment = faults.of(request.endpoint)
        await asyncio.sleep(3600 if ailment == "stalls" else ANSWER_S)
        if ailment in FAILURES:
            raise FAILURES[ailment]()
        return chunks(ailment) if request.stream else "yes"

    async def chunks(ailment: str | None) -> AsyncIterator[Chunk]:
        yield Chunk(text="y")
        await asyncio.sleep(ANSWER_S)
        yield Chunk(text="es", finish_reason="stop" if ailment is None else None)

    return answer


def serve(executor: object) -> Router:
    serving = Serving(executor=executor, calls=CALLS, health=HEALTH)  # type: ignore[arg-type]
    return Router([model(name) for name in NAMES], strategy="dynamic", serving=serving)


def ask(router: Router, turn: int) -> str:
    """Every third request is a stream, and every third of these is given up after its first chunk."""
    if turn % 3:
        router.complete(PROMPT)
        return "answered"
    with router.complete(PROMPT, stream=True) as stream:
        for _ in stream:
            if turn % 9 == 0:
                return "left"
    return "answered"


async def aask(router: Router, turn: int) -> str:
    """As `ask`; besides, every seventh caller has little patience."""
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


def soak_threads(router: Router, seconds: float) -> Tally:
    tally, over, ends_at = Tally(), threading.Event(), time.monotonic() + seconds

    def keep_asking(first: int) -> None:
        for turn in count(first):
            began_at = time.monotonic()
            try:
                end = ask(router, turn)
            except ServingError as error:
                end = type(error).__name__
            tally.add(end, time.monotonic() - began_at)
            if time.monotonic() > ends_at:
                return

    with ThreadPoolExecutor(THREADS + 1) as pool:
        pool.submit(tally.watch_threads, over)
        try:
            for caller in [pool.submit(keep_asking, first) for first in range(THREADS)]:
                caller.result()
        finally:
            over.set()
    return tally


def soak_tasks(router: Router, seconds: float) -> Tally:
    tally, ends_at = Tally(), time.monotonic() + seconds

    async def keep_asking(first: int) -> None:
        await asyncio.sleep(min(seconds, TASK_PAUSE_S) * first / TASKS)
        for turn in count(first):
            began_at = time.monotonic()
            try:
                end = await aask(router, turn)
            except ServingError as error:
                end = type(error).__name__
            tally.add(end, time.monotonic() - began_at)
            if time.monotonic() + TASK_PAUSE_S > ends_at:
                return
            await asyncio.sleep(TASK_PAUSE_S)

    async def keep_all_asking() -> None:
        watch = asyncio.create_task(tally.watch_tasks())
        async with asyncio.TaskGroup() as group:
            for first in range(TASKS):
                group.create_task(keep_asking(first))
        watch.cancel()

    asyncio.run(keep_all_asking())
    return tally


def blocks_in_use() -> int:
    gc.collect()
    return sys.getallocatedblocks()


@pytest.mark.parametrize(
    ("soak", "make_executor"), [(soak_threads, answers), (soak_tasks, awaited_answers)], ids=["64 threads", "1,000 tasks"]
)
def test_under_faults_everybody_hears_in_time_and_nothing_is_left_behind(
    soak: Callable[[Router, float], Tally], make_executor: Callable[[Faults], object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", logger="router")  # else pytest keeps every record
    began_at, threads_before, faults = time.monotonic(), set(threading.enumerate()), Faults()
    router = serve(make_executor(faults))
    soak(router, WARM_UP_S)
    blocks_before = blocks_in_use()
    tally = soak(router, max(WARM_UP_S, began_at + SOAK_S - DEADLINE_S - time.monotonic()))
    grown_blocks = blocks_in_use() - blocks_before
    assert tally.ends["AllAttemptsFailedError"] > 0
    # A caller waits for its turn to begin, to learn that its time is up, and to say so.
    assert tally.longest_s < DEADLINE_S + GRACE_S + 3 * tally.latest_s
    assert {health.inflight for health in router.fleet.live.snapshot().values()} == {0}
    # What one request leaves behind takes several blocks; the live state of five endpoints (histogram buckets, slots of
    # the failure window) grows to a bound, which a slow machine has not reached when it is first counted.
    assert grown_blocks < tally.ends.total() + STATE_BLOCKS
    faults.over = True
    time.sleep(COOLED_S)
    assert asyncio.run(router.acomplete(PROMPT)).text == "yes"
    assert set(threading.enumerate()) == threads_before
