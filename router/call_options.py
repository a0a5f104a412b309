"""Turns the keywords of `complete` into one frozen value, `CallOptions`: how to route, how to call, what to send."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from inspect import iscoroutinefunction
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypedDict

from router.errors import InputError
from router.options import RouteKeywords, RouteOptions, describe_unknown_name
from router.serving.serving import check_fallbacks
from router.types import WireProtocol

if TYPE_CHECKING:
    from router.calls import Reply


class RequestKeywords(TypedDict, total=False):
    """The parameters of the SDK's `chat.completions.create()`, sent to the model as they are. Type checkers read this."""

    audio: Any
    extra_body: Any
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, object] | None
    frequency_penalty: float | None
    function_call: Any
    functions: Any
    logit_bias: Mapping[str, int] | None
    logprobs: bool | None
    max_completion_tokens: int | None
    max_tokens: int | None
    metadata: Mapping[str, str] | None
    modalities: Sequence[str] | None
    moderation: Any
    n: int | None
    parallel_tool_calls: bool
    prediction: Any
    presence_penalty: float | None
    prompt_cache_key: str | None
    prompt_cache_options: Any
    prompt_cache_retention: str | None
    reasoning_effort: str | None
    response_format: Any
    safety_identifier: str
    seed: int | None
    service_tier: str | None
    stop: str | Sequence[str] | None
    store: bool | None
    stream_options: Any
    temperature: float | None
    tool_choice: Any
    tools: Any
    top_logprobs: int | None
    top_p: float | None
    user: str
    verbosity: str | None
    web_search_options: Any


class CallKeywords(RouteKeywords, RequestKeywords, total=False):
    """The keywords of `Router.complete` and `Router.acomplete`, which document them."""

    accept: Callable[[Reply], bool] | None
    fallbacks: Sequence[str] | None
    timeout: float | None
    request: Mapping[str, object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """Everything about a call except its messages.

    Attributes:
        route: The options of the decision, defaults included.
        request: Parameters that are sent to the model.
        stream: Whether the answer comes in chunks.
        accept: Returns whether a reply is good enough. None: every reply is.
        fallbacks: Models to call if the first one fails. None: the rest of the ranking.
        timeout_s: Deadline of the call in seconds. None: that of `Serving.calls`.
        protocol: The protocol of the request.
        endpoints: Names of the endpoints that may be asked. None: all.
        owner: Who makes the call. The sessions of different owners are kept apart.
    """

    route: RouteOptions
    request: Mapping[str, object]
    stream: bool
    accept: Callable[[Reply], bool] | None
    fallbacks: Sequence[str] | None
    timeout_s: float | None
    protocol: WireProtocol = "chat"
    endpoints: Collection[str] | None = None
    owner: str = ""

    @classmethod
    def of(cls, keywords: Mapping[str, Any], *, stream: bool, defaults: RouteOptions) -> CallOptions:
        """Return the options that the keywords of a call stand for.

        Args:
            keywords: The keywords.
            stream: Whether the answer comes in chunks.
            defaults: The router's defaults.

        Raises:
            InputError: If a keyword is unknown, or a value has the wrong type or is out of range.
        """
        own = ("timeout", "accept", "fallbacks", "request")
        routing = tuple(field.name for field in fields(RouteOptions))
        sent = tuple(RequestKeywords.__annotations__)
        for name in keywords:
            if name == "model":
                raise InputError("complete() chooses the model itself; write allowed={...} to choose among some, or one")
            if name not in (*own, *routing, *sent):
                raise InputError(
                    f"{describe_unknown_name(name, (*own, *routing, *sent))}; the options are "
                    f"{', '.join([*routing, *own])} and the parameters of the SDK; "
                    "one that only some servers know goes into extra_body={...}"
                )
        accept, request = keywords.get("accept"), keywords.get("request")
        if accept is not None and (stream or not callable(accept) or iscoroutinefunction(accept)):
            raise InputError(
                "accept must be a plain function of the reply and needs stream=False; a stream is given away in parts"
            )
        if not isinstance(stream, bool):
            raise InputError(f"stream must be True or False, got {stream!r}")
        if request is not None and not isinstance(request, Mapping):
            raise InputError(f"request must map parameters to values, got {type(request).__name__}")
        if keywords.get("fallbacks") is not None:
            check_fallbacks("fallbacks", keywords["fallbacks"])
        return cls(
            route=RouteOptions.of({n: v for n, v in keywords.items() if n in routing}).with_defaults(defaults),
            request={
                **{name: _make_plain(value) for name, value in keywords.items() if name in sent and value is not None},
                **(request or {}),
            },
            stream=stream,
            accept=accept,
            fallbacks=keywords.get("fallbacks"),
            timeout_s=_check_timeout(keywords.get("timeout")),
        )


def _make_plain(value: object) -> object:
    """Return a number of numpy or a `Decimal` as one that JSON has. Other values stay."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real | Decimal) else value


def _check_timeout(timeout: object) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, Real) or not 0 < float(timeout) < math.inf:
        raise InputError(f"timeout must be a number of seconds above 0, got {timeout!r}")
    return float(timeout)
