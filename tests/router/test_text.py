import pytest

from router import InputError
from router.text import HEAD_CHARS, TAIL_CHARS, cut, read_prompt


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize("text", ["", " ", "short", "x" * (HEAD_CHARS + TAIL_CHARS)])
def test_a_text_within_bounds_stays_as_it_is(text: str) -> None:
    assert cut(text) == text


def test_a_long_text_keeps_head_and_tail() -> None:
    assert cut("a" * 2000 + "m" + "z" * 2000) == "a" * 1500 + "\n" + "z" * 1500


def test_lone_surrogates_become_question_marks_and_pairs_stay() -> None:
    assert cut("a\ud800b\udfffc é 🎈") == "a?b?c é 🎈"


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abc", 1), ("abcd", 2), ("日", 1), ("éé", 2), ("\ud800", 1)])
def test_a_token_is_taken_for_three_bytes_rounded_up(text: str, tokens: int) -> None:
    assert read_prompt(text).tokens == tokens


def test_ten_megabytes_are_counted_whole_and_kept_in_part() -> None:
    request = read_prompt("x" * 10_000_000)
    assert (len(request.turns[0]), request.tokens) == (HEAD_CHARS + TAIL_CHARS + 1, 3_333_334)


def test_of_a_long_text_in_several_scripts_the_bytes_are_counted_in_parts() -> None:
    text = "日本 " * 400_000 + "ab " * 1_200_000  # 2.8 + 3.6 million bytes
    assert read_prompt(text).tokens == pytest.approx(6_400_000 / 3, rel=0.02)
    assert read_prompt("é" * 1_000_001).tokens == 666_668


def test_user_turns_come_newest_first_and_every_role_counts_in_tokens() -> None:
    request = read_prompt(
        [{"role": "system", "content": "abc"}, user("one"), {"role": "assistant", "content": None}, user("two")]
    )
    assert (request.turns, request.tokens, request.has_image) == (("two", "one"), 3, False)


@pytest.mark.parametrize("kind", ["image_url", "input_image", "image"])
def test_text_parts_are_joined_and_an_image_is_seen(kind: str) -> None:
    parts = [{"type": "text", "text": "what is"}, {"type": kind, kind: {"url": "data:"}}, {"type": "text", "text": "this?"}]
    request = read_prompt((user(parts),))
    assert (request.turns, request.has_image) == (("what is\nthis?",), True)


@pytest.mark.parametrize(
    ("prompt", "rule"),
    [
        (None, "must be a str or a list of messages, was NoneType"),
        (5, "was int"),
        (b"bytes", "was bytes"),
        ({"role": "user", "content": "one message alone"}, "was dict"),
        ([], "at least one whose role is 'user'"),
        ([{"role": "system", "content": "hi"}], "at least one whose role is 'user'"),
        (["hi"], "message 0 must be a mapping"),
        ([user("hi"), {"content": "no role"}], "message 1 must be a mapping with a 'role'"),
        ([{"role": 1, "content": "hi"}], "message 0 must be"),
        ([user(5)], "content of message 0 must be a str or a list of parts, was int"),
        ([user({"text": "hi"})], "was dict"),
        ([user(b"bytes")], "content of message 0 must be"),
        ([user(["parts", "that are strings"])], "message 0"),
    ],
)
def test_a_wrong_type_is_refused_with_the_rule(prompt: object, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        read_prompt(prompt)  # type: ignore[arg-type]
