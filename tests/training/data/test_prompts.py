import gzip
from pathlib import Path

import pytest

from router.classify.classifier import CONTINUES
from tests.training.data.files import check_error, write
from training.data.prompts import read_prompts, with_task
from training.data.table import DatasetError, hash_file

BROKEN = {
    "unknown task": ("prompt,task\na,qa\nb,cooding\n", "row 3", "task 'cooding' is unknown; known: coding", "--own-tasks"),
    "empty task": ("prompt,task\na,\n", "row 2", "task must not be empty", "fill it in"),
    "empty prompt": ("prompt,task\n  ,qa\n", "row 2", "prompt must not be empty", "remove the row"),
    "NUL": ("prompt,task\na\0b,qa\n", "row 2", "must not contain NUL", "remove them"),
    "header only": ("prompt,task\n", "", "at least one prompt", "add rows"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_error_names_file_row_rule_and_remedy(tmp_path: Path, case: str) -> None:
    check_error(read_prompts, tmp_path, BROKEN[case])


def test_at_most_twenty_rows_are_listed_then_a_count_and_never_a_prompt(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        read_prompts(write(tmp_path, "p.csv", "prompt,task\n" + "secret,nonsense\n" * 23))
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[20]) == (21, "... and 3 more")
    assert "row 21:" in lines[19]
    assert "secret" not in str(caught.value)
    conflicts = "".join(f"{i},qa\n{i},math\n" for i in range(22))
    notes = read_prompts(write(tmp_path, "p.csv", "prompt,task\n" + conflicts)).notes
    assert (len(notes), notes[20]) == (21, "p.csv: ... and 2 more prompts with several tasks")


def test_quoting_and_a_byte_order_mark_are_read_as_rfc_4180_says(tmp_path: Path) -> None:
    content = '\ufeffprompt , task,also,extra\r\n"two\r\nlines, a ""comma""",qa,math|coding,x\r\n\r\nb,math,,\r\n'
    rows = read_prompts(write(tmp_path, "p.csv", content)).rows
    assert [(row.prompt, row.task) for row in rows] == [('two\r\nlines, a "comma"', "qa"), ("b", "math")]
    assert [row.also for row in rows] == [("math", "coding"), ()]


def test_own_tasks_may_have_any_name_and_a_row_without_a_group_is_its_own_group(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "prompt,task,group,also\na,legal,g,x | y\nb,legal,,\nc,legal,,\nd,legal,g,\n")
    rows = read_prompts(path, tasks=None).rows
    assert rows[0].group == rows[3].group == "g"
    assert len({row.group for row in rows}) == 3
    assert (rows[0].task, rows[0].also) == ("legal", ("x", "y"))


def test_a_gzipped_file_reads_as_the_plain_one_and_is_hashed_as_stored(tmp_path: Path) -> None:
    content = b"prompt,task,licence\na,qa,CC0\nb,math,CC0\nc,qa,MIT\n"
    plain, packed = write(tmp_path, "p.csv", content), write(tmp_path, "p.csv.gz", gzip.compress(content))
    assert read_prompts(plain).rows == read_prompts(packed).rows
    assert read_prompts(plain).licence == "CC0, MIT"
    assert read_prompts(packed).sha256 == hash_file(packed) != hash_file(plain)


def test_repeated_rows_are_dropped_with_a_count_and_conflicts_are_noted_with_their_rows(tmp_path: Path) -> None:
    read = read_prompts(write(tmp_path, "p.csv", "prompt,task\na,qa\na,qa\na,math\nb,qa\na,qa\n"))
    assert [(row.prompt, row.task) for row in read.rows] == [("a", "qa"), ("a", "math"), ("b", "qa")]
    assert read.notes == (
        "p.csv: 2 repeated rows dropped, the first is row 3, which repeats row 2; remove them",
        "p.csv: one prompt with several tasks: qa in row 2, math in row 4; keep the right one",
    )


def test_a_follow_up_is_no_task_and_is_allowed_with_every_list_of_tasks(tmp_path: Path) -> None:
    rows = read_prompts(write(tmp_path, "p.csv", f"prompt,task\na,qa\nand b?,{CONTINUES}\n"), tasks=("qa",)).rows
    assert [row.task for row in rows] == ["qa", CONTINUES]
    assert [row.prompt for row in with_task(rows)] == ["a"]


def test_known_tasks_may_be_in_any_case(tmp_path: Path) -> None:
    read = read_prompts(write(tmp_path, "p.csv", "Prompt,TASK,Also\na,Coding,Math|QA\nb,coding,\nc,Continues,\n"))
    assert [row.task for row in read.rows] == ["coding", "coding", CONTINUES]
    assert (read.rows[0].also, read.notes) == (("math", "qa"), ())


def test_own_tasks_that_differ_only_in_spelling_are_noted_and_stay_apart(tmp_path: Path) -> None:
    read = read_prompts(write(tmp_path, "p.csv", "prompt,task\na,Math\nb,tax\nc,math\nd,my task\ne,My-Task\n"), tasks=None)
    assert [row.task for row in read.rows] == ["Math", "tax", "math", "my task", "My-Task"]
    rule, remedy = (
        "p.csv: tasks must differ in more than case, spaces and hyphens",
        "write them alike, or they count as different ones",
    )
    assert read.notes == (
        f"{rule}, got 'Math' (first in row 2) and 'math' (first in row 4); {remedy}",
        f"{rule}, got 'my task' (first in row 5) and 'My-Task' (first in row 6); {remedy}",
    )


def test_a_message_shows_only_the_beginning_of_a_wrong_task(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        read_prompts(write(tmp_path, "p.csv", f"prompt,task\nqa,{'secret ' * 20}\n"))
    assert str(caught.value).count("secret") <= 6
