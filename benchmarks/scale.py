"""Compute what many replicas cost, and measure what the computation needs.

    python benchmarks/scale.py measure [--rounds 200] [--requests 2000]
    python benchmarks/scale.py compute [--replicas 1000] [--prompts-per-day 1e9] [...]

`measure` starts a redis-server on loopback, and 1, 8 and 64 replicas in one process. Each has a live state of 20 endpoints.
Each in turn does a thing many times: an exchange, a budget (reserve and settle), a rate limit, a session (recall and keep).
It prints for each thing the microseconds of Redis and the bytes. Then it sends new prompts to a gateway, and prints its
processor time and memory.

`compute` takes these figures as arguments, and prints for each number of replicas the load of Redis, the network and the
memory, and then the processors and the cost of a day. Its defaults are one run of `measure`. `docs/scale.md` explains them.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from balancer import KEY, start_gateway, write_config
from gateway import Processes, draw_prompts
from replicas import RedisServer

from router.execution.limits import RateLimit, SpendCap
from router.health.live import LiveState
from router.state.settings import RedisState
from router.state.shared import SharedState
from router.strategies.sticky import Session

REPLICAS, ENDPOINTS = (1, 8, 64), 20
_DAY_S = 86_400
# More than any run asks for.
_PER_MINUTE = 10**6
# Exchanges of a process have at least this pause, as in router/state/shared.py.
_LEAST_S = 0.02
_UPSTREAM_PORT, _GATEWAY_PORT, _CLIENTS = 8381, 8391, 8

# Name: default and meaning. The first group is measured, the second one is assumed.
_ASSUMPTIONS: dict[str, tuple[float, str]] = {
    "decision-ms": (8.0, "processor time of a request with a new prompt, ms"),
    "memory-mb": (400.0, "memory of a replica, MB"),
    "exchange-us": (350.0, "time of Redis for an exchange of 20 endpoints, µs"),
    "exchange-bytes": (8_700.0, "bytes of an exchange, both ways"),
    "request-us": (260.0, "time of Redis for budget, rate limit, session and health of a request, µs"),
    "request-bytes": (1_360.0, "bytes of these, both ways"),
    "prompts-per-day": (1e9, "prompts of a day"),
    "replicas": (1000, "replicas"),
    "peak": (3.0, "load of the busiest second as a multiple of the mean"),
    "cores": (1.0, "processors of a replica"),
    "utilisation": (0.6, "share of a processor that may be used at the peak"),
    "redis-share": (0.5, "share of its one core that a Redis may use at the peak"),
    "sync-s": (0.25, "sync_s of [state]"),
    "wakes": (0.05, "exchanges that a request asks for, because it fails"),
    "prompt-bytes": (6_000.0, "bytes of a request and its answer"),
    "usd-per-core-hour": (0.04, "price of a processor with 2 GB, USD"),
    "usd-per-redis-hour": (0.2, "price of a Redis with two cores, USD"),
}


class Replica:
    """What one process shares."""

    def __init__(self, number: int, url: str) -> None:
        self.state = SharedState(RedisState(sync_s=10.0, timeout_s=5.0), url)
        self.live = LiveState({f"endpoint-{n}": 1.0 for n in range(ENDPOINTS)})
        self.limiter = self.state.make_limiter({"m": RateLimit(requests_per_minute=_PER_MINUTE)}, group="models")
        self.budget = self.state.make_spend_tracker(SpendCap(usd=1e9), name="all")
        self.sessions = self.state.make_sessions(1000)
        # Each thing is measured alone, and so are the exchanges of the live state.
        self.state._parts.clear()
        self.state.share_live(self.live)
        # No exchange in the background disturbs the figures.
        self.state._bell.close()
        self._number, self._sessions = number, 0

    def exchange(self) -> None:
        """Hear of all endpoints."""
        if not self.state.exchange():
            raise SystemExit("redis-server does not answer")

    def answer(self) -> None:
        """Tell of one answer of each endpoint, and hear of all."""
        for n in range(ENDPOINTS):
            attempt = self.live.begin(f"endpoint-{n}")
            if attempt is not None:
                attempt.first_token()
                attempt.succeed(output_tokens=100)
        self.exchange()

    def spend(self) -> None:
        """Reserve the cost of a request, and settle it."""
        self.budget.reserve(0.001)
        self.budget.settle(0.001, 0.0005)
        self.budget.exchange(has_forgotten=False)

    def limit(self) -> None:
        """Count a request."""
        self.limiter.admit("m", tokens=100)

    def visit(self) -> None:
        """Look for a session, and keep it."""
        self._sessions += 1
        key = f"{self._number} {self._sessions}"
        before = self.sessions.recall(key, now_s=time.monotonic())
        session = Session(model="m", task="writing", at_s=time.monotonic())
        self.sessions.keep(key, session, before, accepts=lambda _: True)
        self.sessions.exchange(has_forgotten=False)


def measure_redis(rounds: int) -> None:
    """Print what each thing costs Redis."""
    print("| thing | replicas | n | Redis, µs | its scripts, µs | to Redis, bytes | from Redis, bytes |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    things: dict[str, Callable[[Replica], None]] = {
        "exchange, an answer of each endpoint": Replica.answer,
        "exchange, nothing new": Replica.exchange,
        "budget": Replica.spend,
        "rate limit": Replica.limit,
        "session": Replica.visit,
    }
    for count in REPLICAS:
        server = RedisServer()
        replicas = [Replica(number, server.url) for number in range(count)]
        for name, do in things.items():
            for replica in replicas:
                do(replica)
            n = -(-rounds // count) * count
            server.client.config_resetstat()
            before = _read(server.client)
            for _ in range(n // count):
                for replica in replicas:
                    do(replica)
            us, received, sent, scripts = ((b - a) / n for a, b in zip(before, _read(server.client), strict=True))
            print(f"| {name} | {count} | {n} | {us:.0f} | {scripts:.0f} | {received:,.0f} | {sent:,.0f} |")
        for replica in replicas:
            replica.state.close()
        server.kill()


def _read(client: Any) -> tuple[float, float, float, float]:
    """Return microseconds of the main thread, bytes received, bytes sent, and microseconds of the scripts."""
    cpu, stats, commands = client.info("cpu"), client.info("stats"), client.info("commandstats")
    seconds = cpu["used_cpu_sys_main_thread"] + cpu["used_cpu_user_main_thread"]
    scripts = commands.get("cmdstat_evalsha", {"usec": 0})["usec"]
    return 1e6 * seconds, stats["total_net_input_bytes"], stats["total_net_output_bytes"], scripts


async def measure_gateway(requests: int) -> None:
    """Print the processor time and the memory of a gateway that gets new prompts."""
    processes, redis = Processes(Path(tempfile.mkdtemp())), RedisServer()
    os.environ |= {"REDIS_URL": redis.url, "TEAM_KEY": KEY, "OPENAI_API_KEY": "none"}
    try:
        upstream = await processes.start_upstream(_UPSTREAM_PORT)
        write_config(processes.folder, upstream)
        process = await start_gateway(processes, _GATEWAY_PORT)
        draw, headers = draw_prompts(), {"Authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession(headers=headers) as session:

            async def work(n: int) -> None:
                for _ in range(n):
                    body = {"model": "auto", "messages": [{"role": "user", "content": draw()}]}
                    async with session.post(f"http://127.0.0.1:{_GATEWAY_PORT}/v1/chat/completions", json=body) as response:
                        await response.read()
                        response.raise_for_status()

            await work(100)
            before_s, began = _read_cpu_s(process.pid), time.monotonic()
            await asyncio.gather(*(work(requests // _CLIENTS) for _ in range(_CLIENTS)))
            used_s, seconds = _read_cpu_s(process.pid) - before_s, time.monotonic() - began
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        memory = {name: int(kb) / 1024 for name, kb in re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", status)}
        print(
            f"gateway, n {requests} new prompts, {_CLIENTS} at the same time: {1e3 * used_s / requests:.1f} ms of processor "
            f"time for each, {requests / seconds:.0f} per second; memory {memory['VmRSS']:.0f} MB, at most "
            f"{memory['VmHWM']:.0f} MB"
        )
    finally:
        processes.end()
        redis.kill()


def _read_cpu_s(pid: int) -> float:
    """Return the processor time of a process, from Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compute(a: argparse.Namespace) -> None:
    """Print what replicas need, for each power of ten, and for the whole load."""
    a_core = a.utilisation / (a.decision_ms / 1e3)
    print(f"one replica with {a.cores:g} processors answers {a.cores * a_core:,.0f} prompts per second at its peak\n")
    print(
        "| replicas | prompts per second at the peak | exchanges per second | cores of Redis for exchanges | for requests |"
    )
    print("|--:|--:|--:|--:|--:|")
    whole = a.prompts_per_day / _DAY_S * a.peak
    needed = math.ceil(whole / (a.cores * a_core))
    rows = [*((n, n * a.cores * a_core) for n in (1, 10, 100, 1000)), (a.replicas, whole)]
    for replicas, rate in rows:
        exchanges = replicas * _count_exchanges(a, rate / replicas)
        own, by_request = exchanges * a.exchange_us / 1e6, rate * a.request_us / 1e6
        print(f"| {replicas:,} | {rate:,.0f} | {exchanges:,.0f} | {own:.2f} | {by_request:.2f} |")
    rate = whole / a.replicas
    exchanges = _count_exchanges(a, rate)
    redis = a.replicas * exchanges * a.exchange_us / 1e6 + whole * a.request_us / 1e6
    cells = math.ceil(redis / a.redis_share)
    shared = exchanges * a.exchange_bytes + rate * a.request_bytes
    hours = 24 * (a.replicas * a.cores * a.usd_per_core_hour + cells * a.usd_per_redis_hour)
    for line in (
        f"\n{a.prompts_per_day:,.0f} prompts per day, {whole:,.0f} per second at the peak: at least {needed:,} replicas",
        f"of {a.replicas:,} replicas each answers {rate:.0f} prompts per second at the peak",
        f"processors: busy for {rate * a.decision_ms / 1e3 / a.cores:.0%} at the peak; memory: "
        f"{a.replicas * a.memory_mb / 1e3:,.0f} GB in all",
        f"network of a replica at the peak: {shared / 1e3:,.0f} kB/s with Redis, "
        f"{2 * rate * a.prompt_bytes / 1e3:,.0f} kB/s with clients and providers",
        f"Redis: {redis:.1f} cores at the peak, so {cells} cells of {math.ceil(a.replicas / cells)} replicas; "
        f"{a.replicas * shared / cells / 1e6:.1f} MB/s for each Redis",
        f"cost: {hours:,.0f} USD per day, {hours / a.prompts_per_day * 1e9:,.0f} USD per billion prompts",
    ):
        print(line)


def _count_exchanges(a: argparse.Namespace, rate: float) -> float:
    """Return the exchanges per second of a replica."""
    return min(1 / _LEAST_S, max(1 / a.sync_s, a.wakes * rate))


def main() -> None:
    """Measure or compute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "compute"])
    parser.add_argument("--rounds", type=int, default=2000, help="how often each thing is done")
    parser.add_argument("--requests", type=int, default=2000)
    for name, (default, text) in _ASSUMPTIONS.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{text} (%(default)s)")
    arguments = parser.parse_args()
    if arguments.what == "measure":
        measure_redis(arguments.rounds)
        asyncio.run(measure_gateway(arguments.requests))
    else:
        compute(arguments)


if __name__ == "__main__":
    main()
