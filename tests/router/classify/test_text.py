import pytest

from router import InputError
from router.classify.text import HEAD_CHARS, TAIL_CHARS, cut, parse_prompt


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize("text", ["", " ", "short", "x" * (HEAD_CHARS + TAIL_CHARS)])
def test_a_short_text_is_not_changed(text: str) -> None:
    assert cut(text) == text


def test_a_long_text_keeps_head_and_tail() -> None:
    assert cut("a" * 2000 + "m" + "z" * 2000) == "a" * 1500 + "\n" + "z" * 1500


def test_lone_surrogates_become_question_marks_and_pairs_stay() -> None:
    assert cut("a\ud800b\udfffc é 🎈") == "a?b?c é 🎈"


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abc", 1), ("abcd", 2), ("日", 1), ("éé", 2), ("\ud800", 1)])
def test_a_token_counts_as_three_bytes_rounded_up(text: str, tokens: int) -> None:
    assert parse_prompt(text).tokens == tokens


def test_ten_megabytes_are_counted_in_full_and_cut() -> None:
    parsed = parse_prompt("x" * 10_000_000)
    assert (len(parsed.turns[0]), parsed.tokens) == (HEAD_CHARS + TAIL_CHARS + 1, 3_333_334)


def test_the_bytes_of_a_long_text_in_several_scripts_are_estimated_from_slices() -> None:
    text = "日本 " * 400_000 + "ab " * 1_200_000  # 2.8 + 3.6 million bytes
    assert parse_prompt(text).tokens == pytest.approx(6_400_000 / 3, rel=0.02)
    assert parse_prompt("é" * 1_000_001).tokens == 666_668


def test_user_turns_come_newest_first_and_every_role_counts_in_tokens() -> None:
    parsed = parse_prompt(
        [{"role": "system", "content": "abc"}, user("one"), {"role": "assistant", "content": None}, user("two")]
    )
    assert (parsed.turns, parsed.tokens, parsed.has_image) == (("two", "one"), 3, False)


@pytest.mark.parametrize("kind", ["image_url", "input_image", "image"])
def test_text_parts_are_joined_and_an_image_is_seen(kind: str) -> None:
    parts = [{"type": "text", "text": "what is"}, {"type": kind, kind: {"url": "data:"}}, {"type": "text", "text": "this?"}]
    parsed = parse_prompt((user(parts),))
    assert (parsed.turns, parsed.has_image) == (("what is\nthis?",), True)


@pytest.mark.parametrize(
    ("prompt", "rule"),
    [
        (None, "must be a str or a list of messages, got NoneType"),
        (5, "got int"),
        (b"bytes", "got bytes"),
        ({"role": "user", "content": "one message alone"}, "got dict"),
        ([], "must contain one with the role 'user', got none"),
        ([{"role": "system", "content": "hi"}], "must contain one with the role 'user', got none"),
        (["hi"], "message 0 must be a mapping"),
        ([user("hi"), {"content": "no role"}], "message 1 must be a mapping with a 'role'"),
        ([{"role": 1, "content": "hi"}], "message 0 must be"),
        ([user(5)], "content of message 0 must be a str or a list of parts, got int"),
        ([user({"text": "hi"})], "got dict"),
        ([user(b"bytes")], "content of message 0 must be"),
        ([user(["parts", "that are strings"])], "message 0"),
    ],
)
def test_a_wrong_type_is_refused_with_the_rule(prompt: object, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        parse_prompt(prompt)  # type: ignore[arg-type]
