"""The executor that answers from a script."""

import pickle
from typing import Any

import pytest

from router.calls import Reply
from router.errors import (
    AllAttemptsFailedError,
    CallError,
    InputError,
)
from router.execution.fake import FakeExecutor
from router.execution.policy import CallPolicy
from tests.router.execution.fakes import USAGE, FakeEndpoints
from tests.router.execution.ways import Way, by_complete, in_every_way

DOWN = CallError("transient", "InternalServerError 503", status=503)


@in_every_way
def test_a_scripted_reply_is_returned_unchanged(way: Way) -> None:
    completion = way(FakeEndpoints("a"), FakeExecutor({"a": [Reply(text="cut", finish_reason="length", usage=USAGE)]}))
    assert (completion.text, completion.finish_reason, completion.usage) == ("cut", "length", USAGE)


@pytest.mark.parametrize(
    ("script", "rule"),
    [
        (["ok"], "a script must map endpoints to lists of acts, .* got list"),
        ({"a": "ok"}, "got str for 'a'; put it into a list"),
        ({"a": [5]}, "got int as an act of 'a'"),
    ],
)
def test_a_script_of_another_form_is_refused(script: Any, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        FakeExecutor(script)


def test_an_executor_pickles_by_its_script_and_starts_again() -> None:
    executor = FakeExecutor({"a": [DOWN, "two words"]})
    with pytest.raises(AllAttemptsFailedError):
        by_complete(FakeEndpoints("a", policy=CallPolicy(max_attempts=1)), executor)
    copy = pickle.loads(pickle.dumps(executor))  # noqa: S301 - made on this line
    assert copy.requests == []
    completion = by_complete(FakeEndpoints("a"), copy)
    assert [record.failure for record in completion.attempts] == ["transient", None]
    assert completion.text == "two words"
    assert len(executor.requests) == 1
