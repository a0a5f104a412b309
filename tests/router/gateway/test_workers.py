"""Several workers behind one port, as processes of `llm-router serve`."""

import json
import multiprocessing
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from router.cli import app
from router.config.read import read_config
from router.config.schema import LogConfig
from router.gateway.log import open_log
from router.gateway.make import make_gateway
from tests.router.gateway.conftest import PROVIDER_KEY, write_config
from tests.router.gateway.scripted_upstream import ScriptedUpstream
from tests.router.state.server import RedisServer

SERVE = [sys.executable, "-c", "from router.cli import main; main()", "serve"]
STATE = '[state]\nurl_env = "TEST_REDIS_URL"\nsync_s = 0.05\n'
STEADY = '[models."glm-5.2"]\nserved_by = [{endpoint = "up", model = "steady"}]\n'
AT_ONCE = 16
WRITERS, LINES = 3, 400


def ask(url: str, model: str = "gpt-5.5") -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).status_code


def read_requests(url: str) -> dict[str, float]:
    """Return the number of answered requests by worker."""
    text = httpx.get(f"{url}/metrics", timeout=30).text
    counts = dict.fromkeys(re.findall(r'router_state_up\{worker="(\d+)"\}', text), 0.0)
    for line in text.splitlines():
        if line.startswith("router_requests_total{") and 'status="200"' in line:
            counts[re.findall(r'worker="(\d+)"', line)[0]] += float(line.split()[-1])
    return counts


def wait_for(holds: Callable[[], Any]) -> Any:
    for _ in range(1200):
        try:
            if found := holds():
                return found
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail("it does not happen within 120 s")


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.stop()


@contextmanager
def serve(config: Path, redis: RedisServer, model_folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environment = {"PROVIDER_KEY": PROVIDER_KEY, "LLM_ROUTER_MODEL": str(model_folder), "TEST_REDIS_URL": redis.url}
    command = [*SERVE, str(config), "--port", port, "--workers", "2"]
    process = subprocess.Popen(command, env=os.environ | environment, start_new_session=True, text=True)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: len(read_requests(url)) == 2)
        yield url, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_worker_that_is_killed_comes_back_and_any_worker_shows_the_metrics_of_all(
    tmp_path: Path, upstream: ScriptedUpstream, model_folder: Path, redis_server: RedisServer
) -> None:
    config = write_config(tmp_path, upstream, STATE)
    with serve(config, redis_server, model_folder) as (url, _), ThreadPoolExecutor(AT_ONCE) as pool:
        asked = 0

        def both_answer() -> bool:
            nonlocal asked
            asked += AT_ONCE
            assert set(pool.map(lambda _: ask(url), range(AT_ONCE))) == {200}
            return all(read_requests(url).values())

        wait_for(both_answer)
        counts = read_requests(url)
        assert sum(counts.values()) == asked
        killed, survivor = counts
        os.kill(int(killed), signal.SIGKILL)
        after = wait_for(lambda: (found := read_requests(url)).keys() != counts.keys() and len(found) == 2 and found)
        assert survivor in after
        assert killed not in after
        wait_for(both_answer)


def test_sigterm_ends_all_workers_after_the_running_requests(
    tmp_path: Path, upstream: ScriptedUpstream, model_folder: Path, redis_server: RedisServer
) -> None:
    config = write_config(tmp_path, upstream, STATE + STEADY)
    begun: list[None] = []
    with serve(config, redis_server, model_folder) as (url, process), ThreadPoolExecutor(AT_ONCE) as pool:
        workers = [int(worker) for worker in read_requests(url)]

        def stream(_: int) -> bytes:
            body = {"model": "glm-5.2", "messages": [{"role": "user", "content": "hello"}], "stream": True}
            with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as response:
                parts = response.iter_bytes()
                received = next(parts)
                begun.append(None)
                return received + b"".join(parts)

        answers = [pool.submit(stream, number) for number in range(AT_ONCE)]
        wait_for(lambda: len(begun) == AT_ONCE)
        process.send_signal(signal.SIGTERM)
        assert {answer.result().endswith(b"data: [DONE]\n\n") for answer in answers} == {True}
        assert process.wait(60) == 0
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_a_worker_that_has_ended_is_left_out_of_the_metrics(
    tmp_path: Path, upstream: ScriptedUpstream, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
    # The path of a socket must be short.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as ended:
        ended.bind(f"{folder}/1")
        gateway = make_gateway(read_config(write_config(tmp_path, upstream)), sockets=Path(folder))
        with TestClient(gateway, base_url="http://127.0.0.1") as client:
            text = client.get("/metrics").text
        assert set(re.findall(r'worker="(\d+)"', text)) == {str(os.getpid())}
        assert "# TYPE router_requests_total counter" in text
        assert [path.name for path in Path(folder).iterdir()] == ["1"]


def test_several_workers_need_a_shared_state(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    for file in ([], [str(write_config(tmp_path, upstream))]):
        refused = CliRunner().invoke(app, ["serve", *file, "--workers", "2"]).exception
        assert str(refused).startswith("--workers 2 needs a table [state] in FILE")


def test_a_worker_that_cannot_start_ends_the_server_and_says_why(
    tmp_path: Path, upstream: ScriptedUpstream, model_folder: Path
) -> None:
    config = write_config(tmp_path, upstream, STATE)
    environment = {"LLM_ROUTER_MODEL": str(model_folder), "TEST_REDIS_URL": ""}
    result = subprocess.run(
        [*SERVE, str(config), "--port", "0", "--workers", "2"],
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 3
    assert "the environment variable TEST_REDIS_URL must hold the URL of a Redis server" in result.stderr
    assert "Traceback" not in result.stderr


def write_lines(path: Path, writer: int, config: LogConfig) -> None:
    log = open_log(path, config)
    for number in range(LINES):
        log._write(f"req-{writer}-{number}", time.time(), {"id": f"req-{writer}-{number}", "status": 200})
    log.close()


@pytest.mark.parametrize(("name", "max_mb"), [("log.jsonl", 0.005), ("log.sqlite", 100.0)])
def test_several_processes_write_one_log_and_lose_no_line(tmp_path: Path, name: str, max_mb: float) -> None:
    config = LogConfig(file=name, max_mb=max_mb, keep=1000)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_lines, args=(tmp_path / name, writer, config)) for writer in range(WRITERS)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0] * WRITERS
    if name.endswith(".jsonl"):
        files = list(tmp_path.glob("log*.jsonl"))
        lines = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
        assert len(files) > 5
        # A process may have checked the size just before another one wrote.
        assert max(file.stat().st_size for file in files) < 5_000 + WRITERS * 50
    else:
        with closing(sqlite3.connect(tmp_path / name)) as database:
            lines = [json.loads(record) for (record,) in database.execute("SELECT record FROM log")]
    expected = {f"req-{writer}-{number}" for writer in range(WRITERS) for number in range(LINES)}
    assert len(lines) == len(expected)
    assert {line["id"] for line in lines} == expected
