"""A CSV file of agents' sessions in, one labelled prompt for each request to a model out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from router.classify.messages import read_messages
from router.errors import InputError
from router.gateway.messages import read_message
from router.gateway.responses import read_item
from training.data.problems import SHOWN_CHARS
from training.data.prompts import TASKS, LabelledPrompt, PromptSet, read_task
from training.data.table import DatasetError, Problems, hash_file, read_table

COLUMNS = ("conversation_id", "format", "kind", "message", "task")
# How each protocol writes a message.
_READERS: Mapping[str, Callable[[Any], object]] = {
    "chat": lambda message: message,
    "messages": read_message,
    "responses": read_item,
}
# Rows whose message a person wrote, with the name of such requests in reports.
_ASKED = {"request": "request", "continues": "continuation"}
_KINDS = (*_ASKED, "system", "tools", "message")


@dataclass(slots=True)
class _Session:
    """What is known of a session while its rows are read."""

    messages: list[Mapping[str, object]] = field(default_factory=list)
    tools: object = None
    task: str = ""
    text: str = ""


def read_agent_sessions(path: Path, *, tasks: Sequence[str] | None = TASKS) -> PromptSet:
    """Read the sessions of agents, and return each request of the agent to a model together with the messages before it.

    The file has the columns `conversation_id`, `format`, `kind`, `message` and `task`, and perhaps `half`. Each row is one
    message, in order. `format` is its protocol: `chat`, `messages` or `responses`. `message` is JSON as the protocol writes
    it. `kind` says what the row is:

    - `system`: the system prompt. `tools`: the tools that each request offers.
    - `request`: a person names a task. `continues`: a person only continues the task before.
    - `message`: any other message, such as a call of a tool, its result, or text of a program.

    A model is asked after each message of the user and after each result of a tool, so these become rows of the result.
    Their `task` is that of the last request. `group` is the session. `source` says what the model was asked for: `request`,
    `continuation` or `step`, after the value of `half` if there is one.

    Args:
        path: A CSV file, as for `read_prompts`.
        tasks: The tasks that a request may name. None: any task.

    Raises:
        DatasetError: If the file cannot be read or has no request. Also if rows break a rule: it lists them all.
    """
    problems = Problems(path)
    sessions: dict[str, _Session] = {}
    rows: list[LabelledPrompt] = []
    for number, record in read_table(path, required=COLUMNS):
        session = sessions.setdefault(record["conversation_id"], _Session())
        message = _read_json(number, record, problems)
        kind = record["kind"].strip()
        if kind not in _KINDS:
            problems.add(number, f"kind must be one of {', '.join(_KINDS)}, got {kind[:SHOWN_CHARS]!r}; correct it")
        elif kind == "tools":
            session.tools = message
        elif message is not None:
            row = _read_row(number, record, session, message, tasks, problems)
            rows += [] if row is None else [row]
    problems.raise_any()
    if not rows:
        raise DatasetError(f"{path} must have at least one row of the kind request below its header, found none; add rows")
    return PromptSet(rows=tuple(rows), sha256=hash_file(path))


def _read_json(number: int, record: Mapping[str, str], problems: Problems) -> Any:
    """Return the message of a row as the router reads it, or the tools. None if it is wrong."""
    read = _READERS.get(record["format"].strip())
    if read is None:
        problems.add(
            number, f"format must be one of {', '.join(_READERS)}, got {record['format'][:SHOWN_CHARS]!r}; correct it"
        )
        return None
    try:
        value = json.loads(record["message"])
        if record["kind"].strip() == "tools":
            return value
        return read_messages([value if record["kind"].strip() == "system" else read(value)])[0]
    except (ValueError, RecursionError, InputError) as error:
        problems.add(number, f"message must be a message in JSON ({error}); correct it")
        return None


def _read_row(
    number: int,
    record: Mapping[str, str],
    session: _Session,
    message: Mapping[str, object],
    tasks: Sequence[str] | None,
    problems: Problems,
) -> LabelledPrompt | None:
    """Add a message to its session. Return the request to a model that follows it, or None if none follows."""
    kind, earlier = record["kind"].strip(), tuple(session.messages)
    session.messages.append(message)
    if kind in _ASKED:
        session.task = read_task(number, record["task"], tasks, problems)
        session.text = _find_text(message.get("content"))
    # Before its first request a session has no task. A call of a tool is the model's own message.
    asks = kind in _ASKED or (message["role"] in ("user", "tool") and "arguments" not in message)
    if not session.task or not asks:
        return None
    name = _ASKED.get(kind, "step")
    half = record.get("half", "").strip()
    return LabelledPrompt(
        prompt=session.text,
        task=session.task,
        group=record["conversation_id"],
        source=f"{half}: {name}" if half else name,
        language=record.get("language", ""),
        row=number,
        earlier=earlier,
        message=message,
        tools=session.tools,
    )


def _find_text(content: object) -> str:
    """Return the text of a message as somebody would read it who does not look for the request in it."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, Mapping) and part.get("text"))
