"""Calls through the SDK to a server with faults."""

import pytest

from router.calls import CallTarget
from router.errors import (
    AllAttemptsFailedError,
    DeadlineExceededError,
    StreamInterruptedError,
)
from router.execution.endpoint import Endpoint
from router.execution.openai import OpenAIExecutor
from router.execution.policy import CallPolicy
from router.types import FailureClass
from tests.router.execution.faulty_server import ANSWER, PARTIAL
from tests.router.execution.openai_lab import BOUND_S, KEY, TOKENS, Caller, Lab, in_every_way, streaming


@in_every_way
def test_an_answer_comes_with_usage_cost_and_reason(lab: Lab, way: str) -> None:
    caller = Caller(lab, way, "ok")
    result = caller.ask(CallTarget(model="m", endpoint="ok", input_usd_per_mtok=1.0, output_usd_per_mtok=5.0))
    assert result.completion is not None
    completion = result.completion
    assert (completion.text, completion.finish_reason, completion.usage) == (ANSWER, "stop", TOKENS)
    assert completion.cost_usd == pytest.approx(0.002)
    if "stream" in way:
        assert result.text == ANSWER
        assert completion.attempts[0].first_token_s is not None


# The class of each fault that comes before the first chunk.
FALLS_BACK: dict[str, FailureClass] = {
    "429": "rate_limit",
    "429-retry-after": "rate_limit",
    "429-quota": "auth",
    "401": "auth",
    "404": "auth",
    "redirect": "auth",
    "400": "unable",
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
    assert caller.endpoints.failures(fault) == {kind: 1}


@streaming
@pytest.mark.parametrize("fault", [*BREAKS_LATE, "no-end"])
def test_a_fault_after_the_first_chunk_interrupts_a_stream(lab: Lab, way: str, fault: str) -> None:
    caller = Caller(lab, way, fault, "ok")
    result = caller.ask()
    assert isinstance(result.error, StreamInterruptedError)
    assert result.error.partial_text == result.text == PARTIAL
    assert result.attempts == [(fault, "transient")]
    assert lab.server.faults_asked() == [fault]
    assert result.seconds < BOUND_S
    assert caller.endpoints.failures(fault) == {"transient": 1}


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
def test_a_malformed_request_is_not_sent_to_another_endpoint_and_the_servers_words_are_in_the_error(
    lab: Lab, way: str
) -> None:
    caller = Caller(lab, way, "400-messages", "ok")
    result = caller.ask()
    error = result.error
    assert isinstance(error, AllAttemptsFailedError)
    assert result.attempts == [("400-messages", "request")]
    assert lab.server.faults_asked() == ["400-messages"]
    assert caller.endpoints.health("400-messages").state == "closed"
    assert (error.status, error.code, error.param) == (400, "empty_array", "messages")
    assert error.detail == "Invalid 'messages': empty array."
    assert error.detail not in str(error)


@streaming
@pytest.mark.parametrize("fault", ["no-finish-reason", "gzip", "crlf"])
def test_a_stream_without_a_finish_reason_that_ends_with_the_marker_is_complete(lab: Lab, way: str, fault: str) -> None:
    result = Caller(lab, way, fault, "ok").ask()
    assert result.completion is not None
    assert (result.completion.text, result.completion.finish_reason) == (PARTIAL, "stop")
    assert result.attempts == [(fault, None)]


@streaming
def test_a_marker_alone_is_no_answer(lab: Lab, way: str) -> None:
    assert Caller(lab, way, "done-only", "ok").ask().attempts == [("done-only", "transient"), ("ok", None)]


@streaming
def test_a_whole_answer_to_a_request_for_a_stream_is_one_chunk_and_no_other_endpoint_is_paid(lab: Lab, way: str) -> None:
    result = Caller(lab, way, "json", "ok").ask()
    assert result.completion is not None
    assert (result.completion.text, result.completion.finish_reason, result.completion.usage) == (ANSWER, "stop", TOKENS)
    assert result.attempts == [("json", None)]
    assert lab.server.faults_asked() == ["json"]


@in_every_way
@pytest.mark.parametrize(("windows", "second"), [((8192, 8192, 200000), "ok"), ((8192, 8192, 4096), None)])
def test_a_request_too_long_goes_to_a_larger_model_only(
    lab: Lab, way: str, windows: tuple[int, ...], second: str | None
) -> None:
    caller = Caller(lab, way, "400-context", "500", "ok")
    names = ("400-context", "500", "ok")
    targets = [CallTarget(model=n, endpoint=n, context_window=w) for n, w in zip(names, windows, strict=True)]
    result = caller.ask(*targets)
    assert lab.server.faults_asked() == ["400-context", *([second] if second else [])]
    assert (result.completion is None) == (second is None)
    assert result.attempts[0] == ("400-context", "unable")
    assert caller.endpoints.live.context_limits() == {"400-context": 8192}
    assert caller.endpoints.health("400-context").context_limit == 8192


@in_every_way
def test_retry_after_is_obeyed_by_the_next_call(lab: Lab, way: str) -> None:
    caller = Caller(lab, way, "429-retry-after", "ok")
    caller.ask()
    retry_at = caller.endpoints.health("429-retry-after").retry_at
    assert retry_at is not None
    assert 1007.0 <= retry_at <= 1007.7  # 7 s and up to 10 % more
    assert caller.ask().attempts == [("ok", None)]


@in_every_way
@pytest.mark.parametrize("fault", ["stall", "drip"])
def test_a_call_to_a_single_endpoint_that_never_answers_ends_at_the_deadline(lab: Lab, way: str, fault: str) -> None:
    caller = Caller(lab, way, fault, policy=CallPolicy(deadline_s=0.5), real_time=True)
    result = caller.ask()
    assert isinstance(result.error, DeadlineExceededError)
    assert 0.49 < result.seconds < BOUND_S
    assert caller.endpoints.failures(fault) == {"cancelled": 1}


@streaming
@pytest.mark.parametrize("fault", ["stall-after", "drip-after"])
def test_a_stream_ends_at_the_deadline(lab: Lab, way: str, fault: str) -> None:
    # So long that the first chunk comes in time on a busy machine too.
    caller = Caller(lab, way, fault, policy=CallPolicy(deadline_s=3.0), real_time=True)
    result = caller.ask()
    assert isinstance(result.error, StreamInterruptedError)
    assert result.error.partial_text == PARTIAL
    assert 2.99 < result.seconds < BOUND_S
    assert caller.endpoints.failures(fault) == {"cancelled": 1}


@in_every_way
def test_a_closed_port_falls_back(lab: Lab, way: str) -> None:
    gone = Endpoint(base_url="http://127.0.0.1:9/v1", key_env=None)
    executor = OpenAIExecutor({"gone": gone, "ok": lab.endpoint("ok")})
    caller = Caller(lab, way, "gone", "ok", executor=executor)
    assert caller.ask().attempts == [("gone", "transient"), ("ok", None)]


@in_every_way
@pytest.mark.parametrize("fault", ["400", "401"])
def test_a_key_that_a_server_repeats_is_hidden_in_the_detail(lab: Lab, way: str, fault: str) -> None:
    error = Caller(lab, way, fault).ask().error
    assert isinstance(error, AllAttemptsFailedError)
    assert error.detail is not None
    assert "***" in error.detail
    assert KEY not in f"{error.detail} {error.code} {error.param}"
