"""Measure the gateway against its upstream alone and beside other gateways, on loopback.

    python benchmarks/gateway.py compare --folder FOLDER [--others portkey litellm] [--n 300] [--seconds 8] [--rounds 3]
    python benchmarks/gateway.py streams [--n 1000]
    python benchmarks/gateway.py faults [--seconds 600]

`compare` sends the same prompts to each target in turn. It prints the added median latency, the time that the first event
of a stream takes on its way, and the throughput with 32 requests at the same time. FOLDER keeps the other gateways, which
are installed on first use. `streams` opens many streams at once and checks that none is cut or mixed. `faults` sends
requests while one of two upstreams fails in turn, and clients leave. It counts the errors that clients see, the memory,
and the attempts in the metrics and at the upstreams.

The upstream is `load/upstream.py`. Prompts are those of `data/prompts.csv`, each once, because the router keeps the task
of a prompt that it has seen.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[1]
_CONCURRENCY = 32
_FAULTS, _BROKEN_S = ("down", "slow", "half-open", "malformed", "killed"), 8.0
# Shares of the requests that are streams, and of the streams whose client leaves.
_STREAMS, _LEAVE = 0.5, 0.1
_FIRST_PORT = 8311
_PORTKEY, _LITELLM = "@portkey-ai/gateway@1.15.2", "litellm[proxy]==1.90.0"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server that answers chat completions.

    Attributes:
        name: Its name.
        url: Its base URL.
        model: The model to ask for.
        headers: Headers that it needs.
    """

    name: str
    url: str
    model: str
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(self, session: aiohttp.ClientSession, prompt: str) -> None:
        """Send a request and read the answer."""
        async with session.post(f"{self.url}/chat/completions", json=self._body(prompt), headers=self.headers) as response:
            answer = await response.json()
            if response.status != 200:  # noqa: PLR2004
                raise RuntimeError(f"{self.name}: {response.status} {answer}")

    async def stream(self, session: aiohttp.ClientSession, prompt: str) -> AsyncIterator[tuple[float, str]]:
        """Send a request and yield, for each event with text, the seconds since it was sent and the text."""
        body = self._body(prompt) | {"stream": True}
        async with session.post(f"{self.url}/chat/completions", json=body, headers=self.headers) as response:
            if response.status != 200:  # noqa: PLR2004
                raise RuntimeError(f"{self.name}: {response.status} {await response.text()}")
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                if "error" in event:
                    raise RuntimeError(f"{self.name}: {event['error']}")
                sent_at = float(str(event["id"]).removeprefix("at-")) if str(event["id"]).startswith("at-") else 0.0
                for choice in event["choices"]:
                    yield time.monotonic() - sent_at, choice["delta"].get("content") or ""

    def _body(self, prompt: str) -> dict[str, Any]:
        return {"model": self.model, "messages": [{"role": "user", "content": prompt}]}


class Processes:
    """The servers of a benchmark, each a process of its own, ended together."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._running = folder, dict[str, subprocess.Popen[bytes]]()
        folder.mkdir(parents=True, exist_ok=True)

    async def start(self, name: str, command: Sequence[str], url: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a server and wait until it answers."""
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=log, stderr=log, cwd=self.folder)
        self._running[name] = process
        async with aiohttp.ClientSession() as session:
            for _ in range(1200):
                try:
                    async with session.get(url):
                        return process
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
        raise SystemExit(f"{name} does not start; see {log.name}")

    async def start_upstream(self, port: int) -> str:
        """Start an upstream and return its base URL."""
        url = f"http://127.0.0.1:{port}"
        await self.start(
            f"upstream-{port}", [sys.executable, str(ROOT / "benchmarks/load/upstream.py"), str(port)], f"{url}/count"
        )
        return f"{url}/v1"

    async def start_gateway(self, upstreams: Sequence[str], more: str = "") -> tuple[Target, subprocess.Popen[bytes]]:
        """Start our gateway in front of upstreams that serve the same models."""
        file = self.folder / "router.toml"
        names = [f"up{n}" for n in range(len(upstreams))]
        served = ", ".join(f'{{endpoint = "{name}"}}' for name in names)
        endpoints = "".join(f'[endpoints.{n}]\nbase_url = "{url}"\n' for n, url in zip(names, upstreams, strict=True))
        models = "".join(f'[models."{model}"]\nserved_by = [{served}]\n' for model in ("gpt-5.5", "gpt-4.1-mini"))
        file.write_text(f"{more}{endpoints}{models}")
        url = "http://127.0.0.1:8301"
        program = str(Path(sys.executable).with_name("llm-router"))
        process = await self.start("ours", [program, "serve", str(file), "--port", "8301"], f"{url}/health")
        return Target(name="ours", url=f"{url}/v1", model="auto"), process

    async def start_portkey(self, upstream: str) -> Target:
        """Start Portkey's gateway."""
        program = self.folder / "node_modules/.bin/gateway"
        if not program.exists():
            subprocess.run(["npm", "install", "--silent", "--prefix", str(self.folder), _PORTKEY], check=True)  # noqa: S607
        await self.start("portkey", [str(program), "--port=8302", "--headless"], "http://127.0.0.1:8302")
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": upstream, "Authorization": "Bearer none"}
        return Target(name="portkey", url="http://127.0.0.1:8302/v1", model="gpt-5.5", headers=headers)

    async def start_litellm(self, upstream: str) -> Target:
        """Start LiteLLM's proxy."""
        programs = self.folder / "litellm/bin"
        if not programs.exists():
            subprocess.run([sys.executable, "-m", "venv", str(programs.parent)], check=True)
            # pip takes ten minutes to choose among the versions of its dependencies.
            subprocess.run([str(programs / "pip"), "install", "--quiet", "uv"], check=True)
            subprocess.run(
                [str(programs / "uv"), "pip", "install", "--python", str(programs / "python"), _LITELLM], check=True
            )
        config = self.folder / "litellm.yaml"
        parameters = f"{{model: openai/gpt-5.5, api_base: '{upstream}', api_key: none}}"
        config.write_text(f"model_list:\n  - model_name: gpt-5.5\n    litellm_params: {parameters}\n")
        command = [str(programs / "litellm"), "--config", str(config), "--port", "8303", "--host", "127.0.0.1"]
        await self.start(
            "litellm", command, "http://127.0.0.1:8303/health/liveliness", PATH=f"{programs}:{os.environ['PATH']}"
        )
        return Target(name="litellm", url="http://127.0.0.1:8303/v1", model="gpt-5.5")

    def kill(self, name: str) -> None:
        """End a server at once."""
        self._running[name].kill()
        self._running[name].wait()

    def stop(self, name: str) -> None:
        """Let a server end its running requests, and wait for that."""
        self._running[name].terminate()
        self._running[name].wait()

    def end(self) -> None:
        """End all servers."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait()


@asynccontextmanager
async def _connect() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        yield session


def draw_prompts() -> Callable[[], str]:
    """Return a function that returns another prompt each time."""
    csv.field_size_limit(1 << 24)
    with (ROOT / "data/prompts.csv").open(encoding="utf-8", newline="") as stream:
        prompts = [row["prompt"] for row in csv.DictReader(stream) if row["language"] == "en"]
    random.Random(0).shuffle(prompts)
    drawn = 0

    def draw() -> str:
        nonlocal drawn
        drawn += 1
        # After all prompts, a number makes each a new one.
        again = drawn // len(prompts)
        return prompts[drawn % len(prompts)] + (f" ({again})" if again else "")

    return draw


async def compare(arguments: argparse.Namespace, processes: Processes) -> None:
    """Compare latency and throughput of the targets."""
    upstream = await processes.start_upstream(_FIRST_PORT)
    ours, _ = await processes.start_gateway([upstream])
    # The others choose no model either if a client names it.
    targets = [Target(name="upstream alone", url=upstream, model="gpt-5.5"), ours]
    targets.append(replace(ours, name="ours, one model", model="gpt-5.5"))
    starts = {"portkey": processes.start_portkey, "litellm": processes.start_litellm}
    targets += [await starts[name](upstream) for name in arguments.others]
    draw = draw_prompts()
    async with _connect() as session:
        streaming = [target for target in targets if await _warm_up(session, target, draw)]
        latencies: dict[str, list[float]] = {target.name: [] for target in targets}
        firsts: dict[str, list[float]] = {target.name: [] for target in targets}
        for _ in range(arguments.n):
            prompt = draw()
            for target in targets:
                began = time.perf_counter()
                await target.ask(session, prompt)
                latencies[target.name].append(time.perf_counter() - began)
            for target in streaming:
                seconds = [seconds async for seconds, text in target.stream(session, "one two") if text]
                firsts[target.name].append(seconds[0])
        rates: dict[str, list[float]] = {target.name: [] for target in targets}
        for _ in range(arguments.rounds):
            for target in targets:
                rates[target.name].append(await _measure_rate(session, target, draw, arguments.seconds))
    base, first = (statistics.median(times[targets[0].name]) for times in (latencies, firsts))
    print(f"n {arguments.n}, seed 0; {arguments.rounds} rounds of {arguments.seconds:g} s, {_CONCURRENCY} at the same time")
    heads = ("median ms", "added ms", "p99 ms", "first event, added ms", "requests per second")
    print(f"{'target':16} " + "  ".join(heads))
    for target in targets:
        times = sorted(latencies[target.name])
        middle = statistics.median(times)
        figures = (middle * 1e3, (middle - base) * 1e3, times[int(0.99 * len(times))] * 1e3)
        seconds = firsts[target.name]
        added = f"{(statistics.median(seconds) - first) * 1e3:.2f}" if seconds else "no stream"
        cells = [*(f"{figure:.2f}" for figure in figures), added, f"{statistics.median(rates[target.name]):.0f}"]
        print(f"{target.name:16} " + "  ".join(cell.rjust(len(head)) for cell, head in zip(cells, heads, strict=True)))


async def _warm_up(session: aiohttp.ClientSession, target: Target, draw: Callable[[], str]) -> bool:
    """Send some requests. Return whether the target can stream."""
    for _ in range(20):
        await target.ask(session, draw())
    try:
        return bool([text async for _, text in target.stream(session, "one two")])
    except RuntimeError as error:
        print(error)
        return False


async def _measure_rate(session: aiohttp.ClientSession, target: Target, draw: Callable[[], str], seconds: float) -> float:
    ends_at, done = time.monotonic() + seconds, 0

    async def work() -> None:
        nonlocal done
        while time.monotonic() < ends_at:
            await target.ask(session, draw())
            done += 1

    await asyncio.gather(*(work() for _ in range(_CONCURRENCY)))
    return done / seconds


async def run_streams(arguments: argparse.Namespace, processes: Processes) -> None:
    """Open many streams at once, and check that none is cut or mixed."""
    target, _ = await processes.start_gateway([await processes.start_upstream(_FIRST_PORT)])
    rng = random.Random(0)

    async def check(session: aiohttp.ClientSession, number: int) -> bool:
        words = [f"s{number}w{place}x{rng.randrange(10**6)}" for place in range(60)]
        text = "".join([text async for _, text in target.stream(session, " ".join(words))])
        return text.split() == words

    began = time.monotonic()
    async with _connect() as session:
        whole = await asyncio.gather(*(check(session, number) for number in range(arguments.n)), return_exceptions=True)
    failed = [str(result)[:120] for result in whole if result is not True]
    seconds = time.monotonic() - began
    print(f"{arguments.n} streams of 60 events at once, seed 0, {seconds:.1f} s: {len(failed)} cut or mixed")
    print("\n".join(failed[:5]))


class FaultRun:
    """Requests while one of two upstreams fails in turn.

    Args:
        processes: The servers.
        seconds: How long it takes.
    """

    def __init__(self, processes: Processes, seconds: float) -> None:
        self._processes, self._seconds, self._ends_at = processes, seconds, time.monotonic() + seconds
        self._rng, self._draw = random.Random(0), draw_prompts()
        self._errors, self._memory, self._counts = list[str](), list[int](), list[int]()
        self._ended = self._left = self._broken = 0

    async def run(self) -> None:
        """Run, and print what came of it."""
        upstreams = [await self._processes.start_upstream(_FIRST_PORT + n) for n in range(2)]
        limits = "[calls]\nfirst_token_s = 3.0\nanswer_s = 3.0\ndeadline_s = 60.0\n"
        target, process = await self._processes.start_gateway(upstreams, limits)
        self._ends_at = time.monotonic() + self._seconds
        async with _connect() as session:
            works = (self._work(session, target) for _ in range(_CONCURRENCY))
            await asyncio.gather(self._break_in_turn(session, upstreams, process.pid), *works)
            await asyncio.sleep(3)
            for upstream in upstreams:
                self._counts.append(await _read_count(session, upstream))
            async with session.get(f"{target.url.removesuffix('/v1')}/metrics") as response:
                metrics = await response.text()
        attempts: dict[str, int] = {}
        for end, n in re.findall(r'router_attempts_total\{end="([^"]+)",endpoint="[^"]*"\} (\S+)', metrics):
            attempts[end] = attempts.get(end, 0) + int(float(n))
        print(f"{self._seconds:g} s, seed 0: {self._ended} requests ended well, {self._left} clients left")
        print(f"{len(self._errors)} saw an error before the answer began, {self._broken} saw a stream break that had begun")
        print(f"attempts in the metrics {sum(attempts.values())} ({attempts}), at the upstreams {sum(self._counts)}")
        third = len(self._memory) // 3
        parts = (self._memory[:third], self._memory[third : 2 * third], self._memory[2 * third :])
        print(
            "median memory in each third, MB:", ", ".join(f"{statistics.median(part) / 1e6:.1f}" for part in parts if part)
        )
        print("\n".join(self._errors[:5]))

    async def _work(self, session: aiohttp.ClientSession, target: Target) -> None:
        while time.monotonic() < self._ends_at:
            try:
                if self._rng.random() < _STREAMS:
                    await self._stream(session, target)
                else:
                    await target.ask(session, self._draw())
                self._ended += 1
            except (RuntimeError, aiohttp.ClientError, TimeoutError) as error:
                if "broke after" in str(error):
                    self._broken += 1
                else:
                    self._errors.append(f"{type(error).__name__}: {error}"[:300])
            await asyncio.sleep(self._rng.uniform(0, 0.2))

    async def _stream(self, session: aiohttp.ClientSession, target: Target) -> None:
        leaves_after = self._rng.randrange(3) if self._rng.random() < _LEAVE else None
        seen = 0
        async for _ in target.stream(session, " ".join(self._draw().split()[:20])):
            seen += 1
            if leaves_after is not None and seen > leaves_after:
                self._left += 1
                return

    async def _break_in_turn(self, session: aiohttp.ClientSession, upstreams: Sequence[str], pid: int) -> None:
        """Break one upstream, mend it, wait, and break the other one."""
        turn = 0
        while time.monotonic() < self._ends_at:
            self._memory.append(_read_memory(pid))
            place, fault = turn % 2, _FAULTS[(turn // 2) % len(_FAULTS)]
            root = upstreams[place].removesuffix("/v1")
            if fault == "killed":
                # The count of a process ends with it.
                self._counts.append(await _read_count(session, upstreams[place]))
                self._processes.kill(f"upstream-{_FIRST_PORT + place}")
                await asyncio.sleep(_BROKEN_S)
                await self._processes.start_upstream(_FIRST_PORT + place)
            else:
                await session.post(f"{root}/fault/{fault}")
                await asyncio.sleep(_BROKEN_S)
                await session.post(f"{root}/fault/none")
            await asyncio.sleep(1)
            turn += 1


async def run_faults(arguments: argparse.Namespace, processes: Processes) -> None:
    """Send requests while one of two upstreams fails in turn."""
    await FaultRun(processes, arguments.seconds).run()


async def _read_count(session: aiohttp.ClientSession, upstream: str) -> int:
    async with session.get(f"{upstream.removesuffix('/v1')}/count") as response:
        return int((await response.json())["count"])


def _read_memory(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["compare", "streams", "faults"])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/gateway-benchmark"))  # noqa: S108 - logs and programs
    parser.add_argument("--others", nargs="*", choices=["portkey", "litellm"], default=[])
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    processes = Processes(arguments.folder.resolve())
    run = {"compare": compare, "streams": run_streams, "faults": run_faults}[arguments.what]
    try:
        asyncio.run(run(arguments, processes))
    finally:
        processes.end()


if __name__ == "__main__":
    main()
