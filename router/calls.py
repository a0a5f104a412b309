"""The values of a call: what is asked of whom, what came back, and what it took."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from router.decision import RoutingDecision
from router.types import FailureClass

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One endpoint of one model, with what decides whether it can serve a request and what that costs.

    Attributes:
        model: The model's name.
        endpoint: The endpoint's name; live state is kept by it.
        context_window: Tokens that prompt and answer may have together; None where unknown.
        capabilities: What it can do besides text, such as `vision`, `tools`, `json`.
        input_usd_per_mtok: Price in USD per million input tokens; None where unknown.
        output_usd_per_mtok: The same for output tokens.
    """

    model: str
    endpoint: str
    context_window: int | None = None
    capabilities: frozenset[str] = frozenset()
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of a caller, which may take several attempts.

    Attributes:
        targets: Whom to ask, best first; explicit fallbacks stand behind the ranking.
        messages: Chat messages in the OpenAI form.
        decision: What ranked the targets; goes into the completion.
        options: What is passed on to the model as it is: `tools`, `response_format`, `max_tokens`, …
        stream: Whether the answer is wanted in chunks.
        needs: Capabilities that the request takes for granted.
        tokens: Upper estimate of what prompt and answer need; 0 where nobody counted.
    """

    targets: Sequence[Target]
    messages: Messages = field(repr=False)
    decision: RoutingDecision
    options: Mapping[str, object] = field(default_factory=dict, repr=False)
    stream: bool = False
    needs: frozenset[str] = frozenset()
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """One attempt, as an executor gets it. An executor ends it within these times, with a `CallError` where it has to.

    Attributes:
        model: The model's name.
        endpoint: The endpoint's name.
        messages: Chat messages in the OpenAI form.
        options: What is passed on to the model as it is.
        stream: Whether chunks are wanted instead of a reply.
        timeout_s: Seconds that the attempt may take in all, to the last chunk; never more than is left of the deadline.
        connect_timeout_s: Seconds until a connection must stand.
        first_token_timeout_s: Seconds until the first chunk; counts for streams.
        chunk_timeout_s: Seconds between two chunks; counts for streams.
    """

    model: str
    endpoint: str
    messages: Messages = field(repr=False)
    options: Mapping[str, object] = field(default_factory=dict, repr=False)
    stream: bool
    timeout_s: float
    connect_timeout_s: float
    first_token_timeout_s: float
    chunk_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a response says that it used; None where it does not say.

    Attributes:
        input_tokens: Tokens read.
        output_tokens: Tokens written.
        cost_usd: What the server charged, in USD.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer.

    Attributes:
        text: What it says; empty where it only calls tools.
        finish_reason: Why it ended; None where the server does not say.
        usage: What it used.
        raw: The response as the executor got it.
    """

    text: str
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    raw: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of an answer.

    Attributes:
        text: What it adds; empty where it adds a tool call or tells the end.
        finish_reason: Why the answer ends with it; None before the end.
        usage: What the whole answer used, usually in the last chunk.
        raw: The piece as the executor got it.
    """

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None
    raw: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt and how it ended.

    Attributes:
        model: The model's name.
        endpoint: The endpoint's name.
        seconds: From asking to the end of the answer or the failure.
        first_token_s: From asking to the first chunk of a stream; None without one.
        usage: What it used.
        cost_usd: What it cost, in USD; None where unknown.
        failure: The class of its failure; None where it succeeded.
        error: The kind of error and its status; never a prompt or a key. Empty where it succeeded.
        backoff_s: Seconds waited before it.
    """

    model: str
    endpoint: str
    seconds: float
    first_token_s: float | None
    usage: Usage
    cost_usd: float | None
    failure: FailureClass | None
    error: str
    backoff_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer, and what it took to get it.

    Attributes:
        text: What the model said.
        model: The model that answered.
        endpoint: The endpoint that answered.
        finish_reason: Why the answer ended, such as `stop`, `length` or `tool_calls`; None where a whole reply does not say.
        usage: What the answer used.
        cost_usd: What the answer cost, in USD, as charged or else by price; None where unknown. Failed attempts not counted.
        attempts: Every attempt in order; the last is the one that answered.
        decision: What ranked the models.
        raw: The response as the executor got it; of a stream, every chunk's, in order.
    """

    text: str
    model: str
    endpoint: str
    finish_reason: str | None
    usage: Usage
    cost_usd: float | None
    attempts: tuple[AttemptRecord, ...]
    decision: RoutingDecision = field(repr=False)
    raw: object = field(default=None, repr=False)


class Executor(Protocol):
    """Makes one attempt. A plain function can be made into one; see `router.execution.as_executor`."""

    def call(self, request: CallRequest, /) -> Reply | Iterator[Chunk]:
        """Return a reply, or for `request.stream` its chunks.

        Raises:
            CallError: If the attempt fails; chunks may raise it too.
        """
        ...


class AsyncExecutor(Protocol):
    """Makes one attempt without blocking the event loop."""

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """Return a reply, or for `request.stream` its chunks.

        Raises:
            CallError: If the attempt fails; chunks may raise it too.
        """
        ...


def cost_of(usage: Usage, target: Target) -> float | None:
    """Return the USD that an answer cost: as charged, else tokens × price; None where something for that is unknown."""
    if usage.cost_usd is not None:
        return usage.cost_usd
    prices = (target.input_usd_per_mtok, target.output_usd_per_mtok)
    tokens = (usage.input_tokens, usage.output_tokens)
    parts = [price * n / 1e6 for price, n in zip(prices, tokens, strict=True) if price is not None and n is not None]
    return sum(parts) if len(parts) == len(prices) else None
