"""A CSV file of conversations in, one labelled prompt for each user turn out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.data.agent_sessions import read_agent_sessions
from training.data.fields import check_nul
from training.data.problems import SHOWN_CHARS
from training.data.prompts import TASKS, LabelledPrompt, PromptSet, describe_labels, read_task
from training.data.table import DatasetError, Problems, hash_file, open_table, read_table

_ROLES = ("user", "assistant", "system")
# Follow-ups up to this length, such as "now in German", mostly depend on the turn before. They are scored separately.
_SHORT_CHARS = 35


def read_conversations(path: Path, *, tasks: Sequence[str] | None = TASKS) -> PromptSet:
    """Read conversations and return each user turn together with the turns before it.

    A file with a column `message` holds sessions of agents; see `read_agent_sessions`.

    Any other file has the columns `conversation_id`, `role`, `content` and `task`. Each row is one turn. The turns of a
    conversation are in order, but conversations may be mixed. Columns, roles and known tasks may be in any case.

    In the result, `group` is the conversation. `source` is `first turn`, `follow-up` or `short follow-up`. A follow-up is
    short if it has at most 35 characters.

    Args:
        path: A CSV file, as for `read_prompts`.
        tasks: The tasks that a user turn may name. None: any task.

    Raises:
        DatasetError: If the file cannot be read or has no user turn. Also if rows break a rule: it lists them all.
    """
    with open_table(path, required=lambda _: ()) as table:
        if "message" in table.header:
            return read_agent_sessions(path, tasks=tasks)
    problems = Problems(path)
    conversations: dict[str, list[tuple[str, str]]] = {}
    rows, repeated = [], []
    for number, record in read_table(path, required=("conversation_id", "role", "content", "task")):
        name, content, task = (record[column] for column in ("conversation_id", "content", "task"))
        role = record["role"].strip().casefold()
        earlier = conversations.setdefault(name, [])
        if role not in _ROLES:
            problems.add(number, f"role must be one of {', '.join(_ROLES)}, got {role[:SHOWN_CHARS]!r}; correct it")
        check_nul(number, record, problems)
        # A short turn such as "yes" may be said twice in a conversation.
        if (role, content) in (earlier if len(content) > _SHORT_CHARS else earlier[-1:]):
            repeated.append(number)
        if role == "user":
            task = read_task(number, task, tasks, problems)
            source = _name_turn(content, earlier)
            rows.append(
                LabelledPrompt(prompt=content, task=task, group=name, source=source, row=number, earlier=_write(earlier))
            )
        earlier.append((role, content))
    problems.raise_any()
    if not rows:
        raise DatasetError(f"{path} must have at least one user turn below its header, found none; add rows")
    notes = describe_labels(rows)
    if repeated:
        notes.append(
            f"{len(repeated)} rows repeat a turn of their conversation, the first is row {repeated[0]}; remove them"
        )
    return PromptSet(rows=tuple(rows), sha256=hash_file(path), notes=tuple(f"{path.name}: {note}" for note in notes))


def _write(turns: Sequence[tuple[str, str]]) -> tuple[dict[str, object], ...]:
    return tuple({"role": role, "content": content} for role, content in turns)


def _name_turn(content: str, earlier: Sequence[tuple[str, str]]) -> str:
    # A system message or a greeting of the assistant may come before the first user turn.
    if all(role != "user" for role, _ in earlier):
        return "first turn"
    return "short follow-up" if len(content) <= _SHORT_CHARS else "follow-up"
