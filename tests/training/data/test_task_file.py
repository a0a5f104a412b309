from pathlib import Path

import pytest

from training.data.table import DatasetError
from training.data.task_file import describe_rows, read_task_file

TEXT = """
[tasks.billing]
description = "questions about invoices, refunds and payment methods"
like = "qa"
[tasks."product question"]
description = "size"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "tasks.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_description_becomes_at_least_five_rows_that_stand_alone(tmp_path: Path) -> None:
    tasks = read_task_file(write(tmp_path, TEXT))
    assert (tasks["billing"].like, tasks["product question"].like) == ("qa", None)
    rows = describe_rows(tasks)
    billing = [row.prompt for row in rows if row.task == "billing"]
    assert "questions about invoices" in billing
    assert "payment methods" in billing
    assert len([row for row in rows if row.task == "product question"]) == len({"size", "…"}) + 3
    assert len({row.group for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("[tasks", "must be TOML"),
        ("", r"write \[tasks.NAME\] with description"),
        ('[tasks.a]\ndescription = ""\n[tasks.b]\ndescription = "b"', "tasks.a.description must not be empty"),
        ('[tasks.a]\ndescription = "a"', "must describe at least two tasks"),
        (
            '[tasks.a]\ndescription = "a"\nlike = "cooking"\n[tasks.b]\ndescription = "b"',
            "must be one of coding, .*'cooking'",
        ),
        ('[tasks.a]\ndescribtion = "a"\n[tasks.b]\ndescription = "b"', "describtion"),
        ('[tasks.continues]\ndescription = "a"\n[tasks.b]\ndescription = "b"', "needs a name of its own, got 'continues'"),
    ],
)
def test_a_wrong_file_is_refused_with_the_rule(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(DatasetError, match=rule):
        read_task_file(write(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"tasks\.toml"):
        read_task_file(tmp_path / "tasks.toml")
