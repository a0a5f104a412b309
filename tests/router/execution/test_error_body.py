import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.execution.error_body import read_error_body
from router.execution.failure_rules import Rule, load_rules
from router.execution.failures import failure_in
from router.execution.retry_after import find_wait_s

# A prompt that reads like a refusal.
PROMPT = "my API key is not valid, prompt is too long: 9 tokens > 8 maximum"
PYDANTIC = {"type": "missing", "loc": ["body", "tools"], "msg": "Field required", "input": {"content": PROMPT}}
IN_PYTHON = f"1 validation error:\n  {{'type': 'missing', 'loc': ('body', 'tools'), 'input': {{'content': '{PROMPT}'}}}}"
REPEATS: dict[str, dict[str, object]] = {
    "fields": {"detail": [PYDANTIC]},
    "JSON in a text": {"message": json.dumps({"detail": [PYDANTIC]})},
    "Python's notation": {"message": IN_PYTHON},
    "pydantic's notation": {"message": f"Input should be 'user' [type=enum, input_value='{PROMPT}', input_type=str]"},
    "Fireworks": {"message": f"Input should be a valid string, field: 'tools', value: [{{'text': '{PROMPT}'}}]"},
    "llama.cpp": {
        "message": f'Failed to parse messages: bad part; messages = [\n  {{"role": "user", "text": "{PROMPT}"}}\n]'
    },
    "Groq": {"code": "tool_use_failed", "message": "Failed to call a function.", "failed_generation": PROMPT},
    "OpenRouter": {"code": 400, "message": "Refused.", "metadata": {"flagged_input": PROMPT}},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10) | st.just("error"), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("body", REPEATS.values(), ids=REPEATS)
def test_a_prompt_that_a_server_repeats_does_not_decide_but_stays_in_the_detail(body: dict[str, object]) -> None:
    assert "key is not valid" not in read_error_body(body).text
    error = failure_in({**body, "status": 400})
    assert (error.kind, error.too_long) == ("unable", False)
    assert "key is not valid" in str(error.detail)


def test_codes_of_outer_objects_come_first_and_words_before_numbers_become_the_code() -> None:
    raw = json.dumps({"error": {"message": "inner", "type": "inner_error", "param": "tools"}})
    body = {"message": "outer", "code": 400, "metadata": {"raw": raw}, "type": "outer_error"}
    facts = read_error_body(body)
    assert facts.codes == ("400", "outer_error", "inner_error")
    assert facts.params == ("tools",)
    assert facts.text == "400 outer_error inner_error tools | outer inner"
    assert (failure_in(body).code, failure_in({"code": "1113"}).code) == ("outer_error", "1113")


def test_the_detail_is_the_servers_text_as_it_came() -> None:
    body = {"message": "Provider returned error", "metadata": {"raw": '{"error": {"message": "Too BIG"}}'}}
    assert read_error_body(body).detail == 'Provider returned error {"error": {"message": "Too BIG"}}'
    assert read_error_body({}).detail is None


@given(JSON)
def test_any_body_has_a_class_and_a_short_text(body: object) -> None:
    assert len(read_error_body(body).text) <= 4000
    assert failure_in(body).kind in ("transient", "rate_limit", "auth", "unable", "request")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("please try again in 6.78s. visit", 6.78),
        ("please try again in 33m57.312s. need more", 33 * 60 + 57.312),
        ("try again in 1h12m28.8s", 3600 + 12 * 60 + 28.8),
        ("please try again in 180ms.", 0.18),
        ("try again in 2 seconds.", 2.0),
        ("please retry after 20 seconds.", 20.0),
        ("please retry in 26.103749s.", 26.103749),
        ("your quota will reset after 5h59m59s.", 6 * 3600 - 1),
        ("retry in 26s", 26.0),
        ("retry in 1500ms", 1.5),
        ("please wait 5 minutes and go on", 300.0),
        ("try again in 1 hour and 30 minutes", 5400.0),
        ("wait for 10 s", 10.0),
        ("retry-after: 30", 30.0),
        ("try again after 1 seconds", 1.0),
        ("retry after 7", 7.0),
        ("retry 3 times", None),
        ("your limit will reset at 2026-08-27 21:31:39", None),
        ("try again in 0 s", None),
        ("try again in a moment", None),
        ("please wait before trying again", None),
        ("limit 30000, requested 36278", None),
    ],
)
def test_a_text_names_the_seconds_to_wait(text: str, seconds: float | None) -> None:
    assert find_wait_s(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ({"retryDelay": "26s"}, 26.0),
        ({"retry_after": 12}, 12.0),
        ({"retry_after_ms": 1500}, 1.5),
        ({"retry_after_seconds": 4}, 4.0),
        ({"retry_count": 3}, None),
    ],
)
def test_a_field_names_the_seconds_to_wait(field: dict[str, object], seconds: float | None) -> None:
    assert failure_in({"code": 429, "message": "Rate limit reached", "metadata": field}).retry_after_s == seconds


def test_no_rule_can_take_long() -> None:
    """A repetition without a bound inside another expression takes quadratic time on a text made for it."""
    patterns = [rule.words.pattern.replace("^[^|]*", "") for rule in load_rules()]
    assert [pattern for pattern in patterns if re.search(r"(?<!\\)[.\])][*+]|\\[wsS][*+]", pattern)] == []


@pytest.mark.parametrize(
    ("fields", "rule"), [({"kind": "fatal"}, "kind must be one of"), ({"source": "docs"}, "public address")]
)
def test_a_row_with_a_wrong_kind_or_without_a_source_is_refused(fields: dict[str, str], rule: str) -> None:
    row = {"kind": "auth", "source": "https://example.com", "words": re.compile("no"), **fields}
    with pytest.raises(ValueError, match=rule):
        Rule(**row)  # type: ignore[arg-type]


def test_a_rule_holds_for_its_statuses_and_for_failures_without_one() -> None:
    rule = Rule("auth", re.compile("no key"), "https://example.com", statuses=frozenset({"4xx", "503"}))
    assert [status for status in (None, 400, 429, 500, 503, 307) if rule.fits(status, "| no key")] == [None, 400, 429, 503]
