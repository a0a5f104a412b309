"""The usage object of an answer in, a `Usage` out, in the three protocols."""

from __future__ import annotations

import math
from collections.abc import Mapping

from router.calls import Usage

_PROMPT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def read_chat_usage(reported: object) -> Usage | None:
    """Return the usage of a chat completion. None if it reports nothing."""
    if not isinstance(reported, Mapping):
        return None
    # OpenAI does not report a cost, but many other servers of its protocol do.
    cost = reported.get("cost")
    usage = Usage(
        input_tokens=_count(reported, "prompt_tokens"),
        output_tokens=_count(reported, "completion_tokens"),
        cost_usd=cost if isinstance(cost, int | float) and math.isfinite(cost) and cost >= 0 else None,
        **_read_kinds(reported, "prompt_tokens_details", "completion_tokens_details"),
    )
    return None if usage == Usage() else usage


def read_responses_usage(reported: object) -> Usage | None:
    """Return the usage of a response. None if it reports nothing."""
    if not isinstance(reported, Mapping):
        return None
    return Usage(
        input_tokens=_count(reported, "input_tokens"),
        output_tokens=_count(reported, "output_tokens"),
        **_read_kinds(reported, "input_tokens_details", "output_tokens_details"),
    )


def read_messages_usage(reported: object) -> Usage | None:
    """Return the usage of one of Anthropic's messages, which counts the tokens of the cache beside the other input."""
    if not isinstance(reported, Mapping):
        return None
    prompt = [n for name in _PROMPT if (n := _count(reported, name)) is not None]
    return Usage(
        input_tokens=sum(prompt) if prompt else None,
        output_tokens=_count(reported, "output_tokens"),
        cached_tokens=_count(reported, "cache_read_input_tokens") or 0,
        cache_write_tokens=_count(reported, "cache_creation_input_tokens") or 0,
    )


def _read_kinds(reported: Mapping[str, object], inputs: str, outputs: str) -> dict[str, int]:
    """Return how many of the tokens are of each kind, by the names of `Usage`."""
    given, made = reported.get(inputs), reported.get(outputs)
    return {
        "cached_tokens": _count(given, "cached_tokens") or 0,
        "cache_write_tokens": _count(given, "cache_write_tokens") or 0,
        "audio_input_tokens": _count(given, "audio_tokens") or 0,
        "image_input_tokens": _count(given, "image_tokens") or 0,
        "audio_output_tokens": _count(made, "audio_tokens") or 0,
    }


def _count(holder: object, name: str) -> int | None:
    """Return a number of tokens. None if it is missing or none."""
    n = holder.get(name) if isinstance(holder, Mapping) else None
    return n if isinstance(n, int) and n >= 0 else None
