"""The values that cross every boundary: frozen dataclasses, one frozen struct and two protocols, data only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from router.dates import first_day
from router.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from router.cascade import Cascade, CascadeScore

# Which part found a prompt's task.
Source = Literal["classifier", "keywords", "default"]
# The tier of the classifier that read a prompt, and the tiers that a caller can ask for.
Tier = Literal["first", "full"]
# Standard errors that are taken off a quality by default: the least regret if a model or a task was hardly measured
# (`python benchmarks/unmeasured.py --regret`).
RISK_AVERSION = 0.5
# The requests that a server takes: OpenAI's chat completions, OpenAI's responses, Anthropic's messages.
WireProtocol = Literal["chat", "responses", "messages"]

TierChoice = Literal["auto", "first", "full"]
# Why a call failed. `router.health` and `router.execution.plan` say what follows from each class.
FailureClass = Literal["transient", "rate_limit", "auth", "unable", "request", "rejected", "cancelled"]


def _require(holds: bool, rule: str, value: object) -> None:
    if not holds:
        raise InputError(f"{rule}, got {value!r}")


def _is_number(value: Any) -> bool:
    # numpy's numbers are registered as Real, too. True is no number that anybody means.
    return isinstance(value, Real) and not _is_flag(value) and math.isfinite(value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _require_non_negative(name: str, value: Any) -> None:
    holds = value is None or (_is_number(value) and value >= 0)
    _require(holds, f"{name} must be a finite number of 0 or more", value)


def _require_mapping(name: str, value: object, of: type, example: str) -> None:
    holds = isinstance(value, Mapping) and all(isinstance(entry, of) for pair in value.items() for entry in pair[1:])
    _require(holds, f"{name} must map tasks to values, such as {example}", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A quality in [0, 1] with its uncertainty.

    Attributes:
        mean: Expected score, in [0, 1].
        stderr: Standard error of the mean, 0 or more.
        n: Number of scored prompts behind the mean. 0 if it is inferred from other tasks and models.

    >>> Estimate(mean=0.82, stderr=0.03, n=160).mean
    0.82
    """

    mean: float
    stderr: float
    n: float

    def __post_init__(self) -> None:
        _require(_is_number(self.mean) and 0 <= self.mean <= 1, "mean must be a number between 0 and 1", self.mean)
        _require_non_negative("stderr", self.stderr)
        _require_non_negative("n", self.n)


# The prices of one call, which `router.calls.price_usage` sums.
CALL_PRICES = (
    "input_usd_per_mtok", "output_usd_per_mtok", "cached_input_usd_per_mtok", "cache_write_usd_per_mtok",
    "audio_input_usd_per_mtok", "audio_output_usd_per_mtok", "image_input_usd_per_mtok",
)  # fmt: skip
PRICES = (*CALL_PRICES, "batch_input_usd_per_mtok", "batch_output_usd_per_mtok")
_NUMBERS = (*PRICES, "cache_lifetime_s", "cost_usd", "latency_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """What is known about one model.

    Attributes:
        name: The name that `RoutingDecision.model` returns.
        variant_of: Name of the model that this is with other options. Empty if it is the model itself.
        request: Parameters that make the variant, by their names in chat completions, such as
            `{"reasoning_effort": "high"}`. They are sent with each request.
        provider: Who serves the model.
        quality: Expected score by task. A missing task counts with the mean of the others.
        input_usd_per_mtok: List price in USD per million input tokens. None if unknown.
        output_usd_per_mtok: List price in USD per million output tokens. None if unknown.
        cached_input_usd_per_mtok: Price in USD per million input tokens that the provider's prompt cache holds. None if it
            keeps none.
        cache_write_usd_per_mtok: Price in USD per million input tokens that are written to that cache. None: as other input.
        audio_input_usd_per_mtok: Price in USD per million input tokens of audio. None: as other input.
        audio_output_usd_per_mtok: Price in USD per million output tokens of audio. None: as other output.
        image_input_usd_per_mtok: Price in USD per million input tokens of images. None: as other input.
        batch_input_usd_per_mtok: Price in USD per million input tokens in the provider's batch API. None if it has none.
        batch_output_usd_per_mtok: Price in USD per million output tokens there. None if it has none.
        prices_as_of: Date of the prices as `YYYY-MM-DD` or `YYYY-MM`. Empty if unknown.
        cache_lifetime_s: Seconds after the last request for which that cache keeps a prompt.
        output_tokens: Mean length of an answer in tokens, by task.
        output_tokens_ratio: Length of a variant's answers relative to those of its model, hidden reasoning included. It
            counts for tasks without a length of its own.
        cost_usd: Mean measured cost of one prompt in USD. It counts if there are no list prices.
        cost_usd_by_task: Mean measured cost of one prompt in USD, by task. It counts if there are no list prices.
        latency_s: Mean measured seconds to a whole answer. None if unknown.
        context_window: Tokens that prompt and answer may have together. None if unknown.
        capabilities: What the model can do besides text, such as `vision`, `tools`, `reasoning`.
        weight: Relative capacity, above 0.
        source: Where the figures come from.

    >>> ModelProfile(name="gpt-5.5@low", variant_of="gpt-5.5", request={"reasoning_effort": "low"}).base
    'gpt-5.5'
    >>> own = ModelProfile(name="house-3b", quality={"math": Estimate(mean=0.4, stderr=0.05, n=90)}, cost_usd=0.00002)
    >>> own.quality["math"].mean
    0.4
    """

    name: str
    variant_of: str = ""
    request: Mapping[str, object] = field(default_factory=dict)
    provider: str = ""
    quality: Mapping[str, Estimate] = field(default_factory=dict)
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    cached_input_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    audio_input_usd_per_mtok: float | None = None
    audio_output_usd_per_mtok: float | None = None
    image_input_usd_per_mtok: float | None = None
    batch_input_usd_per_mtok: float | None = None
    batch_output_usd_per_mtok: float | None = None
    prices_as_of: str = ""
    cache_lifetime_s: float = 300.0
    output_tokens: Mapping[str, float] = field(default_factory=dict)
    output_tokens_ratio: float = 1.0
    cost_usd: float | None = None
    cost_usd_by_task: Mapping[str, float] = field(default_factory=dict)
    latency_s: float | None = None
    context_window: int | None = None
    capabilities: frozenset[str] = frozenset()
    weight: float = 1.0
    source: str = ""

    @property
    def base(self) -> str:
        """Name of the model without the options of a variant."""
        return self.variant_of or self.name

    def __post_init__(self) -> None:
        _require(isinstance(self.name, str) and bool(self.name), "name must be a string that is not empty", self.name)
        for name in ("provider", "source", "variant_of", "prices_as_of"):
            _require(isinstance(getattr(self, name), str), f"{name} must be a string", getattr(self, name))
        day = self.prices_as_of
        _require(not day or first_day(day) is not None, "prices_as_of must be a date as YYYY-MM-DD or YYYY-MM", day)
        _require(isinstance(self.request, Mapping), "request must map parameters to values", self.request)
        is_variant = bool(self.variant_of) == bool(self.request) and self.variant_of != self.name
        _require(is_variant, "variant_of and request must be set together, and name another model", self.variant_of)
        ratio = self.output_tokens_ratio
        _require(_is_number(ratio) and ratio > 0, "output_tokens_ratio must be a number above 0", ratio)
        _require(_is_number(self.weight) and self.weight > 0, "weight must be a number above 0", self.weight)
        window: Any = self.context_window
        holds = window is None or (isinstance(window, Integral) and _is_number(window) and int(window) > 0)
        _require(holds, "context_window must be a whole number of tokens above 0, such as 128000", window)
        names = self.capabilities
        holds = isinstance(names, Set) and all(isinstance(name, str) for name in names)
        _require(holds, "capabilities must be a frozenset of names, such as frozenset({'vision'})", names)
        _require_mapping("quality", self.quality, Estimate, "{'math': Estimate(mean=0.9, stderr=0.02, n=200)}")
        _require_mapping("output_tokens", self.output_tokens, Real, "{'math': 400}")
        _require_mapping("cost_usd_by_task", self.cost_usd_by_task, Real, "{'math': 0.002}")
        for name in _NUMBERS:
            _require_non_negative(name, getattr(self, name))
        for task, tokens in self.output_tokens.items():
            _require_non_negative(f"output_tokens[{task!r}]", tokens)
        for task, usd in self.cost_usd_by_task.items():
            _require_non_negative(f"cost_usd_by_task[{task!r}]", usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPrediction:
    """The task of a prompt.

    Attributes:
        task: The most likely task. None if nothing speaks for any.
        confidence: Probability of that task, in [0, 1].
        probabilities: Probability of every task. They sum to 1.
        source: Part that decided: `classifier`, `keywords`, or `default` if both are unsure.
        inherited: Share of the prediction that comes from earlier turns of the conversation, in [0, 1].
        tier: Tier of the classifier that read the decisive turn. None if no tier did.

    >>> from router import Router
    >>> prediction = Router.load().predict("prove that sqrt(2) is irrational")
    >>> prediction.task, prediction.source, round(sum(prediction.probabilities.values()), 6)
    ('math', 'classifier', 1.0)
    """

    task: str | None
    confidence: float
    probabilities: Mapping[str, float]
    source: Source
    inherited: float = 0.0
    tier: Tier | None = None

    @property
    def unsure(self) -> bool:
        """Whether classifier and keyword rules are both unsure. The probabilities then only hedge."""
        return self.source == "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """How quality is weighed against cost and time. A point of quality is 0.01 of expected score.

    Attributes:
        risk_aversion: Standard errors that are taken off the expected quality before models are compared, 0 or more. A model
            of which little is known has a large standard error.
        usd_per_point: USD that one more point is worth. Infinite if cost does not count.
        seconds_per_point: Seconds that one more point is worth. Infinite if time does not count.
        quality_floor: Share of the best candidate's expected quality, in [0, 1]. The cheapest model that reaches it wins.
            None: quality, cost and time are weighed.
        reference: Baseline for `max_loss`. The cheapest model within `tolerance` of its expected quality wins.
        tolerance: Expected score that the chosen model may be below the reference. A negative one asks for a better model,
            minus infinity allows only the reference.

    >>> from router import Router
    >>> Router.load().presets["balanced"].usd_per_point > Router.load().presets["cheap"].usd_per_point
    True
    """

    risk_aversion: float = RISK_AVERSION
    usd_per_point: float = math.inf
    seconds_per_point: float = math.inf
    quality_floor: float | None = None
    reference: str | None = None
    tolerance: float = -math.inf

    @property
    def weighs(self) -> bool:
        """Whether quality, cost and time are weighed. If not, the cheapest model that is good enough wins."""
        return self.quality_floor is None and self.reference is None

    def __post_init__(self) -> None:
        _require_non_negative("risk_aversion", self.risk_aversion)
        _require(self.usd_per_point > 0, "usd_per_point must be above 0", self.usd_per_point)
        _require(self.seconds_per_point > 0, "seconds_per_point must be above 0", self.seconds_per_point)
        floor = self.quality_floor
        _require(floor is None or 0 <= floor <= 1, "quality_floor must be between 0 and 1", floor)
        _require(not math.isnan(self.tolerance), "tolerance must be a number", self.tolerance)


# A struct, because a router makes one per model and prompt, and a frozen dataclass takes twelve times as long (ADR 11).
class ModelScore(msgspec.Struct, frozen=True, kw_only=True):
    """Every term of one model's score for one prompt.

    Attributes:
        model: Name of the model.
        quality: Expected score in [0, 1]: the sum over tasks of probability · quality, moved by `shift`.
        stderr: Standard error of `quality`.
        bound: What models are compared by: `quality` less `risk_aversion` standard errors. It may be below 0.
        cost_usd: Expected USD for this prompt. None if no candidate's cost is known.
        latency_s: Expected seconds to a whole answer. None if no candidate's latency is known.
        assumed: Which of `cost_usd` and `latency_s` are unknown, so that the other candidates' median takes their place.
        utility: `bound` less what cost and time take away, on the scale of quality.
        quality_by_task: Quality of each task in the profile.
        shift: How much likelier the prompt's text makes a good answer than its task alone, in logits. 0 if nothing was
            learned about such prompts.

    >>> from router import route
    >>> decision = route("write a haiku about rain")
    >>> score = decision.scores[decision.model]
    >>> 0 <= score.quality <= 1, score.utility <= score.quality
    (True, True)
    """

    model: str
    quality: float
    stderr: float
    bound: float
    cost_usd: float | None
    latency_s: float | None
    assumed: frozenset[str]
    utility: float
    quality_by_task: Mapping[str, float]
    shift: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingContext:
    """Everything that a strategy may look at. New facts become new fields.

    Attributes:
        prompt: The turn that decides. A long one is cut to its head and tail.
        key: A user or a session that a strategy may keep on one model. Empty if the caller gave none.
        prediction: The task.
        candidates: Names of the models that may be chosen, in the order of the model folder. Never empty.
        scores: One score per candidate, by name.
        preference: How quality is weighed against cost and time.
        loads: Live load by model: predicted seconds · (requests in flight + 1) / weight. Smaller is better. It is at least
            the penalty for recent failures, infinite while the first request to a model is under way, and 0 without live
            state.
        inflight: Requests in flight by model. 0 if unknown.
        weights: Present capacity by model, above 0: the profile's weight, or less while the model recovers from a failure.
        profiles: The profiles of all models, by name.
        tokens: Upper estimate of the size of the prompt, in tokens.
        in_tool_call: Whether the prompt ends with the result of a tool, so that a model is in the middle of its turn.
        stuck: Why the session seems to make no progress. Empty if it does not.
        now_s: Seconds by the router's clock.
        needs: Capabilities that the model must have, such as `tools`.
        protocol: The protocol of the call that follows. None: none follows.
        cascade: How answers are checked. None: they are not.

    >>> from router import Router
    >>> def cheapest(context: RoutingContext) -> list[str]:
    ...     return sorted(context.candidates, key=lambda name: context.scores[name].cost_usd or 0.0)
    >>> Router.load(strategy=cheapest).route("hello").strategy
    'cheapest'
    """

    prompt: str
    key: str
    prediction: TaskPrediction
    candidates: Sequence[str]
    scores: Mapping[str, ModelScore]
    preference: Preference
    loads: Mapping[str, float] = field(default_factory=dict)
    inflight: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    profiles: Mapping[str, ModelProfile] = field(default_factory=dict)
    tokens: int = 0
    in_tool_call: bool = False
    stuck: str = ""
    now_s: float = 0.0
    needs: frozenset[str] = frozenset()
    protocol: WireProtocol | None = None
    cascade: Cascade | None = None


class Ranking(list[str]):
    """A ranking with sentences that explain it. They become reasons of the decision.

    Args:
        models: The models, best first.
        reasons: The sentences.
        cascade: The cascade that the first models of the ranking are. None: each model is only asked if those before fail.

    >>> Ranking(["a", "b"], reasons=["a was asked for"]).reasons
    ('a was asked for',)
    """

    def __init__(self, models: Iterable[str], *, reasons: Iterable[str] = (), cascade: CascadeScore | None = None) -> None:
        super().__init__(models)
        self.reasons, self.cascade = tuple(reasons), cascade


class Strategy(Protocol):
    """Ranks all candidates, best first. The ranking is also the fallback order. A plain function fits.

    A `Ranking` also explains itself.

    >>> from router import Router
    >>> by_name: Strategy = lambda context: sorted(context.candidates)
    >>> Router.load(strategy=by_name).route("hello").ranking[0]
    'claude-fable-5'
    """

    def __call__(self, context: RoutingContext, /) -> Sequence[str]:
        """Return every candidate exactly once."""
        ...


class Encoder(Protocol):
    """Turns texts into vectors.

    >>> import numpy as np
    >>> class Even:
    ...     name, dim = "even", 1
    ...     def encode(self, texts, /):
    ...         return np.ones((len(texts), 1), np.float32)
    >>> encoder: Encoder = Even()
    >>> encoder.encode(["hello", "world"]).shape
    (2, 1)
    """

    @property
    def name(self) -> str:
        """Name of the encoder."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), dim), float32, rows of length one."""
        ...
