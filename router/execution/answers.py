"""Take chat completions and events of their streams as plain values, not validated, and return replies and chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping

from router.calls import Chunk, Reply, Usage
from router.errors import CallError
from router.execution.failures import failure_in
from router.execution.usage import read_chat_usage

# Finish reasons of servers for an answer that broke off: OpenRouter and Mistral, Zhipu, DeepSeek, SGLang and vLLM.
_BROKEN = {"error", "network_error", "insufficient_system_resource", "abort"}
# Finish reasons for an answer that the server's filter removed: OpenAI and most others, Zhipu, Gemini, Anthropic.
_FILTERED = {"content_filter", "sensitive", "safety", "recitation", "prohibited_content", "blocklist", "refusal"}
# Fields of an error in a body without an error object: old vLLM and SGLang, FastAPI servers, MiniMax.
_ERROR_FIELDS = frozenset({"message", "detail", "base_resp"})


def read_reply(answer: object, *, raw: object) -> Reply:
    """Return the reply in a whole answer.

    Args:
        answer: The answer: mappings, sequences and plain values.
        raw: The answer as the executor received it.

    Raises:
        CallError: If it contains none. Servers answer with `{}`, a page of HTML or an error object too.
    """
    choice = first_choice(answer)
    message = _get(choice, "message")
    text, finish_reason = _read_text(message) or _read_older_text(choice), _read_finish_reason(choice)
    has_content = bool(text or _get(message, "tool_calls"))
    _check_answer(answer, choice, finish_reason, has_content=has_content)
    if finish_reason is None and not has_content:
        raise CallError("transient", "the answer is malformed or has no choices")
    usage = read_chat_usage(_get(answer, "usage")) or Usage()
    return Reply(text=text, finish_reason=finish_reason, usage=usage, raw=raw, logprobs=_read_logprobs(choice))


def read_chunk(event: object, *, raw: object, begun: bool = False) -> Chunk | None:
    """Return the chunk in an event of a stream. None if the event is empty, such as a first one with the role only.

    A usage before the answer begins is no chunk: servers that report it with every event report it again.

    Args:
        event: The event: mappings, sequences and plain values.
        raw: The event as the executor received it.
        begun: Whether an earlier event had a chunk.

    Raises:
        CallError: If the event reports a failure.
    """
    choice, usage = first_choice(event), read_chat_usage(_get(event, "usage"))
    delta = _get(choice, "delta")
    text, finish_reason = _read_text(delta) or _read_older_text(choice), _read_finish_reason(choice)
    has_content = bool(text) or _has_other_content(delta)
    _check_answer(event, choice, finish_reason, has_content=begun or has_content)
    if not has_content and finish_reason is None and (usage is None or not begun):
        return None
    return Chunk(text=text, finish_reason=finish_reason, usage=usage, raw=raw, logprobs=_read_logprobs(choice))


def _read_older_text(choice: object) -> str:
    """Return the text of a choice in the older completions protocol, where it stands beside the message."""
    return _read_content(_get(choice, "text"))


def _check_answer(answer: object, choice: object, finish_reason: str | None, *, has_content: bool) -> None:
    """Raise the failure that an answer of status 200 reports.

    Servers put an error object beside the choices or into one, or a finish reason that says that there is no answer.
    """
    for holder in (answer, choice):
        if error := _get(holder, "error"):
            raise failure_in(error)
    if choice is None and isinstance(answer, Mapping) and not _ERROR_FIELDS.isdisjoint(answer):
        raise failure_in(answer)
    reason = (finish_reason or "").lower()
    if reason in _BROKEN:
        raise CallError("transient", f"the answer broke off (finish reason {reason})", code=reason)
    # A part of an answer may be useful. None at all is not.
    if reason in _FILTERED and not has_content:
        raise CallError("unable", f"the server's content filter left no answer (finish reason {reason})", code=reason)


def first_choice(answer: object) -> object:
    """Return the first of the choices, which is the answer even if several were requested. None if there is none.

    Args:
        answer: A whole answer or an event of a stream, as plain values.
    """
    choices = _get(answer, "choices")
    # A choice without an index counts as the first: some servers leave the index out.
    first = [choice for choice in choices if not _get(choice, "index")] if isinstance(choices, list) else []
    return first[0] if first else None


def _read_text(message: object) -> str:
    """Return the text of a message or delta: its content, or else the model's refusal."""
    return _read_content(_get(message, "content")) or _read_content(_get(message, "refusal"))


def _read_content(content: object) -> str:
    """Return the text of a content, which is a string or a list of parts. Parts without text are skipped."""
    if isinstance(content, list):
        return "".join(_read_content(part.get("text")) for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


def _read_finish_reason(choice: object) -> str | None:
    reason = _get(choice, "finish_reason")
    return reason if isinstance(reason, str) and reason else None


def _read_logprobs(choice: object) -> tuple[float, ...]:
    """Return the log-probabilities of a choice. Empty if it has none, or any of them is no number."""
    tokens = _get(_get(choice, "logprobs"), "content")
    values = [_get(token, "logprob") for token in tokens] if isinstance(tokens, list) else []
    numbers = tuple(float(value) for value in values if isinstance(value, int | float) and not math.isnan(value))
    return numbers if len(numbers) == len(values) else ()


def _has_other_content(delta: object) -> bool:
    """Return whether a delta has anything besides its role and a text, such as a tool call or reasoning."""
    fields = delta if isinstance(delta, Mapping) else {}
    return any(value and (name not in ("role", "content") or isinstance(value, list)) for name, value in fields.items())


def _get(holder: object, name: str) -> object:
    """Return a field of a mapping. None if it lacks the field, or is no mapping."""
    return holder.get(name) if isinstance(holder, Mapping) else None
