"""A completion in, the parts that plug-ins show out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.calls import Completion
from router.execution.answers import first_choice


def read_message(raw: object) -> Mapping[str, Any]:
    """Return the message of an answer, or what a chunk adds to it, in the OpenAI form. Empty if the executor gives none.

    Args:
        raw: `raw` of a completion or a chunk.
    """
    choice = first_choice(_make_plain(raw))
    choice = choice if isinstance(choice, Mapping) else {}
    return choice.get("message") or choice.get("delta") or {}


def read_usage_details(raw: object) -> tuple[int | None, int | None]:
    """Return the tokens that came from the prompt cache, and those of hidden reasoning. None if they are not reported.

    Args:
        raw: `raw` of a completion. For a stream, that is a sequence.
    """
    answers = raw if isinstance(raw, Sequence) and not isinstance(raw, str) else [raw]
    usages = [usage for answer in answers if (usage := _get(_make_plain(answer), "usage"))]
    usage = usages[-1] if usages else None
    cached = _get(_get(usage, "prompt_tokens_details"), "cached_tokens")
    reasoning = _get(_get(usage, "completion_tokens_details"), "reasoning_tokens")
    return (cached if isinstance(cached, int) else None, reasoning if isinstance(reasoning, int) else None)


def describe_call(completion: Completion) -> dict[str, Any]:
    """Return how an answer came about, as plain data for JSON, without a text of the request.

    `completion.decision.to_dict()` has every score, which is too much for each message of a conversation.
    """
    decision = completion.decision
    return {
        "model": completion.model,
        "endpoint": completion.endpoint,
        "task": decision.task,
        "confidence": decision.prediction.confidence,
        "strategy": decision.strategy,
        "reasons": list(decision.reasons),
        "cost_usd": completion.cost_usd,
        "attempts": [
            {"model": attempt.model, "endpoint": attempt.endpoint, "failure": attempt.failure}
            for attempt in completion.attempts
        ],
    }


def _make_plain(raw: object) -> object:
    """Return an answer of an SDK as plain values."""
    dump = getattr(raw, "model_dump", None)
    # Pydantic warns about fields whose type a server got wrong.
    return raw if dump is None else dump(warnings=False)


def _get(holder: object, name: str) -> object:
    return holder.get(name) if isinstance(holder, Mapping) else None
