import json
from pathlib import Path

import pytest

from tests.training.data.files import check_error, write
from training.data.conversations import read_conversations

HEADER = "conversation_id,half,format,kind,message,task\n"
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x = 1"}]}


def line(kind: str, message: object, task: str = "", *, name: str = "a", form: str = "messages") -> str:
    text = json.dumps(message).replace('"', '""')
    return f'{name},held out,{form},{kind},"{text}",{task}\n'


def say(text: str) -> dict[str, object]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def test_each_request_to_a_model_is_a_row_with_the_task_of_the_last_request(tmp_path: Path) -> None:
    content = HEADER + line("system", {"role": "system", "content": "You edit files."})
    content += line("tools", [{"name": "read"}])
    content += line("request", say("<env>a</env>\nfix the login test"), "coding") + line("message", CALL)
    content += line("message", RESULT) + line("message", {"role": "assistant", "content": "Done."})
    content += line("continues", say("go on"), "coding")
    rows = read_conversations(write(tmp_path, "agents.csv", content)).rows
    assert [(row.source, row.task) for row in rows] == [
        ("held out: request", "coding"), ("held out: step", "coding"), ("held out: continuation", "coding"),
    ]  # fmt: skip
    assert rows[0].prompt == "<env>a</env>\nfix the login test"
    assert rows[0].tools == [{"name": "read"}]
    assert [len(row.earlier) for row in rows] == [1, 3, 5]
    # Results of tools are no words of the user, in any protocol.
    assert rows[1].message is not None
    assert rows[1].message["role"] == "tool"


def test_sessions_of_all_protocols_are_read(tmp_path: Path) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "prove it"}]}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "ok"}
    content = HEADER + line("request", item, "math", form="responses")
    content += line("message", call, form="responses") + line("message", output, form="responses")
    content += line("request", {"role": "user", "content": "write a poem"}, "writing", name="b", form="chat")
    rows = read_conversations(write(tmp_path, "agents.csv", content)).rows
    assert [(row.group, row.source, row.prompt) for row in rows] == [
        ("a", "held out: request", "prove it"),
        ("a", "held out: step", "prove it"),
        ("b", "held out: request", "write a poem"),
    ]


BROKEN = {
    "no request": (HEADER + line("message", say("hi")), "", "at least one row of the kind request", "add rows"),
    "unknown format": (
        HEADER + line("request", say("hi"), "qa", form="soap"),
        "row 2",
        "format must be one of chat",
        "correct",
    ),
    "unknown kind": (HEADER + line("shout", say("hi"), "qa"), "row 2", "kind must be one of request", "correct it"),
    "no JSON": (HEADER + "a,,chat,request,{,qa\n", "row 2", "message must be a message in JSON", "correct it"),
    "unknown task": (HEADER + line("request", say("hi"), "cooking"), "row 2", "task 'cooking' is unknown", "known: "),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_error_names_file_row_rule_and_remedy(tmp_path: Path, case: str) -> None:
    check_error(read_conversations, tmp_path, BROKEN[case])
