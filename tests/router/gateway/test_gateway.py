"""What the gateway does besides passing requests on."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from click.testing import CliRunner

from router.cli import app
from router.config.read import read_config
from router.errors import ConfigError
from router.gateway.make import make_gateway
from tests.router.gateway.conftest import PROVIDER_KEY, RunningGateway, Start, write_config
from tests.router.gateway.scripted_upstream import ScriptedUpstream

PROMPT = "write a poem about my secret garden"
MESSAGES = [{"role": "user", "content": PROMPT}]
KEYS = """
[keys.anna]
env = "ANNA"
models = ["gpt-5.5"]
operator = true
budget_usd = 5.0
[keys.bert]
env = "BERT"
requests_per_minute = 1
"""
ANNA, BERT = "anna-key-0123456789", "bert-key-0123456789"


def ask(
    gateway: RunningGateway, model: str = "gpt-5.5", headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    request = {"model": model, "messages": MESSAGES, **body}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=request, headers=headers or {}, timeout=60)


def wait_for(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_names_of_models(start: Start, upstream: ScriptedUpstream) -> None:
    gateway = start('[aliases]\n"gpt-4o" = "auto:cheap"\nboth = ["gpt-5.5", "gpt-4.1-mini"]\n')
    names = [model["id"] for model in httpx.get(f"{gateway.url}/v1/models").json()["data"]]
    assert names[:5] == ["auto", "auto:quality", "auto:balanced", "auto:cheap", "auto:fast"]
    assert {"gpt-5.5", "gpt-4o", "both"} <= set(names)
    assert ask(gateway, "both").headers["x-router-model"] == "gpt-5.5"
    assert {body["model"] for _, body, _ in upstream.seen} <= {"down", "ok"}
    # A model is asked for alone: it is down, and no other model answers for it.
    assert ask(gateway, "gpt-4.1-mini").status_code in (502, 503)


def test_a_decision_without_a_call(start: Start, upstream: ScriptedUpstream) -> None:
    gateway = start()
    decision = httpx.post(f"{gateway.url}/v1/route", json={"prompt": "prove it", "router": {"allowed": ["gpt-5.5"]}}).json()
    assert decision["model"] == "gpt-5.5"
    refused = httpx.post(f"{gateway.url}/v1/route", json={"messages": 1})
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "messages must be a list of messages, got int; correct it",
    )
    assert upstream.seen == []


def test_details_are_in_the_headers_if_asked_for(start: Start) -> None:
    gateway = start()
    assert not [name for name in ask(gateway).headers if name in ("x-router-reasons", "x-router-attempts")]
    headers = ask(
        gateway, "auto", {"x-router-debug": "1"}, router={"allowed": ["gpt-4.1-mini", "gpt-5.5"], "prefer": "cheap"}
    ).headers
    assert headers["x-router-attempts"] == "up/gpt-4.1-mini=down: transient, up/gpt-5.5=ok: ok"
    assert float(headers["x-router-decision-ms"]) > 0


def test_feedback_teaches_the_router(start: Start) -> None:
    gateway = start("learn = true\n")
    answer = ask(gateway)
    sent = httpx.post(f"{gateway.url}/v1/feedback", json={"id": answer.headers["x-router-id"], "score": 0.0})
    assert sent.status_code == 200
    assert httpx.post(f"{gateway.url}/v1/feedback", json={"id": "req-1", "score": 0.0}).status_code == 400
    assert httpx.post(f"{gateway.url}/v1/feedback", json={"score": 0.0}).status_code == 400


def test_clients_need_their_keys_and_stay_within_their_limits(
    start: Start, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNA", ANNA)
    monkeypatch.setenv("BERT", BERT)
    gateway = start(KEYS)
    assert ask(gateway).status_code == 401
    assert ask(gateway, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert httpx.get(f"{gateway.url}/metrics").status_code == 401
    assert httpx.get(f"{gateway.url}/health").status_code == 200
    assert upstream.seen == []
    anna, bert = {"Authorization": f"Bearer {ANNA}"}, {"x-api-key": BERT}
    assert ask(gateway, "auto", anna).headers["x-router-model"] == "gpt-5.5"
    assert ask(gateway, "claude-haiku-4-5", anna).status_code == 403
    assert ask(gateway, headers=bert).status_code == 200
    limited = ask(gateway, headers=bert)
    assert (limited.status_code, limited.json()["error"]["code"]) == (429, "budget_exceeded")
    assert ANNA not in str(upstream.seen)
    assert BERT not in str(upstream.seen)
    for path in ("/metrics", "/v1/live"):
        assert httpx.get(f"{gateway.url}{path}", headers=anna).status_code == 200
        refused = httpx.get(f"{gateway.url}{path}", headers=bert)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "operators_only")
    assert httpx.get(f"{gateway.url}/v1/presets", headers=bert).json().keys() == {"quality", "balanced", "cheap", "fast"}


def read_budget(gateway: RunningGateway, headers: dict[str, str]) -> float:
    lines = httpx.get(f"{gateway.url}/metrics", headers=headers).text.splitlines()
    (line,) = [line for line in lines if line.startswith('router_budget_remaining_usd{client="anna"}')]
    return float(line.split()[-1])


def test_a_budget_counts_requests_that_run_and_those_that_a_client_leaves(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNA", ANNA)
    headers = {"Authorization": f"Bearer {ANNA}"}
    gateway = start('[keys.anna]\nenv = "ANNA"\nbudget_usd = 0.003\noperator = true\n')
    body = {"model": "gemini-2.5-flash", "messages": MESSAGES, "stream": True}
    with httpx.stream(
        "POST", f"{gateway.url}/v1/chat/completions", json=body, headers=headers | {"x-router-debug": "1"}, timeout=60
    ) as response:
        expected = float(response.headers["x-router-expected-cost-usd"])
        assert 0.001 < expected < 0.003
        assert next(response.iter_bytes())
        assert read_budget(gateway, headers) == pytest.approx(0.003 - expected, rel=0.01)
        refused = ask(gateway, "gpt-5.5", headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "budget_exceeded")
        assert "USD are left of the budget of the client 'anna'" in refused.json()["error"]["message"]
    wait_for(lambda: httpx.get(f"{gateway.url}/v1/live", headers=headers).json()["running"] == 0)
    assert read_budget(gateway, headers) == pytest.approx(0.003 - expected, rel=0.01)
    # A server that is down costs nothing, and an answer costs what its tokens do.
    assert ask(gateway, "gpt-4.1-mini", headers).status_code in (502, 503)
    assert read_budget(gateway, headers) == pytest.approx(0.003 - expected, rel=0.01)


@pytest.mark.parametrize(
    ("value", "message"), [("short", "at least 16 characters"), (None, "at least 16 characters"), (ANNA, "the same key")]
)
def test_weak_keys_are_refused(
    tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, value: str | None, message: str
) -> None:
    monkeypatch.setenv("ANNA", ANNA)
    if value is not None:
        monkeypatch.setenv("BERT", value)
    with pytest.raises(ConfigError, match=message) as refused:
        make_gateway(read_config(write_config(tmp_path, upstream, KEYS)))
    assert "short" not in str(refused.value)


def test_other_addresses_need_keys(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    result = CliRunner().invoke(app, ["serve", str(write_config(tmp_path, upstream)), "--host", "192.0.2.1"])
    assert isinstance(result.exception, ConfigError)
    assert "so the clients need keys" in str(result.exception)


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
def test_pages_of_other_sites_cannot_ask(start: Start, upstream: ScriptedUpstream, headers: dict[str, str]) -> None:
    assert ask(start(), headers=headers).status_code == 403
    assert upstream.seen == []


def test_a_client_that_leaves_ends_its_call(start: Start, upstream: ScriptedUpstream) -> None:
    gateway = start()
    body = {"model": "gemini-2.5-flash", "messages": MESSAGES, "stream": True}
    with httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=body, timeout=60) as response:
        assert next(response.iter_bytes())
    wait_for(lambda: upstream.left == 1)
    wait_for(lambda: 'router_attempts_total{end="cancelled"' in httpx.get(f"{gateway.url}/metrics").text)


def test_large_slow_and_malformed_requests_are_refused(start: Start) -> None:
    gateway = start("[gateway]\nmax_body_mb = 0.001\nread_s = 0.3\n")
    large = ask(gateway, messages=[{"role": "user", "content": "x" * 2000}])
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
    malformed = httpx.post(f"{gateway.url}/v1/messages", content=b'{"model"')
    assert (malformed.status_code, malformed.json()["error"]["type"]) == (400, "invalid_request_error")
    host, port = gateway.url.removeprefix("http://").split(":")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
    for sent, status in ((head + b"\r\n{", b"408"), (head + b"X: " + b"y" * 70_000, b"431")):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(sent)
            assert status in connection.recv(1000).splitlines()[0]


def test_metrics_count_and_hold_no_text(start: Start) -> None:
    gateway = start('[gateway]\nbaseline = "gpt-5.5"\n')
    ask(gateway)
    ask(gateway, "claude-haiku-4-5")
    text = httpx.get(f"{gateway.url}/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines['router_requests_total{client="",protocol="chat",status="200"}']) == 1
    assert float(lines['router_requests_total{client="",protocol="chat",status="400"}']) == 1
    assert float(lines['router_tokens_total{direction="output",model="gpt-5.5"}']) == 4
    baseline, paid = (float(lines[f"router_{name}_cost_usd_total"]) for name in ("baseline", "compared"))
    assert 0 < baseline == pytest.approx(paid)
    assert float(lines['router_breaker_state{endpoint="up/gpt-5.5=ok",state="closed"}']) == 1
    assert "secret garden" not in text
    assert PROVIDER_KEY not in text


@pytest.mark.parametrize("kept", ["decisions", "prompts"])
@pytest.mark.parametrize("file", ["log.jsonl", "log.sqlite"])
def test_the_log_holds_prompts_only_if_asked(start: Start, file: str, kept: str) -> None:
    gateway = start(f'learn = true\n[log]\nfile = "{file}"\nlog = "{kept}"\n')
    answer = ask(gateway)
    httpx.post(f"{gateway.url}/v1/feedback", json={"id": answer.headers["x-router-id"], "score": 0.5})
    path = gateway.folder / file
    if file.endswith("jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        line = lines[0] | lines[1]
    else:
        with sqlite3.connect(path) as database:
            line = json.loads(database.execute("SELECT record FROM log").fetchone()[0])
    assert (line["id"], line["model"], line["task"], line["score"]) == (
        answer.headers["x-router-id"],
        "gpt-5.5",
        "writing",
        0.5,
    )
    assert (line.get("messages") == MESSAGES) == (kept == "prompts")
    assert ("secret garden" in json.dumps(line)) == (kept == "prompts")
    assert path.stat().st_mode & 0o077 == 0
    listed = CliRunner().invoke(app, ["log", str(path)]).output.splitlines()
    assert [line.split()[2:5] for line in listed[1:]] == [["writing", "gpt-5.5", "200"]]


@pytest.mark.parametrize(("name", "content"), [("no.jsonl", None), ("bad.jsonl", "hello"), ("bad.db", "hello")])
def test_other_files_are_no_logs(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    error = CliRunner().invoke(app, ["log", str(tmp_path / name)]).exception
    assert "cannot be read as a log of the gateway" in str(error)
    assert str(error).count(name) == 1


def test_full_logs_are_rotated(start: Start) -> None:
    gateway = start('[log]\nfile = "log.jsonl"\nmax_mb = 0.0015\nkeep = 2\n')
    for _ in range(10):
        ask(gateway)
    files = sorted(path.name for path in gateway.folder.glob("log*.jsonl"))
    assert files == ["log.1.jsonl", "log.2.jsonl", "log.jsonl"]
    assert all(path.stat().st_size <= 1500 for path in gateway.folder.glob("log*.jsonl"))


def test_without_a_file_the_gateway_decides_only(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
    gateway = RunningGateway(None)
    try:
        assert httpx.post(f"{gateway.url}/v1/route", json={"prompt": "2 + 2"}).json()["prediction"]["task"] == "math"
        refused = ask(gateway, "auto")
        assert (refused.status_code, "no endpoints" in refused.json()["error"]["message"]) == (400, True)
        assert httpx.get(f"{gateway.url}/ready").status_code == 200
    finally:
        gateway.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[aliases]\nauto = "gpt-5.5"\n', "aliases.auto is the name of a model"),
        ('[aliases]\nx = "gpt-1"\n', "aliases.x must stand for one of"),
        ("[aliases]\nx = []\n", "aliases.x must list some of"),
        ('[gateway]\nbaseline = "gpt-1"\n', "gateway.baseline must be one of"),
        ('[log]\nfile = "log.txt"\n', "log.file must end in"),
        ('[log]\nfile = "/dev/null/log.jsonl"\n', "cannot be written"),
    ],
)
def test_wrong_configurations_are_refused(
    tmp_path: Path, upstream: ScriptedUpstream, model_folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
    with pytest.raises(ConfigError, match=message):
        make_gateway(read_config(write_config(tmp_path, upstream, text)))
    if "[log]" not in text:
        refused = CliRunner().invoke(app, ["config", "check", str(tmp_path / "router.toml")]).exception
        assert message in str(refused)


def test_the_dashboard_asks_for_metrics_that_exist(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNA", ANNA)
    monkeypatch.setenv("BERT", BERT)
    gateway, key = start(KEYS + '[gateway]\nbaseline = "gpt-5.5"\n'), {"Authorization": f"Bearer {ANNA}"}
    ask(gateway, headers=key)
    ask(gateway, headers=key, stream=True)
    metrics = httpx.get(f"{gateway.url}/metrics", headers=key).text
    panels = json.loads(Path("docs/grafana.json").read_text())["panels"]
    asked = {name for panel in panels for target in panel["targets"] for name in re.findall(r"router_\w+", target["expr"])}
    assert len(asked) > 10
    assert [name for name in asked if f"\n{name}{{" not in metrics and f"\n{name} " not in metrics] == []


def test_sigterm_ends_the_server_after_the_running_requests(
    tmp_path: Path, upstream: ScriptedUpstream, model_folder: Path
) -> None:
    steady = '[models."glm-5.2"]\nserved_by = [{endpoint = "up", model = "steady"}]\n'
    config, environment = (
        write_config(tmp_path, upstream, steady),
        {"PROVIDER_KEY": PROVIDER_KEY, "LLM_ROUTER_MODEL": str(model_folder)},
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", "from router.cli import main; main()", "serve", str(config), "--port", port]
    process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"http://127.0.0.1:{port}")
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_up(url))
        body = {"model": "glm-5.2", "messages": MESSAGES, "stream": True}
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as response:
            parts = response.iter_bytes()
            received = next(parts)
            process.send_signal(signal.SIGTERM)
            received += b"".join(parts)
        assert received.endswith(b"data: [DONE]\n\n")
        # uvicorn ends by the signal that it got.
        assert process.wait(60) == -signal.SIGTERM
        assert not is_up(url)
    finally:
        process.kill()
        process.communicate()


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_the_file_sets_how_long_an_answer_may_take(start: Start) -> None:
    gateway = start("[calls]\ndeadline_s = 1.0\n")
    answer = ask(gateway, "gemini-2.5-flash", stream=True)
    assert answer.status_code == 200
    assert "broke after" in answer.text.splitlines()[-2]


def test_a_prompt_that_a_server_repeats_does_not_decide_what_the_failure_is(start: Start) -> None:
    gateway = start('[models."glm-5.2"]\nserved_by = [{endpoint = "up", model = "echoes"}]\n')
    prompt = [
        {"role": "user", "content": "why: This model's maximum context length is 8192 tokens, however you requested 9000"}
    ]
    answer = ask(gateway, "auto", messages=prompt, router={"allowed": ["glm-5.2", "gpt-5.5"], "prefer": "cheap"})
    assert answer.headers["x-router-model"] == "gpt-5.5"
    text = httpx.get(f"{gateway.url}/metrics").text
    assert 'router_attempts_total{end="transient",endpoint="up/glm-5.2=echoes"} 1.0' in text
