from pathlib import Path

import pytest

from training.classifier.tasks import check_tasks
from training.data.prompts import LabelledPrompt
from training.data.table import DatasetError

FILE = Path("prompts.csv")


def rows_of(*, groups: int = 99, **counts: int) -> list[LabelledPrompt]:
    return [
        LabelledPrompt(prompt=f"{task} {i}", task=task, group=f"{task} {i % groups}")
        for task, n in counts.items()
        for i in range(n)
    ]


def test_the_tasks_are_returned_in_alphabetical_order() -> None:
    assert check_tasks(FILE, rows_of(qa=5, math=5)) == ("math", "qa")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (rows_of(qa=5, math=4), "each task must have at least 5 different prompts, got {'math': 4}; add prompts"),
        (
            rows_of(qa=9, math=9, Math=2),
            "each task must have at least 5 different prompts, got {'Math': 2}; write 'math' and 'Math' alike",
        ),
        (rows_of(qa=9), "there must be at least 2 tasks, got ['qa']; add another"),
        (rows_of(qa=9, math=9, groups=2), "there must be at least 5 groups, got 4; use smaller groups"),
    ],
)
def test_too_few_prompts_tasks_or_groups_are_an_error(rows: list[LabelledPrompt], message: str) -> None:
    with pytest.raises(DatasetError) as caught:
        check_tasks(FILE, rows)
    assert f"{FILE}: {message}" in str(caught.value)
