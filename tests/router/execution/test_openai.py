import asyncio
import json
import logging
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from router.calls import CallRequest, Completion, Reply, Target, Usage
from router.errors import (
    AllAttemptsFailedError,
    DeadlineExceededError,
    InputError,
    ServingError,
    StreamInterruptedError,
)
from router.execution import CallPolicy, Endpoint, OpenAIExecutor, Plan, acomplete, astream, complete, stream
from router.types import FailureClass
from tests.router.execution.fakes import PROMPT, Fleet, RealClock
from tests.router.execution.faulty_server import ANSWER, PARTIAL, STATUSES, WHOLE, FaultyServer

KEY = "sk-s3cret"
# Patient where nothing has to time out, so that a busy machine fails no test; bounds are far below what a fault lasts.
PATIENT = CallPolicy(deadline_s=60.0, connect_s=30.0, first_token_s=30.0, chunk_s=30.0, answer_s=30.0)
HURRIED = CallPolicy(deadline_s=60.0, connect_s=30.0, first_token_s=1.5, chunk_s=0.7, answer_s=1.0)
BOUND_S = 6.0
TOKENS = Usage(input_tokens=1000, output_tokens=200)
WAYS = ["sync", "async", "stream", "astream"]
in_every_way = pytest.mark.parametrize("way", WAYS)
streaming = pytest.mark.parametrize("way", ["stream", "astream"])


class Lab:
    """A faulty server, an executor with an endpoint for each of its faults, and an event loop that outlives a test."""

    def __init__(self, server: FaultyServer, runner: asyncio.Runner) -> None:
        self.server, self.runner = server, runner
        endpoints = {name: self.endpoint(name) for name in (*STATUSES, *WHOLE)}
        self.executor = OpenAIExecutor(endpoints)

        async def make_clients() -> None:
            """Make them before the tests, whose short times would not do for that on a busy machine."""
            for name, endpoint in endpoints.items():
                self.executor._client(name, endpoint)

        self.executor._portal.run(make_clients())
        runner.run(make_clients())

    def endpoint(self, fault: str, **fields: Any) -> Endpoint:
        return Endpoint(base_url=self.server.url(fault), key_env="TEST_KEY", **fields)

    def close(self, executor: OpenAIExecutor) -> None:
        executor.close()
        self.runner.run(executor.aclose())


@pytest.fixture(scope="module")
def shared_lab() -> Iterator[Lab]:
    with FaultyServer() as server, asyncio.Runner() as runner:
        lab = Lab(server, runner)
        yield lab
        lab.close(lab.executor)


@pytest.fixture
def lab(shared_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("TEST_KEY", KEY)
    shared_lab.server.asked.clear()
    return shared_lab


@dataclass
class Result:
    """What a caller got, and how long it took."""

    completion: Completion | None
    error: ServingError | None
    text: str
    seconds: float

    @property
    def attempts(self) -> list[tuple[str, FailureClass | None]]:
        got = self.completion or self.error
        assert got is not None
        return [(record.endpoint, record.failure) for record in got.attempts]


class Caller:
    """Asks endpoints of the faulty server, named by their fault, in one way; through an executor of its own if given."""

    def __init__(
        self, lab: Lab, way: str, *faults: str, policy: CallPolicy | None = None, executor: OpenAIExecutor | None = None
    ) -> None:
        self.lab, self.way, self.executor = lab, way, executor or lab.executor
        slow = faults[0].startswith(("stall", "drip"))
        self.fleet = Fleet(*faults, policy=policy or (HURRIED if slow else PATIENT), clock=RealClock())

    def ask(self, *targets: Target, **call: Any) -> Result:
        texts: list[str] = []
        completion, error, began_at = None, None, time.monotonic()
        plan = self.fleet.plan(*targets, stream="stream" in self.way, **call)
        try:
            completion = self._run(plan, texts)
        except ServingError as raised:
            error = raised
        seconds = time.monotonic() - began_at
        assert self.fleet.at_rest()
        if self.executor is not self.lab.executor:
            self.lab.close(self.executor)
        return Result(completion, error, "".join(texts), seconds)

    def _run(self, plan: Plan, texts: list[str]) -> Completion:
        if self.way == "sync":
            return complete(plan, self.executor)
        if self.way == "stream":
            with stream(plan, self.executor) as chunks:
                texts.extend(chunk.text for chunk in chunks)
            return chunks.completion
        return self.lab.runner.run(self._arun(plan, texts))

    async def _arun(self, plan: Plan, texts: list[str]) -> Completion:
        if self.way == "async":
            return await acomplete(plan, self.executor)
        async with await astream(plan, self.executor) as chunks:
            async for chunk in chunks:
                texts.append(chunk.text)
        return chunks.completion


# What a caller gets


@in_every_way
def test_an_answer_comes_with_usage_cost_and_reason(lab: Lab, way: str) -> None:
    caller = Caller(lab, way, "ok")
    result = caller.ask(Target(model="m", endpoint="ok", input_usd_per_mtok=1.0, output_usd_per_mtok=5.0))
    assert result.completion is not None
    completion = result.completion
    assert (completion.text, completion.finish_reason, completion.usage) == (ANSWER, "stop", TOKENS)
    assert completion.cost_usd == pytest.approx(0.002)
    if "stream" in way:
        assert result.text == ANSWER
        assert completion.attempts[0].first_token_s is not None


# By fault: how it counts, and in a stream whether the caller has seen a part by then.
FALLS_BACK: dict[str, FailureClass] = {
    "429": "rate_limit",
    "429-retry-after": "rate_limit",
    "429-quota": "auth",
    "401": "auth",
    "404": "auth",
    "500": "transient",
    "529": "transient",
    "drop": "transient",
    "html": "transient",
    "empty": "transient",
    "bad-json": "transient",
    "stall": "transient",
    "drip": "transient",
    "cut-before": "transient",
    "error-event": "transient",
}
BREAKS_LATE = ["cut-after", "stall-after", "drip-after", "error-event-after"]


@in_every_way
@pytest.mark.parametrize(("fault", "kind"), FALLS_BACK.items(), ids=FALLS_BACK)
def test_a_fault_before_the_first_chunk_falls_back(lab: Lab, way: str, fault: str, kind: FailureClass) -> None:
    caller = Caller(lab, way, fault, "ok")
    result = caller.ask()
    assert result.attempts == [(fault, kind), ("ok", None)]
    assert result.completion is not None
    assert (result.completion.text, result.completion.model) == (ANSWER, "ok")
    assert lab.server.faults_asked() == [fault, "ok"]  # the SDK's own retries are off
    assert result.seconds < BOUND_S
    assert caller.fleet.failures(fault) == {kind: 1}


@streaming
@pytest.mark.parametrize("fault", [*BREAKS_LATE, "no-finish-reason"])
def test_a_fault_after_the_first_chunk_interrupts_a_stream(lab: Lab, way: str, fault: str) -> None:
    caller = Caller(lab, way, fault, "ok")
    result = caller.ask()
    assert isinstance(result.error, StreamInterruptedError)
    assert result.error.partial_text == result.text == PARTIAL
    assert result.attempts == [(fault, "transient")]
    assert lab.server.faults_asked() == [fault]
    assert result.seconds < BOUND_S
    assert caller.fleet.failures(fault) == {"transient": 1}


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("fault", BREAKS_LATE)
def test_a_fault_in_the_middle_of_a_whole_answer_falls_back(lab: Lab, way: str, fault: str) -> None:
    result = Caller(lab, way, fault, "ok").ask()
    assert result.attempts == [(fault, "transient"), ("ok", None)]
    assert result.seconds < BOUND_S


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_whole_answer_is_whole_without_a_finish_reason(lab: Lab, way: str) -> None:
    result = Caller(lab, way, "no-finish-reason", "ok").ask()
    assert result.completion is not None
    assert (result.completion.model, result.completion.text) == ("no-finish-reason", ANSWER)
    assert result.completion.finish_reason is None


@in_every_way
def test_a_bad_request_is_not_sent_to_anybody_else(lab: Lab, way: str) -> None:
    caller = Caller(lab, way, "400", "ok")
    result = caller.ask()
    assert isinstance(result.error, AllAttemptsFailedError)
    assert result.attempts == [("400", "request")]
    assert lab.server.faults_asked() == ["400"]
    assert caller.fleet.health("400").state == "closed"


@in_every_way
@pytest.mark.parametrize(("windows", "second"), [((8192, 8192, 200000), "ok"), ((8192, 8192, 4096), None)])
def test_a_request_too_long_goes_to_a_larger_model_only(
    lab: Lab, way: str, windows: tuple[int, ...], second: str | None
) -> None:
    caller = Caller(lab, way, "400-context", "500", "ok")
    names = ("400-context", "500", "ok")
    targets = [Target(model=n, endpoint=n, context_window=w) for n, w in zip(names, windows, strict=True)]
    result = caller.ask(*targets)
    assert lab.server.faults_asked() == ["400-context", *([second] if second else [])]
    assert (result.completion is None) == (second is None)
    assert result.attempts[0] == ("400-context", "request")


@in_every_way
def test_retry_after_is_obeyed_by_the_next_call(lab: Lab, way: str) -> None:
    caller = Caller(lab, way, "429-retry-after", "ok")
    began_at = time.monotonic()
    caller.ask()
    retry_at = caller.fleet.health("429-retry-after").retry_at
    assert retry_at is not None
    assert 7.0 <= retry_at - began_at < 9.0  # 7 s, up to 10 % more, and what the call took
    assert caller.ask().attempts == [("ok", None)]


@in_every_way
@pytest.mark.parametrize("fault", ["stall", "drip"])
def test_a_lone_endpoint_that_never_answers_ends_at_the_deadline(lab: Lab, way: str, fault: str) -> None:
    policy = CallPolicy(deadline_s=0.5)
    caller = Caller(lab, way, fault, policy=policy)
    result = caller.ask()
    assert isinstance(result.error, DeadlineExceededError)
    assert 0.49 < result.seconds < BOUND_S
    assert caller.fleet.failures(fault) == {"cancelled": 1}


@streaming
@pytest.mark.parametrize("fault", ["stall-after", "drip-after"])
def test_a_stream_ends_at_the_deadline(lab: Lab, way: str, fault: str) -> None:
    caller = Caller(lab, way, fault, policy=CallPolicy(deadline_s=0.5))
    result = caller.ask()
    assert isinstance(result.error, StreamInterruptedError)
    assert result.error.partial_text == PARTIAL
    assert 0.49 < result.seconds < BOUND_S
    assert caller.fleet.failures(fault) == {"cancelled": 1}


@in_every_way
def test_a_port_where_nobody_listens_falls_back(lab: Lab, way: str) -> None:
    gone = Endpoint(base_url="http://127.0.0.1:9/v1", key_env=None)
    executor = OpenAIExecutor({"gone": gone, "ok": lab.endpoint("ok")})
    caller = Caller(lab, way, "gone", "ok", executor=executor)
    assert caller.ask().attempts == [("gone", "transient"), ("ok", None)]


# What is sent


@in_every_way
def test_options_go_through_and_the_model_has_the_servers_name(lab: Lab, way: str) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok", model="vendor/m-1")})
    caller = Caller(lab, way, "ok", executor=executor)
    assert caller.ask(options={"temperature": 0.5, "extra_headers": {"X-Tag": "t"}}).completion is not None
    ((_, body, headers),) = lab.server.asked
    assert (body["model"], body["temperature"]) == ("vendor/m-1", 0.5)
    assert body["messages"] == [{"role": "user", "content": PROMPT}]
    assert (headers["authorization"], headers["x-tag"]) == (f"Bearer {KEY}", "t")
    assert body.get("stream_options") == ({"include_usage": True} if "stream" in way else None)


def test_a_stream_does_not_ask_for_usage_where_the_server_refuses_that(lab: Lab) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok", stream_usage=False)})
    assert Caller(lab, "stream", "ok", executor=executor).ask().completion is not None
    assert "stream_options" not in lab.server.asked[0][1]


def test_the_key_is_read_at_every_call(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller(lab, "sync", "ok")
    for key in ("first", "second"):
        monkeypatch.setenv("TEST_KEY", key)
        complete(caller.fleet.plan(), caller.executor)
    assert [headers["authorization"] for _, _, headers in lab.server.asked] == ["Bearer first", "Bearer second"]


@in_every_way
@pytest.mark.parametrize("key", ["", "  ", "sk-1\nsk-2", "schlüssel"])
def test_a_missing_or_impossible_key_counts_as_refused(
    lab: Lab, way: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", key)
    result = Caller(lab, way, "ok").ask()
    assert result.attempts == [("ok", "auth")]
    assert "TEST_KEY" in str(result.error)
    assert lab.server.asked == []


def test_what_the_environment_says_of_openai_goes_to_nobody_else(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "of openai")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer of openai")
    executor = OpenAIExecutor({"ok": lab.endpoint("ok")})
    assert Caller(lab, "sync", "ok", executor=executor).ask().completion is not None
    assert "of openai" not in str(lab.server.asked[0][2])


@in_every_way
def test_an_option_that_the_sdk_does_not_know_is_told_and_nobody_is_blamed(lab: Lab, way: str) -> None:
    caller = Caller(lab, way, "ok")
    with pytest.raises(InputError, match="temprature"):
        caller.ask(options={"temprature": 1})
    assert caller.fleet.failures("ok") == {"cancelled": 1}
    assert caller.fleet.at_rest()


@in_every_way
@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800"], ids=["nan", "object", "lone surrogate"])
def test_a_request_that_is_no_json_is_at_fault_itself(lab: Lab, way: str, value: object) -> None:
    result = Caller(lab, way, "ok").ask(options={"metadata": {"a": value}})
    assert result.attempts == [("ok", "request")]
    assert lab.server.asked == []


# Secrets


@in_every_way
@pytest.mark.parametrize("fault", ["400", "401", "error-event", "500"])
def test_neither_key_nor_prompt_stands_in_an_error_a_traceback_a_record_or_a_log(
    lab: Lab, way: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caller = Caller(lab, way, fault)
    error = caller.ask(policy=CallPolicy(max_attempts=1)).error
    assert error is not None
    told = "".join(traceback.format_exception(error)) + repr(error.attempts) + repr(caller.executor) + caplog.text
    assert KEY not in told
    assert PROMPT not in told
    assert "TEST_KEY" in repr(caller.executor)


def test_an_error_tells_class_status_and_code(lab: Lab) -> None:
    error = Caller(lab, "sync", "429-quota").ask().error
    assert error is not None
    assert error.attempts[0].error == "RateLimitError 429 (insufficient_quota)"


# Clients


def requests_of(name: str, **fields: Any) -> CallRequest:
    times = {"timeout_s": 9.0, "connect_timeout_s": 9.0, "first_token_timeout_s": 9.0, "chunk_timeout_s": 9.0}
    messages = [{"role": "user", "content": PROMPT}]
    return CallRequest(model="m", endpoint=name, messages=messages, **({"stream": False, **times} | fields))


def test_threads_share_one_client_and_its_loop_and_close_gives_everything_back(lab: Lab) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok")})

    def loop_threads() -> int:
        return sum(thread.name == "llm-router-calls" for thread in threading.enumerate())

    others = loop_threads()

    def ask(i: int) -> str:
        answer = executor.call(requests_of("ok", stream=bool(i % 2)))
        return answer.text if isinstance(answer, Reply) else "".join(chunk.text for chunk in answer)

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(64))) == {ANSWER}
    assert [list(clients) for clients in executor._clients.values()] == [["ok"]]
    assert loop_threads() == others + 1
    executor.close()
    assert executor._clients == {}
    assert loop_threads() == others
    assert ask(0) == ANSWER  # and it starts anew
    executor.close()
    executor.close()


def test_each_event_loop_has_its_client(lab: Lab) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok")})

    async def main(*, close: bool) -> int:
        answers = await asyncio.gather(*(executor.acall(requests_of("ok")) for _ in range(20)))
        assert {answer.text for answer in answers if isinstance(answer, Reply)} == {ANSWER}
        loops = len(executor._clients)
        if close:
            await executor.aclose()
        return loops

    assert [asyncio.run(main(close=True)) for _ in range(3)] == [1, 1, 1]


def test_the_client_of_an_ended_event_loop_is_let_go(lab: Lab) -> None:
    executor, ended = OpenAIExecutor({"ok": lab.endpoint("ok")}), asyncio.new_event_loop()
    executor._clients[ended] = {}
    ended.close()
    executor.call(requests_of("ok"))
    assert ended not in executor._clients
    executor.close()


def test_without_the_sdk_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(InputError, match=r"pip install 'contextual-llm-router\[openai\]'"):
        OpenAIExecutor({})


def test_synchronous_calls_work_where_an_event_loop_runs(lab: Lab) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok")})

    async def main() -> object:
        return executor.call(requests_of("ok"))

    answer = asyncio.run(main())
    executor.close()
    assert isinstance(answer, Reply)


def test_leaving_a_stream_closes_its_connection(lab: Lab) -> None:
    caller = Caller(lab, "stream", "drip-after", policy=CallPolicy())
    with stream(caller.fleet.plan(stream=True), caller.executor) as chunks:
        assert next(chunks).text == PARTIAL
    assert caller.fleet.at_rest()
    assert caller.fleet.failures("drip-after") == {"cancelled": 1}


def test_an_executor_pickles_without_keys_or_connections(lab: Lab) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok")})
    data = pickle.dumps(executor)
    assert KEY.encode() not in data
    again = pickle.loads(data)  # noqa: S301 - our own bytes
    assert repr(again) == repr(executor)
    assert isinstance(again.call(requests_of("ok")), Reply)
    again.close()


def test_an_unknown_endpoint_is_told() -> None:
    executor = OpenAIExecutor({"ok": Endpoint()})
    with pytest.raises(InputError, match="'other' is unknown; known: ok"):
        executor.call(requests_of("other"))
    executor.close()


# What servers send for an answer


MALFORMED = [
    "null",
    "[]",
    "5",
    '"text"',
    "{",
    '{"choices": 5}',
    '{"choices": [5]}',
    '{"choices": [null]}',
    '{"choices": [{}]}',
    '{"choices": {"a": 1}}',
    '{"choices": [{"message": 5}]}',
    '{"choices": [{"delta": "text"}]}',
    '{"choices": [{"message": {"content": 5}, "delta": {"content": 5}}]}',
    '{"choices": [], "usage": 5}',
    '{"error": "tired"}',
    '{"error": {"code": 503, "message": "tired"}}',
]


@in_every_way
@pytest.mark.parametrize("answer", MALFORMED)
def test_a_malformed_answer_falls_back(lab: Lab, way: str, answer: str) -> None:
    result = Caller(lab, way, "as-told", "ok").ask(options={"extra_body": {"answer": answer}})
    assert result.attempts == [("as-told", "transient"), ("ok", None)]


@pytest.mark.parametrize("way", ["sync", "stream"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "m"}, "rate_limit"),
        ({"type": "rate_limit_error"}, "rate_limit"),
        ({"code": "invalid_api_key"}, "auth"),
        ({"code": "content_filter"}, "request"),
        ({"type": "overloaded_error"}, "transient"),
    ],
)
def test_an_error_object_without_a_status_counts_by_its_code_or_type(
    lab: Lab, way: str, error: dict[str, object], kind: str
) -> None:
    result = Caller(lab, way, "as-told").ask(
        options={"extra_body": {"answer": json.dumps({"error": error})}}, policy=CallPolicy(max_attempts=1)
    )
    assert result.attempts[0] == ("as-told", kind)


@in_every_way
def test_parts_of_a_content_are_read_and_a_charged_cost_is_taken_over(lab: Lab, way: str) -> None:
    content = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "four"}]
    said = {"message": {"content": content}, "delta": {"content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "cost": 0.25}
    answer = json.dumps({"choices": [said], "usage": usage})
    completion = Caller(lab, way, "as-told").ask(options={"extra_body": {"answer": answer}}).completion
    assert completion is not None
    assert (completion.text, completion.cost_usd) == ("four", 0.25)
    assert completion.usage == Usage(input_tokens=3, output_tokens=1, cost_usd=0.25)


@in_every_way
def test_a_tool_call_is_an_answer_without_text(lab: Lab, way: str) -> None:
    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    said = {
        "message": {"content": None, "tool_calls": [call]},
        "delta": {"tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    answer = json.dumps({"choices": [said]})
    completion = Caller(lab, way, "as-told").ask(options={"extra_body": {"answer": answer}}).completion
    assert completion is not None
    assert (completion.text, completion.finish_reason) == ("", "tool_calls")
    raw: Any = completion.raw
    said_again = raw[0].choices[0].delta if "stream" in way else raw.choices[0].message
    assert said_again.tool_calls[0].function.name == "add"
