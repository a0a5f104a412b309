"""The values of a call: the request, its targets, the answer with its attempts, and the executor protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from router.decision import RoutingDecision
from router.types import FailureClass, ModelProfile, WireProtocol

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTarget:
    """One endpoint of one model, with the facts that decide whether it can serve a request and at which price.

    Attributes:
        model: Name of the model.
        base: Name of the model without the options of a variant.
        request: Parameters that make the variant.
        endpoint: Name of the endpoint, as the executor knows it.
        shared: Whether the endpoint serves other models too.
        context_window: Tokens that prompt and answer may have together. None if unknown.
        capabilities: Abilities of the model besides text, such as `vision`, `tools`, `json`.
        input_usd_per_mtok: Price in USD per million input tokens. None if unknown.
        output_usd_per_mtok: Price in USD per million output tokens. None if unknown.
        cached_input_usd_per_mtok: The same for input tokens from the prompt cache. None: as other input, here and below.
        cache_write_usd_per_mtok: The same for input tokens that are written to it.
        audio_input_usd_per_mtok: The same for input tokens of audio.
        audio_output_usd_per_mtok: The same for output tokens of audio. None: as other output.
        image_input_usd_per_mtok: The same for input tokens of images.
        protocols: The protocols that the endpoint speaks.
        server: What fails as one if it is down: endpoints of one host have the same. Empty: the endpoint.
    """

    model: str
    endpoint: str
    base: str = ""
    request: Mapping[str, object] = field(default_factory=dict)
    shared: bool = False
    context_window: int | None = None
    capabilities: frozenset[str] = frozenset()
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    cached_input_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    audio_input_usd_per_mtok: float | None = None
    audio_output_usd_per_mtok: float | None = None
    image_input_usd_per_mtok: float | None = None
    protocols: frozenset[WireProtocol] = frozenset({"chat"})
    server: str = ""

    @property
    def host(self) -> str:
        """The server, or else the endpoint."""
        return self.server or self.endpoint

    @property
    def name(self) -> str:
        """Name of the target in the live state."""
        return name_target(self.endpoint, self.model, shared=self.shared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of a caller. It may take several attempts.

    Attributes:
        targets: Endpoints to ask, best first. Explicit fallbacks come after the first model.
        messages: Chat messages in the OpenAI form.
        decision: Decision that ranked the targets. It becomes part of the completion.
        options: Passed on to the model unchanged: `tools`, `response_format`, `max_tokens`, …
        stream: Whether to return the answer in chunks.
        needs: Capabilities that the request depends on.
        tokens: Upper estimate of the tokens of prompt and answer together. 0 if it is not known.
        accept: Returns whether a reply is good enough. If not, the next model is asked. None: every reply is.
    """

    # The messages are in no repr, here and below, because a repr ends up in logs.
    targets: Sequence[CallTarget]
    messages: Messages = field(repr=False)
    decision: RoutingDecision
    options: Mapping[str, object] = field(default_factory=dict, repr=False)
    stream: bool = False
    needs: frozenset[str] = frozenset()
    tokens: int = 0
    accept: Callable[[Reply], bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """One attempt, as an executor receives it.

    The executor ends the attempt within these times, with a `CallError` if necessary.

    Attributes:
        model: Name of the model. If the router chose a variant, such as `gpt-5.5@high`, this is `gpt-5.5`.
        endpoint: Name of the endpoint.
        variant: The router's name of the variant. Empty if it chose none.
        messages: Chat messages in the OpenAI form.
        options: The parameters of a variant among them. Passed on to the model unchanged.
        stream: Whether to return chunks instead of a reply.
        timeout_s: Seconds for the whole attempt, to the last chunk. Never more than the rest of the deadline.
        connect_timeout_s: Seconds to establish a connection.
        first_token_timeout_s: Seconds until the first chunk of a stream.
        chunk_timeout_s: Seconds between two chunks of a stream.
        changes: Changes that the executor made to the request so that the server takes it. The executor appends to it.

    >>> from router import Router, Serving
    >>> def answer(request: CallRequest) -> str:
    ...     return f"{request.model} read {request.messages[-1]['content']!r}"
    >>> Router.load(serving=Serving(executor=answer)).complete("hello", allowed={"gpt-5.5"}).text
    "gpt-5.5 read 'hello'"
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
    variant: str = ""
    changes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The router's name of the model or the variant."""
        return self.variant or self.model


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Usage that a response reports.

    Attributes:
        input_tokens: Tokens of the prompt. None if the response does not report them.
        output_tokens: Tokens of the answer. None if the response does not report them.
        cost_usd: Cost that the server charged, in USD. None if the response does not report it.
        cached_tokens: How many of the input tokens came from the prompt cache.
        cache_write_tokens: How many of the input tokens were written to it.
        audio_input_tokens: How many of the input tokens are audio.
        audio_output_tokens: How many of the output tokens are audio.
        image_input_tokens: How many of the input tokens are images.

    >>> Usage(input_tokens=12, output_tokens=80).cost_usd is None
    True
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer.

    Attributes:
        text: Text of the answer. Empty if it only calls tools.
        finish_reason: Why the answer ended. None if the server does not report it.
        usage: Usage of the answer.
        raw: The response as the executor received it.
        logprobs: Log-probability of each token. Empty if the response does not report them.

    >>> from router import Router, Serving
    >>> def answer(request: CallRequest) -> Reply:
    ...     return Reply(text="Tea, please.", finish_reason="stop", usage=Usage(input_tokens=9, output_tokens=4))
    >>> Router.load(serving=Serving(executor=answer)).complete("coffee or tea?").usage.output_tokens
    4
    """

    text: str
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    raw: object = field(default=None, repr=False)
    logprobs: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of an answer.

    Attributes:
        text: Text that it adds. Empty if it adds a tool call or marks the end.
        finish_reason: Why the answer ends with this chunk. None before the end.
        usage: Usage of the whole answer, usually in the last chunk.
        raw: The piece as the executor received it.
        logprobs: Log-probability of each of its tokens. Empty if the piece does not report them.

    >>> from router import Router, Serving
    >>> def answer(request: CallRequest) -> Iterator[Chunk]:
    ...     yield Chunk(text="Tea, ")
    ...     yield Chunk(text="please.", finish_reason="stop")
    >>> router = Router.load(serving=Serving(executor=answer))
    >>> [chunk.text for chunk in router.complete("coffee or tea?", stream=True)]
    ['Tea, ', 'please.']
    """

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None
    raw: object = field(default=None, repr=False)
    logprobs: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt and its end.

    Attributes:
        model: Name of the model.
        endpoint: Name of the endpoint.
        seconds: From the request to the end of the answer or the failure.
        first_token_s: From the request to the first chunk of a stream. None without a chunk.
        usage: Usage of the attempt.
        cost_usd: Cost of the attempt in USD. None if unknown.
        failure: Class of the failure. None if the attempt succeeded.
        error: Kind of the error and its status, never a prompt or a key. Empty if the attempt succeeded.
        backoff_s: Seconds of the pause before the attempt.
        changes: Changes that the executor made to the request, such as `max_tokens sent as max_completion_tokens`.
        purpose: `answer`, or `check`: a call by which a cascade checked the answer before.

    >>> from router import CallError, FakeExecutor, Router, Serving
    >>> script = {"gpt-5.5": [CallError("transient", "503", status=503)]}
    >>> router = Router.load(serving=Serving(executor=FakeExecutor(script)), allowed={"gpt-5.5", "gpt-4.1-mini"})
    >>> first, second = router.complete("hello", prefer="quality").attempts
    >>> first.model, first.failure, second.model, second.failure
    ('gpt-5.5', 'transient', 'gpt-4.1-mini', None)
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
    changes: tuple[str, ...] = ()
    purpose: Literal["answer", "check"] = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer and the attempts that led to it.

    Attributes:
        text: Text of the answer.
        model: Model that answered.
        endpoint: Endpoint that answered.
        finish_reason: Why the answer ended, such as `stop`, `length` or `tool_calls`. None if a whole reply does not report
            it.
        usage: Usage of the answer.
        cost_usd: Cost of the answer in USD, as charged or else by price, without other attempts. None if unknown.
        attempts: All attempts in order. The last one is the one that answered. In a cascade checks may follow it, and
            `reasons` say if an earlier answer was returned.
        decision: Decision that ranked the models.
        raw: The response as the executor received it. For a stream, that of every chunk, in order.
        reasons: What a cascade did: plain sentences about each check. Empty without a cascade.
        logprobs: Log-probability of each token. Empty if the response does not report them.

    >>> from router import FakeExecutor, Router, Serving
    >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["Tea, please."]})))
    >>> completion = router.complete("coffee or tea?", allowed={"gpt-5.5"})
    >>> completion.text, completion.model, completion.finish_reason, completion.decision.task is not None
    ('Tea, please.', 'gpt-5.5', 'stop', True)
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
    reasons: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = field(default=(), repr=False)

    @property
    def total_cost_usd(self) -> float | None:
        """Cost in USD of all paid answers: also of those that were not accepted, and of checks. None if one is unknown."""
        costs = [attempt.cost_usd for attempt in self.attempts if attempt.failure in (None, "rejected")]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None


class Executor(Protocol):
    """Makes one attempt and blocks. `router.as_executor` makes an executor of a plain function.

    An executor that knows its endpoints has an attribute `endpoints`, a collection of their names. Models without an
    endpoint are then no candidates.

    >>> from router import Router, Serving
    >>> class Echo:
    ...     def call(self, request: CallRequest, /) -> Reply:
    ...         return Reply(text=request.messages[-1]["content"])
    >>> executor: Executor = Echo()
    >>> Router.load(serving=Serving(executor=executor)).complete("hello").text
    'hello'
    """

    def call(self, request: CallRequest, /) -> Reply | Iterator[Chunk]:
        """Return a reply, or the chunks if `request.stream` is true.

        Raises:
            CallError: If the attempt fails. The iterator of the chunks may raise it too.
        """
        ...


class AsyncExecutor(Protocol):
    """Makes one attempt without blocking the event loop.

    >>> import asyncio
    >>> from router import Router, Serving
    >>> class Echo:
    ...     async def acall(self, request: CallRequest, /) -> Reply:
    ...         return Reply(text=request.messages[-1]["content"])
    >>> executor: AsyncExecutor = Echo()
    >>> asyncio.run(Router.load(serving=Serving(executor=executor)).acomplete("hello")).text
    'hello'
    """

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """Return a reply, or the chunks if `request.stream` is true.

        Raises:
            CallError: If the attempt fails. The iterator of the chunks may raise it too.
        """
        ...


def name_target(endpoint: str, model: str, *, shared: bool) -> str:
    """Return the name of a model at an endpoint in the live state, which keeps the models of a shared endpoint apart."""
    return f"{endpoint}/{model}" if shared else endpoint


def cost_of(usage: Usage, target: CallTarget) -> float | None:
    """Return the cost of an answer in USD: as charged, else tokens × price. None if a token count or a price is unknown."""
    return price_usage(usage, target) if usage.cost_usd is None else usage.cost_usd


def price_usage(usage: Usage, prices: CallTarget | ModelProfile) -> float | None:
    """Return tokens × price in USD. None if a token count or a price is unknown: half a cost would look like a cheap answer.

    Tokens of a kind without a price of its own cost as much as other input or output.
    """
    text_in, text_out = prices.input_usd_per_mtok, prices.output_usd_per_mtok
    if text_in is None or text_out is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    inputs = (
        (usage.cached_tokens, prices.cached_input_usd_per_mtok),
        (usage.cache_write_tokens, prices.cache_write_usd_per_mtok),
        (usage.audio_input_tokens, prices.audio_input_usd_per_mtok),
        (usage.image_input_tokens, prices.image_input_usd_per_mtok),
    )
    outputs = ((usage.audio_output_tokens, prices.audio_output_usd_per_mtok),)
    usd = _sum_tokens(usage.input_tokens, text_in, inputs) + _sum_tokens(usage.output_tokens, text_out, outputs)
    return usd / 1e6


def _sum_tokens(total: int, price: float, kinds: Sequence[tuple[int, float | None]]) -> float:
    """Return the sum of tokens × price.

    Args:
        total: All tokens.
        price: Price of the tokens of no kind.
        kinds: Tokens of each kind, and their price. None: that of the others.
    """
    priced = [(n, own) for n, own in kinds if own is not None]
    # A token may be of two kinds, such as cached audio. Then no less than 0 tokens are left for the rest.
    return max(0, total - sum(n for n, _ in priced)) * price + sum(n * own for n, own in priced)
