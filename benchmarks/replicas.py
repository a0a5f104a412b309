"""Measure several processes that share their state in Redis, on loopback. Each starts a redis-server of its own.

    python benchmarks/replicas.py scale [--seconds 20] [--rate 160]
    python benchmarks/replicas.py limits [--n 20000]
    python benchmarks/replicas.py faults [--seconds 600] [--rate 80]

`scale` runs 1, 2, 4 and 8 processes, with a shared state and without one. It prints three things: the time that sharing adds
to a request (sessions, a rate limit and a budget are in use), the requests per second, and the share of the requests that a
broken endpoint gets. For the last one, all processes together send `--rate` requests per second to a model with four
endpoints, one of which fails after 50 ms. The others answer after 0.5 s.

`limits` lets 8 processes send N requests against a limit of 600 per minute and a budget, and counts what was admitted.

`faults` kills the server, pauses it and restarts it empty at random times, under load. It counts the requests that failed,
and measures how long it takes until what the server knows is right again.

The executor is a function, and no prompt is classified, so that the times are those of the state. Seed 0.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from router import (
    CallError,
    Estimate,
    ModelProfile,
    RateLimit,
    Reply,
    Router,
    Serving,
    SpendCap,
    Usage,
)
from router.calls import CallRequest
from router.errors import BudgetExceededError, NoModelAvailableError, RouterError
from router.state.settings import RedisState

REPLICAS = 8
_ENDPOINTS = ("a", "b", "c", "d")
_PER_MINUTE, _CAP_USD = 600, 0.3
# What a request of the profiles below costs: 100 input tokens and 100 output tokens.
_USAGE = Usage(input_tokens=100, output_tokens=100)


class RedisServer:
    """A redis-server on a free port that keeps nothing on disk."""

    def __init__(self) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise SystemExit("redis-server is missing; install the package of your system")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._command = [program, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self._folder = tempfile.mkdtemp()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        self.process = subprocess.Popen(self._command, cwd=self._folder, stdout=subprocess.DEVNULL)
        import redis

        for _ in range(500):
            try:
                self.client = redis.Redis(port=self.port)
                self.client.ping()
                return
            except redis.RedisError:
                time.sleep(0.01)

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a process does.

    Attributes:
        url: URL of the server. Empty: nothing is shared.
        kind: `time`, `flood` or `paced`.
        n: Number of requests, for `time`.
        seconds: How long it sends requests.
        rate: Requests per second, for `paced`.
        broken: The endpoint that fails.
        per_minute: Rate limit. 0: none.
        usd: Budget in USD. 0: none.
        seed: Seed of the pauses.
    """

    url: str
    kind: str
    n: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    broken: str = ""
    per_minute: int = 0
    usd: float = 0.0
    seed: int = 0


@dataclass(kw_only=True)
class Result:
    """What came of it.

    Attributes:
        ends: Number of requests by how they ended.
        asked: Number of attempts at each endpoint.
        times_s: Seconds of each request.
        admitted_at: When each request was admitted.
        problems: When the state went away and came back, each with the problem.
    """

    ends: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)
    admitted_at: list[float] = field(default_factory=list)
    problems: list[tuple[float, str]] = field(default_factory=list)


def make_router(work: Work, result: Result) -> Router:
    """Return the router of a process."""

    async def execute(request: CallRequest) -> Reply:
        result.asked[request.endpoint] += 1
        if request.endpoint == work.broken:
            await asyncio.sleep(0.05)
            raise CallError("transient", "503", status=503)
        if work.kind == "paced":
            await asyncio.sleep(0.5)
        return Reply(text="tea", finish_reason="stop", usage=_USAGE)

    quality = {"general": Estimate(mean=0.8, stderr=0.01, n=100)}
    profile = ModelProfile(name="m", quality=quality, input_usd_per_mtok=1.0, output_usd_per_mtok=4.0, output_tokens={})
    serving = Serving(
        executor=execute,
        endpoints={"m": dict.fromkeys(_ENDPOINTS, 1.0)},
        limits={"m": RateLimit(requests_per_minute=work.per_minute)} if work.per_minute else {},
        spend=SpendCap(usd=work.usd) if work.usd else None,
        state=RedisState(url_env="BENCHMARK_REDIS_URL") if work.url else None,
    )
    return Router([profile], strategy="sticky" if work.kind == "time" else "contextual", serving=serving)


def work_in_process(work: Work, pipe: Connection) -> None:
    """Do the work, and send the result."""
    os.environ["BENCHMARK_REDIS_URL"] = work.url
    pipe.send(asyncio.run(_work(work, pipe)))


async def _work(work: Work, pipe: Connection) -> Result:
    result = Result()
    router = make_router(work, result)
    for number in range(50 if work.kind == "time" else 0):
        await router.acomplete(f"warm {number}", key=f"w{number}")
    pipe.send("ready")
    await asyncio.to_thread(pipe.recv)
    ends_at, rng = time.monotonic() + work.seconds, random.Random(work.seed)
    result.asked.clear()

    async def ask(number: int) -> None:
        began = time.monotonic()
        try:
            await router.acomplete(f"{work.seed} {number}", key=f"{work.seed} {number}")
            result.ends["ok"] += 1
            result.admitted_at.append(began)
        except (BudgetExceededError, NoModelAvailableError) as error:
            result.ends[type(error).__name__] += 1
        except RouterError as error:
            result.ends[f"failed: {type(error).__name__}"] += 1
        result.times_s.append(time.monotonic() - began)

    tasks, number, watcher = set[asyncio.Task[None]](), 0, asyncio.ensure_future(_watch(router, result))
    while (number < work.n) if work.n else (time.monotonic() < ends_at):
        if work.kind == "paced":
            tasks.add(task := asyncio.ensure_future(ask(number)))
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(rng.expovariate(work.rate))
        else:
            await ask(number)
        number += 1
    await asyncio.gather(*tasks)
    watcher.cancel()
    await router.aclose()
    return result


async def _watch(router: Router, result: Result) -> None:
    """Record when the state goes away and comes back."""
    last = None
    while router.fleet.state is not None:
        if router.fleet.state.problem != last:
            last = router.fleet.state.problem
            result.problems.append((time.monotonic(), last or ""))
        await asyncio.sleep(0.01)


def run_processes(works: Sequence[Work], during: Any = None) -> list[Result]:
    """Start a process for each work, let all begin at the same time, and return what came of it."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for work in works:
        ours, theirs = context.Pipe()
        process = context.Process(target=work_in_process, args=(work, theirs), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send("go")
    if during is not None:
        during()
    results: list[Result] = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    return results


def measure_added_time(server: RedisServer, n: int = 2000, rounds: int = 3) -> None:
    """Print the time of a request with a shared state and without one, in turn."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        for shared in (False, True):
            (result,) = run_processes([Work(url=server.url if shared else "", kind="time", n=n, per_minute=10**6, usd=1e6)])
            times[shared] += result.times_s
    figures = {shared: (statistics.median(t), statistics.quantiles(t, n=100)[98]) for shared, t in times.items()}
    (alone, alone_99), (both, both_99) = figures[False], figures[True]
    print(
        f"time of a request, n {n * rounds} each, ms: median {1e3 * alone:.2f} alone, {1e3 * both:.2f} shared "
        f"(added {1e3 * (both - alone):.2f}); p99 {1e3 * alone_99:.2f} and {1e3 * both_99:.2f} "
        f"(added {1e3 * (both_99 - alone_99):.2f})"
    )


def run_scale(arguments: argparse.Namespace) -> None:
    """Measure 1, 2, 4 and 8 processes."""
    server = RedisServer()
    measure_added_time(server)
    baseline = None
    for shared, counts in ((True, (1, 2, 4, REPLICAS)), (False, (1, REPLICAS))):
        for count in counts:
            server.client.flushall()
            url = server.url if shared else ""
            flood = run_processes([Work(url=url, kind="flood", seconds=5, seed=i) for i in range(count)])
            rps = sum(r.ends["ok"] for r in flood) / 5
            server.client.flushall()
            rate = arguments.rate / count
            works = [
                Work(url=url, kind="paced", seconds=arguments.seconds, rate=rate, broken="a", seed=i) for i in range(count)
            ]
            results = run_processes(works)
            asked = sum((r.asked for r in results), Counter[str]())
            ends = sum((r.ends for r in results), Counter[str]())
            share = asked["a"] / asked.total()
            baseline = baseline or share
            print(
                f"{count} {'shared' if shared else 'alone '}: {rps:,.0f} requests/s; broken endpoint: {asked['a']} of "
                f"{asked.total()} attempts, {share:.2%}, {share / baseline:.2f} times one process; ends {dict(ends)}"
            )
    server.kill()


def run_limits(arguments: argparse.Namespace) -> None:
    """Count what limits admit under contention."""
    server = RedisServer()
    for name, limits in (("rate limit", {"per_minute": _PER_MINUTE}), ("budget", {"usd": _CAP_USD})):
        server.client.flushall()
        n = arguments.n // REPLICAS
        works = [Work(url=server.url, kind="flood", n=n, seed=i, **limits) for i in range(REPLICAS)]  # type: ignore[arg-type]
        results = run_processes(works)
        times = sorted(at for r in results for at in r.admitted_at)
        ends = sum((r.ends for r in results), Counter[str]())
        most = max((sum(1 for t in times[i:] if t < times[i] + 60) for i in range(len(times))), default=0)
        print(
            f"{name}: {ends.total()} requests of {REPLICAS} processes in {times[-1] - times[0]:.1f} s: {dict(ends)}; most "
            f"in 60 s: {most}; spent {ends['ok'] * 5e-4:.4f} USD; limits {limits}"
        )
    server.kill()


def find_return_s(problems: Sequence[tuple[float, str]], at: float) -> float:
    """Return how many seconds after a time a process shares again. 0 if it does at that time."""
    before = [problem for t, problem in problems if t <= at]
    if not before or not before[-1]:
        return 0.0
    return min((t - at for t, problem in problems if t > at and not problem), default=float("inf"))


def run_faults(arguments: argparse.Namespace) -> None:
    """Break the server under load."""
    server, rng, log = RedisServer(), random.Random(0), list[tuple[float, str]]()

    def break_it() -> None:
        ends_at = time.monotonic() + arguments.seconds
        while time.monotonic() < ends_at - 8:
            fault = rng.choice(("kill and restart empty", "pause"))
            if fault == "pause":
                server.process.send_signal(signal.SIGSTOP)
                time.sleep(rng.uniform(0.2, 3))
                server.process.send_signal(signal.SIGCONT)
            else:
                server.kill()
                time.sleep(rng.uniform(0, 3))
                server.start()
            log.append((time.monotonic(), fault))
            time.sleep(rng.uniform(3, 6))

    rate = arguments.rate / REPLICAS
    works = [
        Work(url=server.url, kind="paced", seconds=arguments.seconds, rate=rate, broken="a", seed=i) for i in range(REPLICAS)
    ]
    results = run_processes(works, break_it)
    ends = sum((r.ends for r in results), Counter[str]())
    asked = sum((r.asked for r in results), Counter[str]())
    back = [max(find_return_s(r.problems, at) for r in results) for at, _ in log]
    times = sorted(t for r in results for t in r.times_s)
    print(f"{arguments.seconds:g} s, {len(log)} faults {dict(Counter(name for _, name in log))}: {dict(ends)}")
    print(f"broken endpoint: {asked['a']} of {asked.total()} attempts ({asked['a'] / asked.total():.2%})")
    print(f"all replicas share again after: median {statistics.median(back):.2f} s, at most {max(back):.2f} s")
    print(f"time of a request: median {statistics.median(times):.3f} s, longest {times[-1]:.3f} s")
    server.kill()


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["scale", "limits", "faults"])
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--n", type=int, default=20_000)
    arguments = parser.parse_args()
    defaults = {"scale": (20.0, 160.0), "limits": (0.0, 0.0), "faults": (600.0, 80.0)}[arguments.what]
    arguments.seconds = arguments.seconds or defaults[0]
    arguments.rate = arguments.rate or defaults[1]
    {"scale": run_scale, "limits": run_limits, "faults": run_faults}[arguments.what](arguments)


if __name__ == "__main__":
    sys.exit(main())
