"""What the SDK sends, and that no secret is in an error."""

import logging
import traceback

import pytest

from router.errors import (
    InputError,
)
from router.execution.openai import OpenAIExecutor
from router.execution.policy import CallPolicy
from router.execution.sync_driver import complete
from tests.router.execution.fakes import PROMPT
from tests.router.execution.openai_lab import KEY, Caller, Lab, in_every_way


@in_every_way
def test_options_are_passed_on_and_the_model_has_the_servers_name(lab: Lab, way: str) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok", model="vendor/m-1")})
    caller = Caller(lab, way, "ok", executor=executor)
    assert caller.ask(options={"temperature": 0.5, "extra_headers": {"X-Tag": "t"}}).completion is not None
    ((_, body, headers),) = lab.server.asked
    assert (body["model"], body["temperature"]) == ("vendor/m-1", 0.5)
    assert body["messages"] == [{"role": "user", "content": PROMPT}]
    assert (headers["authorization"], headers["x-tag"]) == (f"Bearer {KEY}", "t")
    assert body.get("stream_options") == ({"include_usage": True} if "stream" in way else None)


def test_a_stream_does_not_request_usage_if_the_server_refuses_that(lab: Lab) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok", stream_usage=False)})
    assert Caller(lab, "stream", "ok", executor=executor).ask().completion is not None
    assert "stream_options" not in lab.server.asked[0][1]


def test_the_key_is_read_at_every_call(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller(lab, "sync", "ok")
    for key in ("first", "second"):
        monkeypatch.setenv("TEST_KEY", key)
        complete(caller.endpoints.plan(), caller.executor)
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


def test_the_environments_settings_for_openai_go_to_no_other_server(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "of openai")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer of openai")
    executor = OpenAIExecutor({"ok": lab.endpoint("ok")})
    assert Caller(lab, "sync", "ok", executor=executor).ask().completion is not None
    assert "of openai" not in str(lab.server.asked[0][2])


@in_every_way
def test_an_option_that_the_sdk_does_not_know_raises_an_error_and_counts_as_cancelled(lab: Lab, way: str) -> None:
    caller = Caller(lab, way, "ok")
    with pytest.raises(InputError, match="temprature"):
        caller.ask(options={"temprature": 1})
    assert caller.endpoints.failures("ok") == {"cancelled": 1}
    assert caller.endpoints.at_rest()


@in_every_way
@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800"], ids=["nan", "object", "lone surrogate"])
def test_a_request_that_is_no_json_names_the_parameter_and_counts_as_cancelled(lab: Lab, way: str, value: object) -> None:
    caller = Caller(lab, way, "ok")
    with pytest.raises(InputError, match=r"values that JSON has, got others in metadata \(dict\)"):
        caller.ask(options={"metadata": {"a": value}})
    assert caller.endpoints.failures("ok") == {"cancelled": 1}
    assert lab.server.asked == []


@in_every_way
@pytest.mark.parametrize("fault", ["400", "401", "error-event", "500"])
def test_neither_key_nor_prompt_is_in_an_error_a_traceback_a_record_or_a_log(
    lab: Lab, way: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caller = Caller(lab, way, fault)
    error = caller.ask(policy=CallPolicy(max_attempts=1)).error
    assert error is not None
    texts = "".join(traceback.format_exception(error)) + repr(error.attempts) + repr(caller.executor) + caplog.text
    assert KEY not in texts
    assert PROMPT not in texts
    assert "TEST_KEY" in repr(caller.executor)


def test_an_error_names_class_status_and_code(lab: Lab) -> None:
    error = Caller(lab, "sync", "429-quota").ask().error
    assert error is not None
    assert error.attempts[0].error == "RateLimitError 429 (insufficient_quota)"
