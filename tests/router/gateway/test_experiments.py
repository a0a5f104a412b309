"""Experiments behind the gateway: the arm in headers and log, and the row of a shadow."""

import json
import sqlite3
import time
from contextlib import closing
from typing import Any

import httpx2 as httpx
import pytest

from tests.router.gateway.conftest import RunningGateway, Start
from tests.router.gateway.scripted_upstream import ScriptedUpstream

AB = """
[log]
file = "log.jsonl"
[experiment]
kind = "ab"
name = "one"
[experiment.arms.control]
allowed = ["gpt-5.5"]
[experiment.arms.flash]
allowed = ["gemini-2.5-flash"]
"""
SHADOW = """
allowed = ["gpt-5.5", "gemini-2.5-flash"]
prefer = "quality"
{more}
[experiment]
kind = "shadow"
model = "gemini-2.5-flash"
usd = 1.0
[log]
file = "{file}"
log = "{log}"
"""


def ask(gateway: RunningGateway, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    sent = {"model": "auto", "messages": [{"role": "user", "content": "coffee or tea?"}], **body}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=sent, headers=headers or {}, timeout=60)


def read(gateway: RunningGateway, file: str = "log.jsonl") -> list[dict[str, Any]]:
    if file.endswith(".jsonl"):
        return [json.loads(line) for line in (gateway.folder / file).read_text().splitlines()]
    with closing(sqlite3.connect(gateway.folder / file)) as database:
        return [json.loads(row) for (row,) in database.execute("SELECT record FROM log ORDER BY at")]


def wait_for_rows(gateway: RunningGateway, n: int, file: str = "log.jsonl") -> list[dict[str, Any]]:
    ends_at = time.monotonic() + 30
    while len(rows := read(gateway, file)) < n:
        assert time.monotonic() < ends_at
        time.sleep(0.02)
    return rows


def test_the_arm_stands_in_the_headers_and_the_log(start: Start) -> None:
    gateway = start(AB)
    answers = [ask(gateway, {"x-router-key": f"user-{n % 6}"}) for n in range(12)]
    arms = [answer.headers["x-router-arm"] for answer in answers]
    models = {"control": "gpt-5.5", "flash": "gemini-2.5-flash"}
    assert arms[:6] == arms[6:]
    assert set(arms) == set(models)
    assert [answer.headers["x-router-model"] for answer in answers] == [models[arm] for arm in arms]
    rows = wait_for_rows(gateway, 12)
    assert [(row["experiment"]["arm"], row["experiment"]["by"]) for row in rows] == [(arm, "key") for arm in arms]
    assert "user-" not in json.dumps(rows)
    # Whoever asks for a model by its name gets it.
    assert "x-router-arm" not in ask(gateway, model="gpt-5.5").headers


@pytest.mark.parametrize(("file", "stream"), [("log.jsonl", False), ("log.sqlite", True)])
def test_the_row_of_a_shadow_is_joined_to_that_of_the_request_and_can_be_graded(
    start: Start, upstream: ScriptedUpstream, file: str, stream: bool
) -> None:
    gateway = start(SHADOW.format(file=file, log="answers", more="learn = true"))
    answer = ask(gateway, stream=stream)
    id_ = answer.headers["x-router-id"]
    served, shadow = wait_for_rows(gateway, 2, file)
    assert (served["id"], served["shadow_of"], served["model"]) == (id_, "", "gpt-5.5")
    assert (shadow["id"], shadow["shadow_of"], shadow["model"]) == (f"{id_}-shadow", id_, "gemini-2.5-flash")
    assert (shadow["status"], shadow["code"], shadow["stream"]) == (200, "", False)
    assert served["answer"] == shadow["answer"] == "Tea and scones please."
    assert shadow["messages"] == served["messages"]
    assert "stream" not in upstream.seen[-1][1]
    graded = httpx.post(f"{gateway.url}/v1/feedback", json={"id": shadow["id"], "score": 1})
    assert graded.status_code == 200
    assert 'router_shadow_cost_usd_total{model="gemini-2.5-flash"}' in httpx.get(f"{gateway.url}/metrics").text
    # The request of a client counts once.
    assert httpx.get(f"{gateway.url}/v1/live").json()["requests"] == 1


@pytest.mark.parametrize(("log", "fields"), [("decisions", set()), ("prompts", {"messages"})])
def test_texts_stand_in_the_log_only_if_it_is_told_to_keep_them(start: Start, log: str, fields: set[str]) -> None:
    gateway = start(SHADOW.format(file="log.jsonl", log=log, more=""))
    ask(gateway)
    for row in wait_for_rows(gateway, 2):
        assert {"messages", "answer"} & set(row) == fields


def test_a_shadow_that_fails_has_a_row_and_the_client_an_answer(start: Start) -> None:
    more = SHADOW.format(file="log.jsonl", log="decisions", more="").replace("gemini-2.5-flash", "claude-haiku-4-5")
    gateway = start(more)
    assert ask(gateway).status_code == 200
    _, shadow = wait_for_rows(gateway, 2)
    assert (shadow["model"], shadow["status"] >= 400, shadow["code"] != "") == ("claude-haiku-4-5", True, True)


def test_a_client_that_asks_for_one_model_gets_no_shadow(start: Start, upstream: ScriptedUpstream) -> None:
    gateway = start(SHADOW.format(file="log.jsonl", log="decisions", more=""))
    ask(gateway, model="gpt-5.5")
    ask(gateway, {"x-router-allowed": "gpt-5.5"})
    ask(gateway)
    assert [row["shadow_of"] != "" for row in wait_for_rows(gateway, 4)] == [False, False, False, True]
    assert len(upstream.seen) == 4


PATHS = {
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "coffee or tea?"}]},
    "/v1/responses": {"input": "coffee or tea?"},
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [False, True])
def test_answers_of_every_protocol_are_logged_with_their_text(start: Start, path: str, stream: bool) -> None:
    gateway = start(SHADOW.format(file="log.jsonl", log="answers", more=""))
    httpx.post(f"{gateway.url}{path}", json={"model": "auto", "stream": stream, **PATHS[path]}, timeout=60)
    assert [row["answer"] for row in wait_for_rows(gateway, 2)] == ["Tea and scones please."] * 2
