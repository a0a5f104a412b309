"""What servers and clients do wrong, as reviewers and fuzzers found it."""

import json
import socket
import sqlite3
import time
from typing import Any

import anthropic
import httpx2 as httpx
import openai
import pytest

from tests.router.gateway.conftest import PROVIDER_KEY, RunningGateway, Start
from tests.router.gateway.scripted_upstream import WORDS, ScriptedUpstream
from tests.router.gateway.test_gateway import ANNA, MESSAGES, ask, wait_for

TEXT = "".join(WORDS)
POEM: Any = [{"role": "user", "content": "write a poem about tea"}]


def serve(model: str) -> str:
    return f'[models."glm-5.2"]\nserved_by = [{{endpoint = "up", model = "{model}"}}]\n'


def read_metrics(gateway: RunningGateway) -> str:
    return httpx.get(f"{gateway.url}/metrics").text


def test_an_item_that_a_server_does_not_have_puts_no_model_aside(start: Start) -> None:
    gateway = start(serve("no-item"))
    answer = ask(gateway, "glm-5.2")
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Item with id 'rs_1' not found.")
    assert 'router_breaker_state{endpoint="up/glm-5.2=no-item",state="closed"} 1.0' in read_metrics(gateway)


def test_a_server_that_counts_no_tokens_is_not_put_aside(start: Start) -> None:
    gateway = start(serve("tells"))
    counted = httpx.post(f"{gateway.url}/v1/messages/count_tokens", json={"model": "glm-5.2", "messages": MESSAGES})
    assert counted.status_code == 404
    assert ask(gateway, "glm-5.2").status_code == 200


def test_if_all_models_cool_down_for_long_the_client_hears_it_at_once(start: Start) -> None:
    gateway = start(serve("no-key"))
    assert ask(gateway, "glm-5.2").status_code == 502
    refused = ask(gateway, "glm-5.2")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_model_available")
    assert int(refused.headers["retry-after"]) > 100


def test_fallbacks_stay_within_what_a_client_may_use(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNA", ANNA)
    # gpt-4.1-mini is down.
    gateway = start(
        f"{serve('ok')}fallbacks = ['gpt-5.5']\n[keys.anna]\nenv = 'ANNA'\nmodels = ['gpt-4.1-mini', 'claude-haiku-4-5']\n"
    )
    text = (gateway.folder / "router.toml").read_text()
    text = text.replace('[models."gpt-4.1-mini"]\n', '[models."gpt-4.1-mini"]\nfallbacks = ["gpt-5.5"]\n')
    (gateway.folder / "router.toml").write_text(text)
    again = RunningGateway(gateway.folder / "router.toml")
    try:
        headers = {"Authorization": f"Bearer {ANNA}", "x-router-allowed": "gpt-4.1-mini"}
        assert ask(again, "auto", headers).status_code in (502, 503)
    finally:
        again.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_that_a_server_repeats_stays_here_and_a_placeholder_is_no_key(
    start: Start, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    gateway = start(serve("tells"))
    answer = ask(gateway, "glm-5.2", stream=stream)
    assert PROVIDER_KEY not in answer.text
    monkeypatch.setenv("PROVIDER_KEY", "Tea")
    assert "Tea" in ask(gateway, "glm-5.2", stream=stream).text


def test_more_after_the_end_of_a_stream_does_not_spoil_it(start: Start) -> None:
    gateway = start(serve("junk"))
    with (
        anthropic.Anthropic(base_url=gateway.url, api_key="x" * 20, max_retries=0) as claude,
        claude.messages.stream(model="glm-5.2", max_tokens=99, messages=POEM) as stream,
    ):
        assert stream.get_final_text() == TEXT
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:
        chunks = list(client.chat.completions.create(model="glm-5.2", messages=POEM, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
        events = list(client.responses.create(model="glm-5.2", input="tea?", stream=True))
        assert events[-1].type == "response.completed"
    assert 'end="ok",endpoint="up/glm-5.2=junk"} 3.0' in read_metrics(gateway)


def test_what_comes_before_a_broken_event_reaches_the_client(start: Start) -> None:
    gateway = start(serve("bad"))
    body = {"model": "glm-5.2", "messages": MESSAGES, "stream": True}
    with httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=body, timeout=60) as response:
        text = "".join(response.iter_text())
    # The events mostly come at once. Then nothing was given away, and another model could take over. Here is none.
    if response.status_code == 200:
        assert (
            "".join(
                json.loads(line[6:])["choices"][0]["delta"].get("content", "")
                for line in text.splitlines()
                if "delta" in line
            )
            == TEXT
        )
        assert "broke after" in text
    else:
        assert (response.status_code, "malformed" in text) == (502, True)


@pytest.mark.parametrize("options", [None, {"include_usage": False}, {"include_obfuscation": False}])
def test_the_usage_of_a_stream_is_always_counted(start: Start, upstream: ScriptedUpstream, options: object) -> None:
    gateway = start()
    answer = ask(gateway, stream=True, stream_options=options)
    assert '"choices":[],"usage"' not in answer.text.replace(" ", "")
    assert upstream.seen[0][1]["stream_options"]["include_usage"] is True
    assert 'router_tokens_total{direction="output",model="gpt-5.5"} 4.0' in read_metrics(gateway)


def test_odd_text_in_names_and_options_is_refused_and_counts_against_no_server(start: Start) -> None:
    gateway = start()
    text = json.dumps({"model": "gpt-5.5", "messages": MESSAGES})
    for more in ('"\\ud800": 1', '"router": {"needs": ["\\ud800"]}', '"router": {"\\ud800": 1}'):
        refused = httpx.post(f"{gateway.url}/v1/chat/completions", content=f"{text[:-1]}, {more}}}".encode())
        assert refused.status_code == 400, more
    failures = [line for line in read_metrics(gateway).splitlines() if line.startswith("router_failures_total{")]
    assert [line for line in failures if not line.endswith(" 0.0")] == []
    assert httpx.post(f"{gateway.url}/v1/responses", json={"input": "hi", "background": True}).status_code == 400
    assert httpx.get(f"{gateway.url}/v1/models", headers={"Origin": "http://["}).status_code == 403


def test_trailers_do_not_fill_the_memory(start: Start) -> None:
    host, port = start().url.removeprefix("http://").split(":")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head)
        line = b"X-T: " + b"a" * 1000 + b"\r\n"
        # Much more than the buffers between take.
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(line * 30_000)


def test_a_pipelined_request_does_not_break_into_an_answer(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.gateway.connection._HEADERS_S", 0.2)
    host, port = start(serve("steady")).url.removeprefix("http://").split(":")
    body = json.dumps({"model": "glm-5.2", "messages": MESSAGES, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head + body + b"GET /v1/mod")
        received = b""
        while b"[DONE]" not in received:
            received += connection.recv(65536)
        assert b"HTTP/1.1 408" not in received


def test_a_client_that_takes_nothing_is_cut_off(
    start: Start, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.gateway.connection._TAKING_S", 0.3)
    host, port = start().url.removeprefix("http://").split(":")
    messages = [{"role": "user", "content": "x" * 100}]
    body = json.dumps({"model": "gemini-2.5-flash", "messages": messages, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.connect((host, int(port)))
        connection.sendall(head + body)
        # The slow stream is short. This test needs one that fills all buffers between.
        upstream.flood = True
        try:
            wait_for(lambda: upstream.left == 1)
        finally:
            upstream.flood = False


def test_a_locked_log_holds_nobody_up_and_loses_nothing(start: Start) -> None:
    gateway = start('[log]\nfile = "log.sqlite"\n')
    path = gateway.folder / "log.sqlite"
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert [ask(gateway).status_code for _ in range(3)] == [200] * 3
        assert time.monotonic() - began < 4
        other.execute("COMMIT")
        ask(gateway)
        wait_for(lambda: other.execute("SELECT count(*) FROM log").fetchone() == (4,))
    other.close()


def test_a_number_beyond_all_floats_leaves_the_log_readable(start: Start) -> None:
    gateway = start('[log]\nfile = "log.jsonl"\nlog = "prompts"\n')
    body = b'{"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi", "w": 1e400}]}'
    assert httpx.post(f"{gateway.url}/v1/chat/completions", content=body).status_code == 200
    log = gateway.folder / "log.jsonl"
    wait_for(lambda: log.read_text().endswith("\n"))
    (line,) = log.read_text().splitlines()
    assert json.loads(line)["messages"] == [{"role": "user", "content": "hi", "w": None}]


def test_feedback_goes_into_the_log_even_if_the_router_does_not_learn(start: Start) -> None:
    gateway = start('[log]\nfile = "log.jsonl"\n')
    id_ = ask(gateway).headers["x-router-id"]
    assert httpx.post(f"{gateway.url}/v1/feedback", json={"id": id_, "score": 1}).status_code == 200
    log, feedback = gateway.folder / "log.jsonl", {"id": id_, "score": 1.0}
    wait_for(lambda: [json.loads(line) for line in log.read_text().splitlines()][-1:] == [feedback])


def test_feedback_that_nobody_keeps_is_refused_with_the_remedy(start: Start) -> None:
    gateway = start()
    sent = {"id": ask(gateway).headers["x-router-id"], "score": 1}
    refused = httpx.post(f"{gateway.url}/v1/feedback", json=sent)
    assert refused.status_code == 400
    assert "learn = true" in refused.json()["error"]["message"]
