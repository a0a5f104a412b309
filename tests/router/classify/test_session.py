from collections.abc import Mapping, Sequence

import pytest

from router.classify.session import Session
from router.classify.text import parse_prompt

ASK = {"role": "user", "content": "fix the login test"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "run", "arguments": "{}"}}]}
FAIL = {"role": "tool", "tool_call_id": "1", "content": "Error: port 8080 is in use (pid 77)"}


def session(*messages: Mapping[str, object]) -> Session:
    return parse_prompt(messages).session


def test_all_requests_of_a_conversation_have_one_id_and_others_have_another() -> None:
    system, answer = {"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "Done."}
    first = session(system, ASK)
    assert first.id == session(system, ASK, answer, {"role": "user", "content": "now the other one"}).id
    assert first.id not in {session(ASK).id, session(system, {"role": "user", "content": "fix the logout test"}).id}
    assert parse_prompt("fix the login test").session == Session()


@pytest.mark.parametrize(
    "last",
    [
        FAIL,
        {"role": "function", "name": "run", "content": "ok"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "ok"}]},
        {"role": "tool", "content": "", "call_id": "1", "output": "ok"},
        {"role": "tool", "content": [{"type": "input_text", "text": "ok"}]},
    ],
)
def test_the_result_of_a_tool_at_the_end_means_that_the_turn_goes_on(last: Mapping[str, object]) -> None:
    assert session(ASK, CALL, last).in_tool_call
    assert not session(ASK, CALL, last, {"role": "assistant", "content": "It works."}, ASK).in_tool_call


def test_the_same_error_of_a_tool_again_means_that_a_session_is_stuck() -> None:
    again = FAIL | {"content": "Error: port 8080 is in use (pid 78)"}
    other = FAIL | {"content": "Error: no such file"}
    fine = FAIL | {"content": "3 passed"}
    assert session(ASK, CALL, FAIL, CALL, again).stuck == "the same tool error again"
    assert session(ASK, CALL, FAIL, CALL, fine, CALL, again).stuck
    assert not session(ASK, CALL, FAIL).stuck
    assert not session(ASK, CALL, FAIL, CALL, other).stuck
    assert not session(ASK, CALL, fine, CALL, fine).stuck
    # Not any more, once the tool works.
    assert not session(ASK, CALL, FAIL, CALL, again, CALL, fine).stuck


def test_a_result_that_is_marked_as_an_error_needs_no_word_for_it() -> None:
    marked = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "is_error": True, "content": "no"}]}
    assert session(ASK, CALL, marked, CALL, marked).stuck


@pytest.mark.parametrize(
    "words",
    [
        *("that's wrong", "it still fails", "doesn't work", "nope, same error", "geht immer noch nicht", "no funciona"),
        *("ça ne marche pas", "não funciona", "还是不行", "まだ動かない", "всё ещё не работает", "안 돼", "لا يعمل"),
    ],
)
def test_a_user_who_says_that_it_is_wrong_is_stuck(words: str) -> None:
    answer = {"role": "assistant", "content": "It is fixed."}
    assert session(ASK, answer, {"role": "user", "content": words}).stuck == "the user says that the answer is wrong"
    assert not session({"role": "user", "content": words}).stuck  # there is no answer yet
    assert not session(ASK, answer, {"role": "user", "content": words + " x" * 200}).stuck  # material, not a complaint


@pytest.mark.parametrize("words", ["thanks, go on", "now in german", "write the test too", "great work"])
def test_other_turns_are_not_stuck(words: str) -> None:
    assert not session(ASK, {"role": "assistant", "content": "It is fixed."}, {"role": "user", "content": words}).stuck


def test_two_refusals_in_a_row_are_stuck() -> None:
    refusals: Sequence[Mapping[str, object]] = [
        {"role": "assistant", "content": "I'm sorry, but I can't help with that."},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]
    assert session(ASK, refusals[0], ASK, refusals[1], ASK).stuck == "it was refused twice"
    assert not session(ASK, refusals[0], ASK).stuck
