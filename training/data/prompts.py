"""A CSV file of labelled prompts in, `PromptSet` out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.classify.classifier import CONTINUES
from training.data.fields import check_nul, split_list
from training.data.table import MAX_REPORTED, DatasetError, Problems, hash_file, read_table

TASKS = (
    "coding", "math", "reasoning", "qa", "extraction", "summarization", "classification",
    "rewriting", "translation", "writing", "brainstorming", "advice", "roleplay", "ethics",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPrompt:
    """One row of labelled prompts.

    Attributes:
        prompt: The text that a user typed.
        task: The task it asks for. `router.classify.classifier.CONTINUES` if only the turn before it says the task.
        also: Other tasks that a careful colleague could defend. Lenient accuracy accepts them.
        language: ISO 639-1 code. Empty if unknown.
        group: Name of the prompts that must stay on one side of a split. Unique to the row if the file names no group.
        source: The origin of the row.
        kind: The kind of request, such as `cover letters`.
        marks: The author's notes on its style, such as `typed`, `pasted`, `context` or `two`.
        row: Number of the row in the file. The header is row 1.
        earlier: The earlier turns of its conversation as (role, content), oldest first.
    """

    prompt: str
    task: str
    also: tuple[str, ...] = ()
    language: str = ""
    group: str = ""
    source: str = ""
    kind: str = ""
    marks: tuple[str, ...] = ()
    row: int = 0
    earlier: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """A file of labelled prompts.

    Attributes:
        rows: The prompts in the order of the file. Repeated rows are dropped unless the caller keeps them.
        sha256: Hash of the file.
        licence: The different values of the column `licence`, joined by commas.
        notes: Sentences for the reader about dropped rows and conflicting labels.
    """

    rows: tuple[LabelledPrompt, ...]
    sha256: str
    licence: str = ""
    notes: tuple[str, ...] = ()


def read_prompts(path: Path, *, tasks: Sequence[str] | None = TASKS, keep_repeated: bool = False) -> PromptSet:
    """Read labelled prompts.

    The columns `prompt` and `task` are required. The columns `also`, `language`, `group`, `source`, `licence`, `kind` and
    `style` are read if they exist. Other columns are ignored.

    Args:
        path: A CSV file in UTF-8, quoted as in RFC 4180. It is gzipped if its name ends in `.gz`.
        tasks: The tasks that a row may name. None: any task.
        keep_repeated: Whether to keep a row whose prompt and task occurred before.

    Raises:
        DatasetError: If the file cannot be read or has no prompt. Also if rows break a rule: it lists them all.
    """
    problems = Problems(path)
    labels: dict[str, dict[str, int]] = {}  # of each prompt: its tasks, and the first row of each
    rows, repeated = [], 0
    licences: dict[str, None] = {}  # a dict, because a set has no order and the manifest must be reproducible
    for number, record in read_table(path, required=("prompt", "task")):
        row = _read_row(number, record, tasks, problems)
        if row is None:
            continue
        first_rows = labels.setdefault(row.prompt, {})
        if row.task in first_rows and not keep_repeated:
            repeated += 1
            continue
        first_rows.setdefault(row.task, number)  # a kept repetition must not replace the first row
        rows.append(row)
        licences |= dict.fromkeys(filter(None, [record.get("licence", "").strip()]))
    problems.raise_any()
    if not rows:
        raise DatasetError(f"{path} must have at least one prompt below its header, found none; add rows")
    notes = [f"{repeated} repeated rows dropped"] if repeated else []
    notes += _describe_conflicts(labels.values())
    return PromptSet(rows=tuple(rows), sha256=hash_file(path), licence=", ".join(licences), notes=tuple(notes))


def with_task(rows: Sequence[LabelledPrompt]) -> tuple[LabelledPrompt, ...]:
    """Return the rows that have a task of their own, which are all rows except those labelled `CONTINUES`."""
    return tuple(row for row in rows if row.task != CONTINUES)


def check_task(number: int, task: str, tasks: Sequence[str] | None, problems: Problems) -> None:
    """Report a task that is empty or unknown.

    Args:
        number: Number of the row.
        task: Its task.
        tasks: The known tasks. None: any task.
        problems: Collects the mistake.
    """
    if not task:
        problems.add(number, "task must not be empty; fill it in or remove the row")
    elif tasks is not None and task not in tasks:
        problems.add(number, f"task {task!r} is unknown; known: {', '.join(tasks)}; for tasks of your own use --own-tasks")


def _read_row(
    number: int, record: Mapping[str, str], tasks: Sequence[str] | None, problems: Problems
) -> LabelledPrompt | None:
    """Return a row as a value, or None if it breaks a rule."""
    prompt, task = record["prompt"], record["task"].strip()
    before = problems.count
    if not prompt.strip():
        problems.add(number, "prompt must not be empty; fill it in or remove the row")
    check_nul(number, record, problems)
    # CONTINUES is a label and not a task, so it is allowed with every list of tasks.
    check_task(number, task, tasks if task != CONTINUES else None, problems)
    if problems.count > before:
        return None
    return LabelledPrompt(
        prompt=prompt,
        task=task,
        also=split_list(record.get("also", "")),
        language=record.get("language", ""),
        group=record.get("group", "") or f"row {number}",
        source=record.get("source", ""),
        kind=record.get("kind", ""),
        marks=split_list(record.get("style", "")),
        row=number,
    )


def _describe_conflicts(labels: Iterable[Mapping[str, int]]) -> list[str]:
    """Return a note for each prompt with several tasks: at most 20, then the number of further ones.

    Args:
        labels: For each prompt its tasks, and the first row of each.
    """
    conflicts = [first_rows for first_rows in labels if len(first_rows) > 1]
    notes = []
    for first_rows in conflicts[:MAX_REPORTED]:
        listed = ", ".join(f"{task} in row {number}" for task, number in first_rows.items())
        notes.append(f"one prompt with several tasks: {listed}; keep the right one")
    if len(conflicts) > MAX_REPORTED:
        notes.append(f"… and {len(conflicts) - MAX_REPORTED} more prompts with several tasks")
    return notes
