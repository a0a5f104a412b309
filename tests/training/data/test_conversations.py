from pathlib import Path

import pytest

from tests.training.data.files import check_error, write
from training.data.conversations import read_conversations

BROKEN = {
    "no user turn": ("conversation_id,role,content,task\n1,system,hi,\n", "", "at least one user turn", "add rows"),
    "unknown role": ("conversation_id,role,content,task\n1,bot,hi,\n", "row 2", "role must be one of user, ", "correct it"),
    "a turn without a task": ("conversation_id,role,content,task\n1,user,hi,\n", "row 2", "task must not be empty", "fill"),
    "NUL": ("conversation_id,role,content,task\n1,user,h\0i,qa\n", "row 2", "must not contain NUL", "remove them"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_error_names_file_row_rule_and_remedy(tmp_path: Path, case: str) -> None:
    check_error(read_conversations, tmp_path, BROKEN[case])


def test_columns_roles_and_tasks_may_be_in_any_case(tmp_path: Path) -> None:
    content = "Conversation ID;Role;Content;Task\n1;User;2+2?;Math\n1; assistant ;4;\n1;USER;3+3?;math\n"
    read = read_conversations(write(tmp_path, "c.csv", content))
    assert [(row.prompt, row.task, row.source) for row in read.rows] == [
        ("2+2?", "math", "first turn"), ("3+3?", "math", "short follow-up"),
    ]  # fmt: skip
    assert read.notes == ()


def test_a_repeated_turn_is_noted_but_a_short_one_may_be_said_twice(tmp_path: Path) -> None:
    long = "x" * 36
    turns = [
        ("1", "user", long),
        ("1", "assistant", "ok"),
        ("1", "user", "go on"),
        ("1", "assistant", "ok"),
        ("1", "user", long),
    ]
    turns += [("2", "user", "go on"), ("2", "user", "go on")]
    content = "conversation_id,role,content,task\n" + "".join(f"{','.join(turn)},qa\n" for turn in turns)
    assert read_conversations(write(tmp_path, "c.csv", content)).notes == (
        "c.csv: 2 rows repeat a turn of their conversation, the first is row 6; remove them",
    )


def test_a_user_turn_has_the_turns_before_it(tmp_path: Path) -> None:
    file = tmp_path / "conversations.csv"
    turns = [("a", "system", "be brief", ""), ("a", "user", "write a poem", "writing"), ("b", "user", "2+2", "math")]
    turns += [("a", "assistant", "Roses", ""), ("a", "user", "in german", "translation"), ("b", "user", "x" * 36, "qa")]
    file.write_text("conversation_id,role,content,task\n" + "".join(f"{','.join(turn)}\n" for turn in turns))
    poem, two, german, long = read_conversations(file).rows
    assert (poem.prompt, poem.task, poem.source, poem.earlier) == (
        "write a poem", "writing", "first turn", ({"role": "system", "content": "be brief"},),
    )  # fmt: skip
    assert (two.source, two.earlier, two.group) == ("first turn", (), "b")
    assert (german.source, german.group, german.row) == ("short follow-up", "a", 6)
    assert [message["content"] for message in german.earlier] == ["be brief", "write a poem", "Roses"]
    assert (long.source, long.earlier) == ("follow-up", ({"role": "user", "content": "2+2"},))
