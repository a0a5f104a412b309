"""Answers of servers, well formed or not."""

import json
from typing import Any

import pytest

from router.calls import Usage
from router.execution.answers import read_chunk
from router.execution.policy import CallPolicy
from tests.router.execution.openai_lab import (
    Caller,
    Lab,
    in_every_way,
)

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
    result = Caller(lab, way, "scripted", "ok").ask(options={"extra_body": {"answer": answer}})
    assert result.attempts == [("scripted", "transient"), ("ok", None)]


@pytest.mark.parametrize("way", ["sync", "stream"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "m"}, "rate_limit"),
        ({"type": "rate_limit_error"}, "rate_limit"),
        ({"code": "invalid_api_key"}, "auth"),
        ({"code": "content_filter"}, "unable"),
        ({"type": "overloaded_error"}, "transient"),
    ],
)
def test_an_error_object_without_a_status_counts_by_its_code_or_type(
    lab: Lab, way: str, error: dict[str, object], kind: str
) -> None:
    result = Caller(lab, way, "scripted").ask(
        options={"extra_body": {"answer": json.dumps({"error": error})}}, policy=CallPolicy(max_attempts=1)
    )
    assert result.attempts[0] == ("scripted", kind)


@in_every_way
def test_parts_of_a_content_and_a_charged_cost_are_read(lab: Lab, way: str) -> None:
    content = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "four"}]
    choice = {"message": {"content": content}, "delta": {"content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "cost": 0.25}
    answer = json.dumps({"choices": [choice], "usage": usage})
    completion = Caller(lab, way, "scripted").ask(options={"extra_body": {"answer": answer}}).completion
    assert completion is not None
    assert (completion.text, completion.cost_usd) == ("four", 0.25)
    assert completion.usage == Usage(input_tokens=3, output_tokens=1, cost_usd=0.25)


@in_every_way
def test_the_text_of_the_older_completions_is_read(lab: Lab, way: str) -> None:
    answer = json.dumps({"choices": [{"text": "four", "finish_reason": "stop"}]})
    completion = Caller(lab, way, "scripted").ask(options={"extra_body": {"answer": answer}}).completion
    assert completion is not None
    assert completion.text == "four"


def test_a_usage_before_the_answer_begins_is_no_chunk() -> None:
    event = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}}
    assert read_chunk(event, raw=event) is None
    read = read_chunk(event, raw=event, begun=True)
    assert read is not None
    assert read.usage == Usage(input_tokens=3, output_tokens=0)


@in_every_way
def test_a_tool_call_is_an_answer_without_text(lab: Lab, way: str) -> None:
    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    choice = {
        "message": {"content": None, "tool_calls": [call]},
        "delta": {"tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    answer = json.dumps({"choices": [choice]})
    completion = Caller(lab, way, "scripted").ask(options={"extra_body": {"answer": answer}}).completion
    assert completion is not None
    assert (completion.text, completion.finish_reason) == ("", "tool_calls")
    raw: Any = completion.raw
    again = raw[0].choices[0].delta if "stream" in way else raw.choices[0].message
    assert again.tool_calls[0].function.name == "add"
