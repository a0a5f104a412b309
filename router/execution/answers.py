"""What an answer of the `openai` SDK says, which does not check what a server has put into it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from router.calls import Chunk, Reply, Usage
from router.errors import CallError
from router.execution.failures import failure_in


def read_reply(answer: object) -> Reply:
    """Read a whole answer.

    Raises:
        CallError: It is none: the SDK takes `{}`, a page of HTML and an error object for answers.
    """
    choice = _first_choice(answer)
    message = getattr(choice, "message", None)
    text, finish_reason = _text(getattr(message, "content", None)), _reason(choice)
    if finish_reason is None and not text and not getattr(message, "tool_calls", None):
        raise _said_nothing(answer)
    return Reply(text=text, finish_reason=finish_reason, usage=_usage(answer) or Usage(), raw=answer)


def read_chunk(event: object) -> Chunk | None:
    """Read an event of a stream; None where it says nothing, such as a first one with the role alone."""
    choice, usage = _first_choice(event), _usage(event)
    delta = getattr(choice, "delta", None)
    text, finish_reason = _text(getattr(delta, "content", None)), _reason(choice)
    if not text and finish_reason is None and usage is None and not _says_more(delta):
        return None
    return Chunk(text=text, finish_reason=finish_reason, usage=usage, raw=event)


def _first_choice(answer: object) -> object:
    """Return the first choice, which is the answer where several were asked for; None where there is none."""
    choices = getattr(answer, "choices", None)
    first = [choice for choice in choices if not getattr(choice, "index", 0)] if isinstance(choices, list) else []
    return first[0] if first else None


def _said_nothing(answer: object) -> CallError:
    error = getattr(answer, "error", None)
    return failure_in(error) if error else CallError("transient", "the answer is malformed or has no choices")


def _text(content: object) -> str:
    """Return the text of a content: a string, or parts of which some are text."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


def _reason(choice: object) -> str | None:
    reason = getattr(choice, "finish_reason", None)
    return reason if isinstance(reason, str) and reason else None


def _says_more(delta: object) -> bool:
    """Whether a delta has anything besides its role and a text, such as a tool call or reasoning."""
    dump = getattr(delta, "model_dump", None)
    fields = {} if dump is None else dump(warnings=False)
    return any(value and (name not in ("role", "content") or isinstance(value, list)) for name, value in fields.items())


def _usage(answer: object) -> Usage | None:
    """Return what an answer says that it used; None where it says nothing of that."""
    told = getattr(answer, "usage", None)
    tokens = [getattr(told, name, None) for name in ("prompt_tokens", "completion_tokens")]
    input_tokens, output_tokens = (n if isinstance(n, int) and n >= 0 else None for n in tokens)
    cost = getattr(told, "cost", None)  # not OpenAI's own, but that of many who speak its protocol
    cost_usd = cost if isinstance(cost, int | float) and math.isfinite(cost) and cost >= 0 else None
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost_usd)
    return None if usage == Usage() else usage
