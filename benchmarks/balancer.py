"""Measure two gateways behind a load balancer, with one Redis, while one of them dies. Everything runs on loopback.

    python benchmarks/balancer.py [--balancer haproxy] [--seconds 40] [--clients 16]

Half of the requests are streams of about a second. After a quarter of the time the first gateway is killed, and after a half
it is started again. After three quarters the second one gets SIGTERM, so that it ends its running requests. The script
counts the requests that failed: those that ran when the gateway was killed may fail, and no others. It reads the
configuration of `docs/deploy/`, with other addresses. Needs redis-server, and haproxy or nginx. Seed 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp
from gateway import ROOT, Processes
from replicas import RedisServer

_BALANCER_PORT, _UPSTREAM_PORT, _PORTS = 8380, 8381, (8391, 8392)
KEY = "a-client-key-of-this-benchmark"
# What docs/deploy.md says for nginx.
_NGINX = """
pid nginx.pid; error_log stderr; daemon off;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; client_max_body_size 32m;
  fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  upstream gateways {{ least_conn; {servers} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://gateways;
      proxy_buffering off;
      proxy_connect_timeout 2s;
      proxy_read_timeout 610s;
      proxy_next_upstream error timeout;
    }}
  }}
}}
"""


def write_config(folder: Path, upstream: str) -> None:
    """Write the configuration of docs/deploy/ for an upstream, without its rate limit."""
    text = (ROOT / "docs/deploy/router.toml").read_text().replace("https://api.openai.com/v1", upstream)
    (folder / "router.toml").write_text(text.replace("requests_per_minute = 600\n", ""))


async def start_gateway(processes: Processes, port: int) -> subprocess.Popen[bytes]:
    """Start a gateway and wait until it answers."""
    program = [sys.executable, "-c", "from router.cli import main; main()"]
    command = [*program, "serve", str(processes.folder / "router.toml"), "--port", str(port)]
    return await processes.start(f"gateway-{port}", command, f"http://127.0.0.1:{port}/ready", PYTHONPATH=str(ROOT))


async def start_balancer(processes: Processes, name: str) -> None:
    """Start the load balancer."""
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SystemExit(f"{name} is missing; install the package of your system")
    file = processes.folder / f"{name}.cfg"
    if name == "nginx":
        servers = " ".join(f"server 127.0.0.1:{port} max_fails=1 fail_timeout=5s;" for port in _PORTS)
        file.write_text(_NGINX.format(servers=servers, port=_BALANCER_PORT))
        command = [program, "-p", str(processes.folder), "-c", str(file)]
    else:
        text = (ROOT / "docs/deploy/haproxy.cfg").read_text().replace(":8080", f"127.0.0.1:{_BALANCER_PORT}")
        for number, port in enumerate(_PORTS, 1):
            text = text.replace(f"gateway-{number}:8100", f"127.0.0.1:{port}")
        file.write_text(text)
        command = [program, "-f", str(file)]
    await processes.start(name, command, f"http://127.0.0.1:{_BALANCER_PORT}/health")


async def ask(session: aiohttp.ClientSession, prompt: str, *, stream: bool) -> tuple[str, float]:
    """Send a request. Return how it ended, and the seconds until the answer began."""
    body = {"model": "auto", "messages": [{"role": "user", "content": prompt}], "stream": stream}
    url, began = f"http://127.0.0.1:{_BALANCER_PORT}/v1/chat/completions", time.monotonic()
    try:
        async with session.post(url, json=body, headers={"Authorization": f"Bearer {KEY}"}) as response:
            begun_s = time.monotonic() - began
            answer = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__, time.monotonic() - began
    if response.status != 200:  # noqa: PLR2004
        return f"status {response.status}", begun_s
    return "ok" if not stream or answer.endswith(b"data: [DONE]\n\n") else "broken stream", begun_s


async def run(arguments: argparse.Namespace, processes: Processes, redis: RedisServer) -> None:
    """Send requests, and break the gateways meanwhile."""
    os.environ |= {"REDIS_URL": redis.url, "TEAM_KEY": KEY, "OPENAI_API_KEY": "none"}
    upstream = await processes.start_upstream(_UPSTREAM_PORT)
    write_config(processes.folder, upstream)
    for port in _PORTS:
        await start_gateway(processes, port)
    await start_balancer(processes, arguments.balancer)
    results, rng = list[tuple[float, float, str, float, bool]](), random.Random(0)
    began = time.monotonic()
    ends_at = began + arguments.seconds

    async def work(session: aiohttp.ClientSession, client: int) -> None:
        number = 0
        while (at := time.monotonic()) < ends_at:
            stream, number = rng.random() < 0.5, number + 1  # noqa: PLR2004
            prompt = f"{client} {number} " + "write a poem about my secret garden " * (8 if stream else 1)
            end, begun_s = await ask(session, prompt, stream=stream)
            results.append((at, time.monotonic(), end, begun_s, stream))

    # Each request has a connection of its own, as if it came from another client.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        clients = [asyncio.ensure_future(work(session, client)) for client in range(arguments.clients)]
        await asyncio.sleep(arguments.seconds / 4)
        killed_at, running = time.monotonic(), len(clients)
        processes.kill(f"gateway-{_PORTS[0]}")
        await asyncio.sleep(arguments.seconds / 4)
        await start_gateway(processes, _PORTS[0])
        back_at = time.monotonic()
        await asyncio.sleep(max(0.0, began + 0.75 * arguments.seconds - back_at))
        stopped_at = time.monotonic()
        await asyncio.to_thread(processes.stop, f"gateway-{_PORTS[1]}")
        await asyncio.gather(*clients)
    failed = [one for one in results if one[2] != "ok"]
    beside = [one for one in failed if not one[0] < killed_at <= one[1]]
    starts = {
        stream: sorted(s for _, _, end, s, is_stream in results if end == "ok" and is_stream == stream) for stream in (0, 1)
    }
    print(
        f"{arguments.balancer}: {len(results)} requests of {running} clients in {arguments.seconds:g} s; killed after "
        f"{killed_at - began:.1f} s, back after {back_at - began:.1f} s, SIGTERM after {stopped_at - began:.1f} s\n"
        f"failed: {len(failed)} {dict(Counter(one[2] for one in failed))}; of them not running when the gateway was killed: "
        f"{len(beside)} {[(round(one[0] - began, 2), one[2]) for one in beside[:5]]}\n"
        f"first byte, ms: whole answers median {1e3 * statistics.median(starts[0]):.0f}, streams median "
        f"{1e3 * statistics.median(starts[1]):.0f}, longest {1e3 * max(starts[0][-1], starts[1][-1]):.0f}"
    )


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--balancer", choices=["haproxy", "nginx"], default="haproxy")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    redis, processes = RedisServer(), Processes(Path(tempfile.mkdtemp()))
    try:
        asyncio.run(run(arguments, processes, redis))
    finally:
        processes.end()
        redis.kill()


if __name__ == "__main__":
    main()
