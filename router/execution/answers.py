"""Take answers of the `openai` SDK, which does not validate the data of servers, and return replies and chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping

from router.calls import Chunk, Reply, Usage
from router.errors import CallError
from router.execution.failures import failure_in

# Finish reasons of servers for an answer that broke off: OpenRouter and Mistral, Zhipu, DeepSeek, SGLang and vLLM.
_BROKEN = {"error", "network_error", "insufficient_system_resource", "abort"}
# Finish reasons for an answer that the server's filter removed: OpenAI and most others, Zhipu, Gemini, Anthropic.
_FILTERED = {"content_filter", "sensitive", "safety", "recitation", "prohibited_content", "blocklist", "refusal"}
# Fields of an error in a body without an error object: old vLLM and SGLang, FastAPI servers, MiniMax.
_ERROR_FIELDS = frozenset({"message", "detail", "base_resp"})


def read_reply(answer: object) -> Reply:
    """Return the reply in a whole answer.

    Raises:
        CallError: If it contains none. The SDK accepts `{}`, a page of HTML and an error object as answers.
    """
    choice = _first_choice(answer)
    message = getattr(choice, "message", None)
    text, finish_reason = _read_text(message) or _read_older_text(choice), _read_finish_reason(choice)
    has_content = bool(text or getattr(message, "tool_calls", None))
    _check_answer(answer, choice, finish_reason, has_content=has_content)
    if finish_reason is None and not has_content:
        raise CallError("transient", "the answer is malformed or has no choices")
    return Reply(text=text, finish_reason=finish_reason, usage=_read_usage(answer) or Usage(), raw=answer)


def read_chunk(event: object, *, begun: bool = False) -> Chunk | None:
    """Return the chunk in an event of a stream. None if the event is empty, such as a first one with the role only.

    A usage before the answer begins is no chunk: servers that report it with every event report it again.

    Args:
        event: The event.
        begun: Whether an earlier event had a chunk.

    Raises:
        CallError: If the event reports a failure.
    """
    choice, usage = _first_choice(event), _read_usage(event)
    delta = getattr(choice, "delta", None)
    text, finish_reason = _read_text(delta) or _read_older_text(choice), _read_finish_reason(choice)
    has_content = bool(text) or _has_other_content(delta)
    _check_answer(event, choice, finish_reason, has_content=begun or has_content)
    if not has_content and finish_reason is None and (usage is None or not begun):
        return None
    return Chunk(text=text, finish_reason=finish_reason, usage=usage, raw=event)


def _read_older_text(choice: object) -> str:
    """Return the text of a choice in the older completions protocol, where it stands beside the message."""
    return _read_content(getattr(choice, "text", None))


def _check_answer(answer: object, choice: object, finish_reason: str | None, *, has_content: bool) -> None:
    """Raise the failure that an answer of status 200 reports.

    Servers put an error object beside the choices or into one, or a finish reason that says that there is no answer.
    """
    for holder in (answer, choice):
        if error := getattr(holder, "error", None):
            raise failure_in(error)
    extra = getattr(answer, "model_extra", None) or {}
    if choice is None and not _ERROR_FIELDS.isdisjoint(extra):
        raise failure_in(extra)
    reason = (finish_reason or "").lower()
    if reason in _BROKEN:
        raise CallError("transient", f"the answer broke off (finish reason {reason})", code=reason)
    # A part of an answer may be useful. None at all is not.
    if reason in _FILTERED and not has_content:
        raise CallError("unable", f"the server's content filter left no answer (finish reason {reason})", code=reason)


def _first_choice(answer: object) -> object:
    """Return the first of the choices, which is the answer even if several were requested. None if there is none."""
    choices = getattr(answer, "choices", None)
    # A choice without an index counts as the first: some servers leave the index out.
    first = [choice for choice in choices if not getattr(choice, "index", 0)] if isinstance(choices, list) else []
    return first[0] if first else None


def _read_text(message: object) -> str:
    """Return the text of a message or delta: its content, or else the model's refusal."""
    return _read_content(getattr(message, "content", None)) or _read_content(getattr(message, "refusal", None))


def _read_content(content: object) -> str:
    """Return the text of a content, which is a string or a list of parts. Parts without text are skipped."""
    if isinstance(content, list):
        return "".join(_read_content(part.get("text")) for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


def _read_finish_reason(choice: object) -> str | None:
    reason = getattr(choice, "finish_reason", None)
    return reason if isinstance(reason, str) and reason else None


def _has_other_content(delta: object) -> bool:
    """Return whether a delta has anything besides its role and a text, such as a tool call or reasoning."""
    dump = getattr(delta, "model_dump", None)
    # Warnings are off because pydantic warns about fields whose type a server got wrong.
    fields = {} if dump is None else dump(warnings=False)
    return any(value and (name not in ("role", "content") or isinstance(value, list)) for name, value in fields.items())


def _read_usage(answer: object) -> Usage | None:
    """Return the usage that an answer reports. None if it reports nothing."""
    reported = getattr(answer, "usage", None)
    tokens = [getattr(reported, name, None) for name in ("prompt_tokens", "completion_tokens")]
    input_tokens, output_tokens = (n if isinstance(n, int) and n >= 0 else None for n in tokens)
    # OpenAI does not report a cost, but many other servers of its protocol do.
    cost = getattr(reported, "cost", None)
    cost_usd = cost if isinstance(cost, int | float) and math.isfinite(cost) and cost >= 0 else None
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost_usd)
    return None if usage == Usage() else usage
