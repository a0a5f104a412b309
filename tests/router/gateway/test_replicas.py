"""Two gateways in front of one upstream that share their state in Redis."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest

from tests.router.gateway.conftest import RunningGateway, Start
from tests.router.gateway.scripted_upstream import ScriptedUpstream
from tests.router.state.server import RedisServer

STATE = '\n[state]\nurl_env = "TEST_REDIS_URL"\nsync_s = 0.05\n'
KEY = "a-client-key-of-the-tests"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    monkeypatch.setenv("TEST_REDIS_URL", server.url)
    monkeypatch.setenv("TEAM_KEY", KEY)
    yield server
    server.stop()


def ask(gateway: RunningGateway, **body: Any) -> httpx.Response:
    body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hello"}]} | body
    return httpx.post(
        f"{gateway.url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=30
    )


def wait_until(holds: Any) -> Any:
    for _ in range(300):
        if found := holds():
            return found
        time.sleep(0.02)
    pytest.fail("it does not happen within 6 s")


def test_feedback_can_go_to_another_gateway(server: RedisServer, start: Start) -> None:
    first, second = (start(f"learn = true\n{STATE}") for _ in range(2))
    score = {"id": ask(first).headers["x-router-id"], "score": 0.0}
    wait_until(lambda: httpx.post(f"{second.url}/v1/feedback", json=score).status_code == 200)
    assert httpx.post(f"{second.url}/v1/feedback", json={"id": "req-1", "score": 0.0}).status_code == 400


def test_a_response_can_be_continued_through_another_gateway(
    server: RedisServer, start: Start, upstream: ScriptedUpstream
) -> None:
    first, second = (openai.OpenAI(base_url=f"{start(STATE).url}/v1", api_key=KEY, max_retries=0) for _ in range(2))
    with first, second:
        answer = first.responses.create(model="gpt-5.5", input="tea")
        time.sleep(0.3)
        again = second.responses.create(model="gpt-5.5", input="and scones", previous_response_id=answer.id)
        assert again.status == "completed"
    assert upstream.seen[-1][1]["previous_response_id"] == answer.id


def test_the_limits_of_a_client_hold_over_all_gateways(server: RedisServer, start: Start) -> None:
    more = f'{STATE}\n[keys.team]\nenv = "TEAM_KEY"\nrequests_per_minute = 4\noperator = true\n'
    gateways = [start(more) for _ in range(2)]
    statuses = [ask(gateway).status_code for _ in range(4) for gateway in gateways]
    assert sorted(statuses) == [200] * 4 + [429] * 4


def test_ready_and_the_metrics_tell_whether_the_state_is_shared(server: RedisServer, start: Start) -> None:
    first, second = (start(STATE) for _ in range(2))
    ready = wait_until(lambda: (found := httpx.get(f"{first.url}/ready").json())["replicas"] == 2 and found)
    assert ready["state"] == "shared"
    metrics = httpx.get(f"{second.url}/metrics").text
    assert "router_state_up 1.0" in metrics
    assert "router_state_replicas 2.0" in metrics
    server.stop()
    gone = wait_until(lambda: (found := httpx.get(f"{first.url}/ready")) and found.json()["state"] != "shared" and found)
    # Requests are answered without it.
    assert gone.status_code == 200
    assert ask(first).status_code == 200
    assert "router_state_up 0.0" in httpx.get(f"{first.url}/metrics").text
    server.start()
    wait_until(lambda: httpx.get(f"{first.url}/ready").json()["state"] == "shared")
