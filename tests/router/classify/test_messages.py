from collections import UserDict
from types import SimpleNamespace

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from openai.types.chat.parsed_chat_completion import ParsedChatCompletion

from router import InputError
from router.classify.messages import read_messages
from router.classify.text import parse_prompt

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


def body(**fields: object) -> dict[str, object]:
    """Return the body of a response, as OpenAI sends it."""
    message = {"role": "assistant", "content": None, "refusal": None, "annotations": [], "audio": None} | fields
    choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}
    return {"id": "r", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def message(**fields: object) -> ChatCompletionMessage:
    return ChatCompletion.model_validate(body(**fields)).choices[0].message


def test_a_message_of_the_sdk_becomes_one_that_a_server_takes() -> None:
    assert read_messages([message(content="hi")]) == [{"role": "assistant", "content": "hi"}]
    assert read_messages([message(tool_calls=[CALL])]) == [{"role": "assistant", "content": None, "tool_calls": [CALL]}]


def test_fields_that_some_servers_need_again_stay() -> None:
    (plain,) = read_messages([message(content="hi", reasoning_content="hm", refusal="no")])
    assert plain == {"role": "assistant", "content": "hi", "reasoning_content": "hm", "refusal": "no"}


def test_the_audio_of_an_answer_is_sent_by_its_id() -> None:
    audio = {"id": "a1", "data": "AAAA", "expires_at": 1, "transcript": "hi"}
    assert read_messages([message(audio=audio)])[0]["audio"] == {"id": "a1"}


def test_what_the_sdk_parsed_itself_is_not_sent() -> None:
    call = CALL | {"function": {"name": "add", "arguments": '{"a": 1}', "parsed_arguments": {"a": 1}}}
    parsed = ParsedChatCompletion.model_validate(body(content="{}", parsed={"x": 1}, tool_calls=[call]))
    assert read_messages([parsed.choices[0].message]) == [{"role": "assistant", "content": "{}", "tool_calls": [CALL]}]


def test_objects_inside_of_a_dictionary_become_dictionaries_too() -> None:
    mixed = {"role": "assistant", "content": None, "tool_calls": message(tool_calls=[CALL]).tool_calls}
    assert read_messages([mixed]) == [{"role": "assistant", "content": None, "tool_calls": [CALL]}]


def test_a_dictionary_stays_the_same_object_and_other_mappings_become_one() -> None:
    plain = {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": None}
    assert read_messages([plain])[0] is plain
    (read,) = read_messages([UserDict(role="user", content="hi")])
    assert (type(read), read) == (dict, {"role": "user", "content": "hi"})


def test_an_answer_that_was_dumped_with_its_empty_fields_loses_them() -> None:
    (read,) = read_messages([message(content="hi").model_dump()])
    assert read == {"role": "assistant", "content": "hi"}


def test_a_text_is_one_user_message() -> None:
    assert read_messages("hi") == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("wrong", [ChatCompletion.model_validate(body()), SimpleNamespace(role="user", content="hi")])
def test_another_object_is_refused_with_the_remedy(wrong: object) -> None:
    with pytest.raises(InputError, match=r"message 0 must be .* got \w+; of an SDK's response pass choices\[0\]\.message"):
        read_messages([wrong])


def test_an_object_that_cannot_be_dumped_is_refused_without_its_text() -> None:
    class Broken:
        def model_dump(self, **_: object) -> object:
            raise ValueError("my secret prompt")

    with pytest.raises(InputError, match=r"a Broken cannot be turned into a dictionary \(ValueError\)"):
        read_messages([Broken()])


def test_a_history_with_a_message_of_the_sdk_is_routed_by_the_users_turn() -> None:
    history = [{"role": "user", "content": "add"}, message(tool_calls=[CALL]), {"role": "tool", "content": "2"}]
    parsed = parse_prompt(history)
    assert (parsed.turns, parsed.needs) == (("add",), frozenset())
