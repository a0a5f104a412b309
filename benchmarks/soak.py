"""Soak test by the real clock: many callers at once while endpoints fail in turn.

    python benchmarks/soak.py [--seconds 60] [--threads 64] [--tasks 1000]

It runs threads first and asyncio tasks second, each for `--seconds`. The executor runs inside the process and opens no
connection. Each second every endpoint gets a new fault, the same in every run. In every third second all of them stall.
Every third call is a stream.

The summary shows how the calls ended, the longest call, and the growth of memory per call. The exit status is 1 in these
cases: a call took longer than its deadline, memory grew with the calls, a request stayed in flight, or the router did not
recover after the faults. A loaded machine makes callers wait, too. So the deadline is extended by half a second and three
times the largest delay of a timer.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

from router import Estimate, ModelProfile, Router
from router.calls import CallRequest, Chunk
from router.errors import CallError, ServingError
from router.execution.policy import CallPolicy
from router.health.policy import HealthPolicy
from router.serving.serving import Serving

NAMES = ("a", "b", "c", "d", "e")
PROMPT = "prove that two is prime"
WARM_UP_S = 2.0
# A thousand tasks that call without a pause would only measure the machine.
TASK_PAUSE_S = 5.0
ANSWER_S, TICK_S = 0.05, 0.01
DEADLINE_S, GRACE_S = 1.5, 0.5
# The longest cooldown with its jitter.
COOLED_S = 0.6
# Blocks of memory that the live state of five endpoints may still grow by. A leak would take several blocks per call.
STATE_BLOCKS = 1000

# Times so short that everything happens in every second.
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
FAILURES: dict[str, Callable[[], CallError]] = {
    "500": lambda: CallError("transient", "500", status=500),
    "429": lambda: CallError("rate_limit", "429", status=429, retry_after_s=0.2),
    "401": lambda: CallError("auth", "401", status=401),
    "400": lambda: CallError("request", "400", status=400),
}
FAULTS = (None, None, None, "stalls", "breaks off", *FAILURES)


class Schedule:
    """The fault of each endpoint at this moment."""

    def __init__(self) -> None:
        self.over = False
        self._began_at = time.monotonic()

    def fault(self, endpoint: str) -> str | None:
        """Return the fault. None if the endpoint works."""
        if self.over:
            return None
        second = int(time.monotonic() - self._began_at)
        if second % 3 == 2:  # noqa: PLR2004 - every third second
            return "stalls"
        return random.Random(f"{second} {endpoint}").choice(FAULTS)


@dataclass(slots=True)
class Tally:
    """Results of one soak. Thread-safe.

    Attributes:
        ends: Number of calls by their end.
        longest_s: Seconds of the longest call.
        latest_s: Largest delay of a timer, in seconds.
    """

    ends: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    latest_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, end: str, seconds: float) -> None:
        """Count a call."""
        with self._lock:
            self.ends[end] += 1
            self.longest_s = max(self.longest_s, seconds)

    def add_tick(self, began_at: float) -> None:
        """Update the largest delay with a timer that was set at `began_at`."""
        self.latest_s = max(self.latest_s, time.monotonic() - began_at - TICK_S)


def make_function(schedule: Schedule) -> Callable[[CallRequest], str | Iterator[Chunk]]:
    """Return a synchronous executor function."""

    def answer(request: CallRequest) -> str | Iterator[Chunk]:
        fault = schedule.fault(request.endpoint)
        if fault == "stalls":
            time.sleep(request.first_token_timeout_s if request.stream else request.timeout_s)
            raise CallError("transient", "nothing came in time")
        time.sleep(ANSWER_S)
        if fault in FAILURES:
            raise FAILURES[fault]()
        return chunks(fault) if request.stream else "yes"

    def chunks(fault: str | None) -> Iterator[Chunk]:
        yield Chunk(text="y")
        time.sleep(ANSWER_S)
        yield Chunk(text="es", finish_reason="stop" if fault is None else None)

    return answer


def make_async_function(schedule: Schedule) -> Callable[..., object]:
    """Return an asynchronous executor function."""

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


def make_router(executor: Callable[..., object]) -> Router:
    """Return a router of five equal models."""
    quality = {"math": Estimate(mean=0.5, stderr=0.0, n=1)}
    profiles = [ModelProfile(name=name, quality=quality) for name in NAMES]
    return Router(profiles, strategy="dynamic", serving=Serving(executor=executor, calls=CALLS, health=HEALTH))


def call(router: Router, turn: int) -> str:
    """Make one call and return how it ended. Every third stream is left after its first chunk."""
    try:
        if turn % 3:
            router.complete(PROMPT)
            return "answered"
        with router.complete(PROMPT, stream=True) as stream:
            for _ in stream:
                if turn % 9 == 0:
                    return "left"
    except ServingError as error:
        return type(error).__name__
    return "answered"


async def acall(router: Router, turn: int) -> str:
    """Do the same as `call`. Besides, every seventh caller leaves after a short time."""
    try:
        async with asyncio.timeout(ANSWER_S if turn % 7 == 0 else None):
            if turn % 3:
                await router.acomplete(PROMPT)
                return "answered"
            async with await router.acomplete(PROMPT, stream=True) as stream:
                async for _ in stream:
                    if turn % 9 == 0:
                        return "left"
    except TimeoutError:
        return "left"
    except ServingError as error:
        return type(error).__name__
    return "answered"


def soak_threads(router: Router, seconds: float, callers: int) -> Tally:
    """Let threads call without a pause."""
    tally, over, ends_at = Tally(), threading.Event(), time.monotonic() + seconds

    def keep_calling(first: int) -> None:
        for turn in count(first):
            began_at = time.monotonic()
            tally.add(call(router, turn), time.monotonic() - began_at)
            if time.monotonic() > ends_at:
                return

    def watch() -> None:
        while not over.is_set():
            began_at = time.monotonic()
            time.sleep(TICK_S)
            tally.add_tick(began_at)

    with ThreadPoolExecutor(callers + 1) as pool:
        pool.submit(watch)
        try:
            for caller in [pool.submit(keep_calling, first) for first in range(callers)]:
                caller.result()
        finally:
            over.set()
    return tally


def soak_tasks(router: Router, seconds: float, callers: int) -> Tally:
    """Let asyncio tasks call, each with a pause after a call."""
    tally, ends_at = Tally(), time.monotonic() + seconds

    async def keep_calling(first: int) -> None:
        await asyncio.sleep(min(seconds, TASK_PAUSE_S) * first / callers)
        for turn in count(first):
            began_at = time.monotonic()
            tally.add(await acall(router, turn), time.monotonic() - began_at)
            if time.monotonic() + TASK_PAUSE_S > ends_at:
                return
            await asyncio.sleep(TASK_PAUSE_S)

    async def watch() -> None:
        while True:
            began_at = time.monotonic()
            await asyncio.to_thread(time.sleep, TICK_S)
            tally.add_tick(began_at)

    async def run_all() -> None:
        watcher = asyncio.create_task(watch())
        async with asyncio.TaskGroup() as group:
            for first in range(callers):
                group.create_task(keep_calling(first))
        watcher.cancel()

    asyncio.run(run_all())
    return tally


def run(
    name: str,
    soak: Callable[[Router, float, int], Tally],
    make_executor: Callable[[Schedule], Callable[..., object]],
    seconds: float,
    callers: int,
) -> list[str]:
    """Run one soak, print its summary and return its problems."""
    schedule = Schedule()
    router = make_router(make_executor(schedule))
    # The live state grows to a bound. It is warmed up first, so that only a leak shows as growth.
    soak(router, WARM_UP_S, callers)
    gc.collect()
    blocks_before = sys.getallocatedblocks()
    tally = soak(router, seconds, callers)
    gc.collect()
    grown_blocks, n_calls = sys.getallocatedblocks() - blocks_before, tally.ends.total()
    ends = ", ".join(f"{end} {n:,}" for end, n in tally.ends.most_common())
    print(f"{callers:,} {name}, {seconds:g} s: {n_calls:,} calls ({ends})")
    print(f"  longest call {tally.longest_s:.2f} s, deadline {DEADLINE_S:g} s, latest timer {tally.latest_s:.2f} s")
    print(f"  memory: {grown_blocks / n_calls:+.2f} blocks per call")
    problems = []
    if tally.longest_s >= DEADLINE_S + GRACE_S + 3 * tally.latest_s:
        problems.append(f"{name}: a call took {tally.longest_s:.2f} s")
    if grown_blocks >= n_calls + STATE_BLOCKS:
        problems.append(f"{name}: memory grew by {grown_blocks / n_calls:.2f} blocks per call")
    inflight = sum(health.inflight for health in router.fleet.live.snapshot().values())
    if inflight:
        problems.append(f"{name}: {inflight} requests are still in flight")
    schedule.over = True
    time.sleep(COOLED_S)
    if asyncio.run(router.acomplete(PROMPT)).text != "yes":
        problems.append(f"{name}: no recovery after the faults")
    return problems


def main() -> int:
    """Run both soaks and return the exit status."""
    parser = argparse.ArgumentParser(description="Soak test: many callers while endpoints fail in turn.")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each of the two soaks (default: 60)")
    parser.add_argument("--threads", type=int, default=64, help="number of threads (default: 64)")
    parser.add_argument("--tasks", type=int, default=1000, help="number of asyncio tasks (default: 1000)")
    options = parser.parse_args()
    logging.getLogger("contextual_llm_router").setLevel(logging.CRITICAL)
    problems = [
        *run("threads", soak_threads, make_function, options.seconds, options.threads),
        *run("tasks", soak_tasks, make_async_function, options.seconds, options.tasks),
    ]
    print("\n".join(problems) or "no problem found")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
