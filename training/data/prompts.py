"""A CSV file of labelled prompts in, `PromptSet` out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.classify.classifier import CONTINUES
from training.data.fields import check_nul, split_list
from training.data.names import describe_spellings, find_known
from training.data.problems import MAX_REPORTED, SHOWN_CHARS
from training.data.table import DatasetError, Problems, hash_file, read_table

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
        earlier: The earlier messages of its conversation, oldest first.
        message: The last message, if it is more than the prompt as a text. None: it is not.
        tools: What the request offers besides its messages. None: nothing.
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
    earlier: tuple[Mapping[str, object], ...] = ()
    message: Mapping[str, object] | None = None
    tools: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """A file of labelled prompts.

    Attributes:
        rows: The prompts in the order of the file. Repeated rows are dropped unless the caller keeps them.
        sha256: Hash of the file.
        licence: The different values of the column `licence`, joined by commas.
        notes: Sentences for the reader about repeated rows, conflicting labels and labels that differ only in spelling.
        waiting: Prompts with a proposed task that nobody has confirmed. They are not among the rows.
    """

    rows: tuple[LabelledPrompt, ...]
    sha256: str
    licence: str = ""
    notes: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def read_prompts(
    path: Path,
    *,
    tasks: Sequence[str] | None = TASKS,
    keep_repeated: bool = False,
    may_wait: bool = False,
) -> PromptSet:
    """Read labelled prompts.

    The columns `prompt` and `task` are required. The columns `also`, `language`, `group`, `source`, `licence`, `kind` and
    `style` are read if they exist. Other columns are ignored. Names of columns and of known tasks may be in any case.

    Args:
        path: A CSV file, quoted as in RFC 4180. Commas, semicolons or tabs separate its fields. It is in UTF-8, or in UTF-16
            as "Unicode Text" of Excel. It may be gzipped.
        tasks: The tasks that a row may name. None: any task.
        keep_repeated: Whether to keep a row whose prompt and task occurred before.
        may_wait: Whether a file is accepted if none of its rows is confirmed.

    Raises:
        DatasetError: If the file cannot be read or has no prompt. Also if rows break a rule: it lists them all.
    """
    problems = Problems(path)
    labels: dict[str, dict[str, int]] = {}  # of each prompt: its tasks, and the first row of each
    rows, repeated, waiting = [], [], []
    licences: dict[str, None] = {}  # a dict, because a set has no order and the manifest must be reproducible
    for number, record in read_table(path, required=("prompt", "task")):
        # `llm-router-train label` writes such rows, and nobody has confirmed this one yet.
        if record.get("proposed") and not record["task"].strip():
            waiting.append(record["prompt"])
            continue
        row = _read_row(number, record, tasks, problems)
        if row is None:
            continue
        first_rows = labels.setdefault(row.prompt, {})
        if row.task in first_rows and not keep_repeated:
            repeated.append((number, first_rows[row.task]))
            continue
        first_rows.setdefault(row.task, number)  # a kept repetition must not replace the first row
        rows.append(row)
        licences |= dict.fromkeys(filter(None, [record.get("licence", "").strip()]))
    problems.raise_any()
    if not rows and not (may_wait and waiting):
        raise DatasetError(f"{path} must have at least one prompt below its header, found none; add rows")
    unconfirmed = (
        [f"{len(waiting)} rows have a proposed task that nobody has confirmed; they have no label yet"] if waiting else []
    )
    notes = [*unconfirmed, *_describe_repeated(repeated), *_describe_conflicts(labels.values()), *describe_labels(rows)]
    return PromptSet(
        rows=tuple(rows),
        sha256=hash_file(path),
        licence=", ".join(licences),
        notes=tuple(f"{path.name}: {note}" for note in notes),
        waiting=tuple(text for text in dict.fromkeys(waiting) if text.strip() and text not in labels),
    )


def with_task(rows: Sequence[LabelledPrompt]) -> tuple[LabelledPrompt, ...]:
    """Return the rows that have a task of their own, which are all rows except those labelled `CONTINUES`."""
    return tuple(row for row in rows if row.task != CONTINUES)


def read_task(number: int, text: str, tasks: Sequence[str] | None, problems: Problems) -> str:
    """Return the task of a row as the list of tasks spells it. Report a task that is empty or unknown.

    Args:
        number: Number of the row.
        text: The field.
        tasks: The known tasks. None: any task.
        problems: Collects the mistake.
    """
    task = text.strip()
    if not task:
        problems.add(number, "task must not be empty; fill it in or remove the row")
    elif tasks is not None:
        known = find_known(task, tasks)
        if known is not None:
            return known
        problems.add(
            number,
            f"task {task[:SHOWN_CHARS]!r} is unknown; known: {', '.join(tasks)}; for tasks of your own use --own-tasks",
        )
    return task


def describe_labels(rows: Iterable[LabelledPrompt]) -> list[str]:
    """Return a note for each group of tasks whose names differ only in spelling."""
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(row.task, row.row)
    return describe_spellings("tasks", first)


def _read_row(
    number: int, record: Mapping[str, str], tasks: Sequence[str] | None, problems: Problems
) -> LabelledPrompt | None:
    """Return a row as a value, or None if it breaks a rule."""
    prompt, before = record["prompt"], problems.count
    if not prompt.strip():
        problems.add(number, "prompt must not be empty; fill it in or remove the row")
    check_nul(number, record, problems)
    # CONTINUES is a label and not a task, so it is allowed with every list of tasks.
    labels = None if tasks is None else (*tasks, CONTINUES)
    task = read_task(number, record["task"], labels, problems)
    if problems.count > before:
        return None
    return LabelledPrompt(
        prompt=prompt,
        task=task if labels else find_known(task, [CONTINUES]) or task,
        also=tuple(find_known(name, labels or ()) or name for name in split_list(record.get("also", ""))),
        language=record.get("language", ""),
        group=record.get("group", "") or f"row {number}",
        source=record.get("source", ""),
        kind=record.get("kind", ""),
        marks=split_list(record.get("style", "")),
        row=number,
    )


def _describe_repeated(repeated: Sequence[tuple[int, int]]) -> list[str]:
    """Return a note on dropped rows.

    Args:
        repeated: Each dropped row with the row that it repeats.
    """
    if not repeated:
        return []
    row, first = repeated[0]
    return [f"{len(repeated)} repeated rows dropped, the first is row {row}, which repeats row {first}; remove them"]


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
        notes.append(f"... and {len(conflicts) - MAX_REPORTED} more prompts with several tasks")
    return notes
