from dataclasses import replace

import pytest

from router import InputError
from router.classify.session import NO_SESSION
from router.classify.text import HEAD_CHARS, TAIL_CHARS, cut, parse_prompt
from router.classify.tokens import count_tokens


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def of_role(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


@pytest.mark.parametrize("text", ["", " ", "short", "x" * (HEAD_CHARS + TAIL_CHARS)])
def test_a_short_text_is_not_changed(text: str) -> None:
    assert cut(text) == text


def test_a_long_text_keeps_head_and_tail() -> None:
    assert cut("a" * 2000 + "m" + "z" * 2000) == "a" * 1500 + "\n" + "z" * 1500


def test_lone_surrogates_become_question_marks_and_pairs_stay() -> None:
    assert cut("a\ud800b\udfffc é 🎈") == "a?b?c é 🎈"


def test_a_text_and_one_message_of_it_are_parsed_alike() -> None:
    parsed = parse_prompt("0123456789")
    # Only a message can begin a session.
    assert parsed == replace(parse_prompt([user("0123456789")]), session=NO_SESSION)
    assert (parsed.turns, parsed.tokens) == (("0123456789",), 16)  # 11 and 5 for the message


def test_user_turns_come_newest_first_and_every_message_counts_in_tokens() -> None:
    parsed = parse_prompt([of_role("system", "7777"), user("one"), of_role("assistant", None), user("two")])
    assert parsed.turns == ("two", "one")
    assert parsed.tokens == 5 + 2 + 2 + 4 * 5  # "7777" is 4.4, "one" and "two" are 1.09 each


def test_without_a_user_turn_the_system_decides_and_without_both_whoever_spoke() -> None:
    system, developer, answer = of_role("system", "first"), of_role("developer", "second"), of_role("assistant", "so")
    assert parse_prompt([system, answer, developer]).turns == ("second", "first")
    assert parse_prompt([answer, of_role("tool", "42")]).turns == ("42", "so")
    assert parse_prompt([of_role("assistant", None)]).turns == ("",)
    assert parse_prompt([system, user("")]).turns == ("",)


@pytest.mark.parametrize("content", [None, "", []])
def test_empty_content_is_fine(content: object) -> None:
    assert parse_prompt([user("hi"), of_role("assistant", content)]).tokens == parse_prompt("hi").tokens + 5


def test_needs_and_unknown_parts_of_all_messages_are_collected() -> None:
    parts = [{"type": "hologram"}, {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]
    parsed = parse_prompt([user(parts), user([{"type": "image_url"}, {"type": "aura"}])])
    assert (parsed.needs, parsed.unknown_parts) == ({"vision", "audio"}, ("aura", "hologram"))


def test_tool_calls_count_in_tokens_and_need_nothing() -> None:
    arguments = '{"a": "' + "7" * 1000 + '"}'
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    parsed = parse_prompt([user("hi"), {"role": "assistant", "content": None, "tool_calls": [call]}])
    assert parsed.tokens >= 1100 + parse_prompt("hi").tokens
    assert parsed.needs == frozenset()


@pytest.mark.parametrize(
    ("prompt", "tools"),
    [
        ("hi", [{"type": "function", "function": {"name": "f", "description": "sort it. " * 53_334}}]),  # 480,000 characters
        ([{"role": "assistant", "tool_calls": [{"function": {"arguments": "sort it. " * 133_334}}]}], None),  # 1,200,000
    ],
)
def test_long_tools_and_arguments_exceed_a_window_of_128_000_tokens(prompt: list[dict[str, object]], tools: object) -> None:
    assert parse_prompt(prompt, tools=tools).tokens > 128_000


def test_tools_count_by_their_json() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    text = '[{"type": "function", "function": {"name": "f"}}]'
    assert parse_prompt("hi", tools=tools).tokens == parse_prompt("hi").tokens + count_tokens(text)


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize("tools", [object(), Hostile(), [Hostile()], CYCLE, {(1, 2): 3}, float("nan"), b"x", [print], int])
def test_odd_tools_raise_no_error(tools: object) -> None:
    assert parse_prompt("hi", tools=tools).tokens > parse_prompt("hi").tokens


NESTED: dict[str, object] = {"role": "user"}
NESTED["content"] = [NESTED]


@pytest.mark.parametrize(
    ("prompt", "rule"),
    [
        (None, "must be a str or a list of messages, got NoneType"),
        (5, "got int"),
        (b"bytes", "got bytes"),
        ({"role": "user", "content": "one message alone"}, "got dict"),
        ([], "at least one message, got none; add the user's turn"),
        (["hi"], "message 0 must be a mapping"),
        ([user("hi"), {"content": "no role"}], "message 1 must be a mapping with a 'role'"),
        ([{"role": 1, "content": "hi"}], "message 0 must be"),
        ([user(5)], "content of message 0 must be a str or a list of parts, got int"),
        ([user({"text": "hi"})], "got dict"),
        ([user(b"bytes")], "content of message 0 must be"),
        ([user(["parts", "that are strings"])], "message 0"),
        ([NESTED], "message 0 is nested too deeply"),
    ],
)
def test_a_wrong_type_is_refused_with_the_rule(prompt: object, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        parse_prompt(prompt)  # type: ignore[arg-type]
