"""Cascades behind the gateway, in front of a real server on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.router.gateway.conftest import RunningGateway
from tests.router.gateway.test_gateway import wait_for
from tests.router.serving.model_server import ModelServer

MESSAGES = [{"role": "user", "content": "write a haiku about rain"}]
CONFIG = """
strategy = "cascade"
usd_per_point = 0.1
[cascade]
verifier = "judge"
model = "gpt-4.1-mini"
accuracy = 1.0
overlap = 0.0
[calls]
backoff_s = 0.001
max_attempts = 2
[log]
file = "log.jsonl"
[endpoints.up]
base_url = "URL"
protocols = ["chat", "messages"]
[models."gpt-5.5"]
fallbacks = []
[models."gemini-2.5-flash"]
fallbacks = []
[models."gpt-4.1-mini"]
fallbacks = []
"""


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer({}) as server:
        yield server


@pytest.fixture
def gateway(
    server: ModelServer, tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningGateway]:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
    path = tmp_path / "router.toml"
    path.write_text(CONFIG.replace("URL", server.url))
    running = RunningGateway(path)
    yield running
    running.close()


def decide(gateway: RunningGateway) -> tuple[str, str]:
    """Return the two models of the cascade."""
    decision = httpx.post(f"{gateway.url}/v1/route", json={"messages": MESSAGES}).json()
    first, second = decision["cascade"]["models"]
    return first, second


def ask(gateway: RunningGateway, **body: Any) -> httpx.Response:
    return httpx.post(f"{gateway.url}/v1/chat/completions", json={"messages": MESSAGES, **body}, timeout=60)


def read_text(response: httpx.Response, *, stream: bool) -> str:
    if not stream:
        return str(response.json()["choices"][0]["message"]["content"])
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
    return " ".join(e["choices"][0]["delta"].get("content", "") for e in events if e["choices"]).strip()


def read_log(gateway: RunningGateway) -> dict[str, Any]:
    """Return the line of the only request. It is written after the client has its answer."""
    wait_for(lambda: (gateway.folder / "log.jsonl").read_text().endswith("\n"))
    line: dict[str, Any] = json.loads((gateway.folder / "log.jsonl").read_text())
    return line


@pytest.mark.parametrize("stream", [False, True])
def test_the_client_gets_the_accepted_answer_and_the_log_the_whole_cost(
    gateway: RunningGateway, server: ModelServer, stream: bool
) -> None:
    first, second = decide(gateway)
    server.answers = {first: "drip drop", second: "rain on the roof", "gpt-4.1-mini": "SCORE: 2"}
    response = ask(gateway, stream=stream)
    assert (read_text(response, stream=stream), response.headers["x-router-model"]) == ("rain on the roof", second)
    assert "drip" not in response.text
    assert server.models == [first, "gpt-4.1-mini", second]
    line = read_log(gateway)
    assert (line["model"], line["cascade"]) == (second, [first, second])
    assert line["checks"] == [f"the answer of {first} is not accepted: gpt-4.1-mini gave 2 of 10 points, 7 are needed"]
    assert line["total_cost_usd"] > line["cost_usd"] > 0
    metrics = httpx.get(f"{gateway.url}/metrics").text
    assert 'router_cascades_total{place="2"} 1.0' in metrics
    paid = [row for row in metrics.splitlines() if row.startswith("router_cost_usd_total{")]
    assert {name for name in (first, second, "gpt-4.1-mini") if any(f'"{name}"' in row for row in paid)} == set(
        server.models
    )


@pytest.mark.parametrize("stream", [False, True])
def test_an_accepted_first_answer_is_the_clients(gateway: RunningGateway, server: ModelServer, stream: bool) -> None:
    first, _ = decide(gateway)
    server.answers = {first: "drip drop", "gpt-4.1-mini": "SCORE: 9"}
    response = ask(gateway, stream=stream)
    assert (read_text(response, stream=stream), response.headers["x-router-model"]) == ("drip drop", first)
    assert server.models == [first, "gpt-4.1-mini"]


@pytest.mark.parametrize("stream", [False, True])
def test_if_the_next_model_fails_the_client_gets_the_first_answer(
    gateway: RunningGateway, server: ModelServer, stream: bool
) -> None:
    first, second = decide(gateway)
    server.answers = {first: "drip drop", "gpt-4.1-mini": "SCORE: 1"}
    response = ask(gateway, stream=stream)
    assert response.status_code == 200
    assert (read_text(response, stream=stream), response.headers["x-router-model"]) == ("drip drop", first)
    assert set(server.models) == {first, second, "gpt-4.1-mini"}
    assert read_log(gateway)["checks"][-1].startswith(f"the answer of {first} is returned all the same: {second} gave no")


def test_other_protocols_are_answered_by_one_model_and_told_so(gateway: RunningGateway, server: ModelServer) -> None:
    body = {"messages": MESSAGES, "max_tokens": 50}
    response = httpx.post(f"{gateway.url}/v1/messages", json=body, headers={"x-router-debug": "1"}, timeout=60)
    assert response.status_code in (502, 503)  # no model of the server answers
    assert read_log(gateway)["cascade"] is None
    assert (
        "no cascade: only answers of the protocol 'chat' can be checked, not of 'messages'" in read_log(gateway)["reasons"]
    )
