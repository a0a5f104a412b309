"""A file that describes tasks in, their descriptions out, also as labelled prompts that a classifier can start from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from router.classify.classifier import CONTINUES
from training.data.prompts import TASKS, LabelledPrompt
from training.data.table import DatasetError
from training.data.text_file import open_text

# Source of the rows that stand for a description. They teach, but nothing is measured on them.
DESCRIPTION = "description"
# Where a description lists several things.
_PARTS = re.compile(r"[,;:.()]+|\b(?:and|or|such as|like)\b")
_FEWEST_WORDS = 2


class TaskDescription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What belongs to a task.

    Attributes:
        description: A sentence, such as "questions about invoices and refunds".
        like: The built-in task whose benchmark figures count for this one. None: the benchmark names this task itself.
    """

    description: str
    like: str | None = None


def read_task_file(path: Path) -> dict[str, TaskDescription]:
    """Read a TOML file with a table `[tasks.NAME]` for each task.

    Args:
        path: The file.

    Raises:
        DatasetError: If the file cannot be read, or a table breaks a rule.
    """
    with open_text(path, wanted="TOML") as stream:
        text = stream.read()
    try:
        tables = tomllib.loads(text).get("tasks")
        tasks = msgspec.convert(tables, dict[str, TaskDescription])
    except tomllib.TOMLDecodeError as error:
        raise DatasetError(f"{path} must be TOML: {error}; correct it") from error
    except msgspec.ValidationError as error:
        raise DatasetError(f'{path}: {error}; write [tasks.NAME] with description = "…" for each task') from error
    for name, task in tasks.items():
        if not name.strip() or name == CONTINUES:
            raise DatasetError(f"{path}: a task needs a name of its own, got {name!r}; rename it")
        if not task.description.strip():
            raise DatasetError(f"{path}: tasks.{name}.description must not be empty; say in one sentence what belongs to it")
        if task.like is not None and task.like not in TASKS:
            raise DatasetError(f"{path}: tasks.{name}.like must be one of {', '.join(TASKS)}, got {task.like!r}")
    if len(tasks) < _FEWEST_WORDS:
        raise DatasetError(f"{path} must describe at least two tasks, got {list(tasks)}; add one")
    return tasks


def describe_rows(tasks: Mapping[str, TaskDescription]) -> list[LabelledPrompt]:
    """Return labelled prompts that stand for the descriptions, at least five for each task.

    Args:
        tasks: The tasks.
    """
    return [
        LabelledPrompt(prompt=text, task=name, group=f"{DESCRIPTION} {name} {i}", source=DESCRIPTION)
        for name, task in tasks.items()
        for i, text in enumerate(_write_texts(name, task.description))
    ]


def _write_texts(name: str, description: str) -> list[str]:
    words = re.sub(r"[\W_]+", " ", name).strip()
    parts = [part.strip() for part in _PARTS.split(description)]
    phrases = [part for part in parts if len(part.split()) >= _FEWEST_WORDS]
    texts = [words, description, f"{words}: {description}", f"a question about {words}", f"help with {words}", *phrases]
    return list(dict.fromkeys(texts))
