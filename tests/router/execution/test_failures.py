from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest

from router.errors import CallError
from router.execution.failures import failure_in, failure_of

NOW_S = 1_700_000_000.0


class HttpError(Exception):
    """As HTTP clients raise them: some have the status themselves, some in their response."""

    def __init__(self, message: str = "", *, headers: dict[str, str] | None = None, **fields: Any) -> None:
        self.response = SimpleNamespace(headers=headers or {}, **{k: v for k, v in fields.items() if k == "status_code"})
        for name, value in fields.items():
            if name != "status_code":
                setattr(self, name, value)
        super().__init__(message)


def failure(status: int, message: str = "", **fields: Any) -> CallError:
    return failure_of(HttpError(message, status_code=status, **fields), wall_clock=lambda: NOW_S)


def test_the_words_of_a_prompt_that_the_server_repeats_do_not_decide() -> None:
    prompt = "why do I get: rate limit reached, incorrect api key provided?"
    error = HttpError(f"cannot serve this: {prompt}", status_code=400)
    assert failure_of(error).kind != "unable"
    assert failure_of(error, sent=[prompt]).kind == "unable"


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("transient", [408, 409, 424, 425, 498, 499, 500, 502, 503, 504, 529, 599]),
        ("rate_limit", [429]),
        ("auth", [301, 302, 307, 308, 401, 402, 403, 404, 405, 410]),
        ("unable", [400, 406, 413, 415, 418, 422, 451]),
    ],
)
def test_a_status_has_its_class(kind: str, statuses: list[int]) -> None:
    assert {status: failure(status).kind for status in statuses} == dict.fromkeys(statuses, kind)


def test_without_a_status_a_failure_is_transient() -> None:
    assert failure_of(ConnectionResetError()).kind == "transient"
    assert failure_of(HttpError(status_code=200)).status is None


def test_an_account_without_money_counts_as_a_refused_key_and_not_as_a_rate_limit() -> None:
    assert failure(429, code="insufficient_quota").kind == "auth"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "60", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": formatdate(NOW_S + 30, usegmt=True)}, 30.0),
        ({"Retry-After": formatdate(NOW_S - 30, usegmt=True)}, 0.0),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert failure(429, headers=headers).retry_after_s == seconds


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "the request exceeds the available context size, try increasing it",
        "Input is too long for requested model.",
        "Please reduce the length of the messages or completion.",
    ],
)
def test_the_messages_of_servers_about_a_prompt_too_long_are_recognised(message: str) -> None:
    assert failure(400, message).too_long
    assert failure(400, body={"message": message}).too_long
    # Some servers say so under a status that means something else.
    assert [failure(status, message).kind for status in (400, 413, 429, 500)] == ["unable"] * 4


def test_status_413_and_the_code_mean_a_prompt_too_long_too() -> None:
    assert failure(413).too_long
    assert failure(400, code="context_length_exceeded").too_long
    assert not failure(400, "temperature must be at most 2", code="invalid_value").too_long


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("model_not_found", "HttpError 404 (model_not_found)"),
        ("sk-s3cret", "HttpError 404"),
        ("what is 2+2", "HttpError 404"),
    ],
)
def test_a_message_has_the_code_only_if_it_can_be_neither_key_nor_prompt(code: str, shown: str) -> None:
    assert str(failure(404, "sk-s3cret cannot read: what is 2+2", code=code)) == shown


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"code": 429}, "rate_limit"),
        ({"code": "502"}, "transient"),
        ({"type": "rate_limit_error"}, "rate_limit"),
        ({"code": "context_length_exceeded"}, "unable"),
        ({"type": "authentication_error"}, "auth"),
        ({"code": 7}, "transient"),
        ("tired", "transient"),
        (None, "transient"),
    ],
)
def test_an_error_object_in_a_body_is_classified_by_code_or_type(body: object, kind: str) -> None:
    assert failure_in(body).kind == kind
