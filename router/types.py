"""The values that cross every boundary: frozen dataclasses, a frozen struct and two protocols, data only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Source = Literal["classifier", "keywords", "default"]
# Who read a prompt: the cheap first tier of the classifier, or all of it; and what to ask for.
Tier = Literal["first", "full"]
TierChoice = Literal["auto", "full"]
# Why a call failed; what follows from it is in `router.health` and `router.execution.policy`.
FailureClass = Literal["transient", "rate_limit", "auth", "request", "cancelled"]


def _require(holds: bool, rule: str, value: object) -> None:
    if not holds:
        raise ValueError(f"{rule}, was {value!r}")


def _non_negative(name: str, value: float | None) -> None:
    _require(value is None or (math.isfinite(value) and value >= 0), f"{name} must be finite and not negative", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A quality in [0, 1] that is never a bare number.

    Attributes:
        mean: Expected score, in [0, 1].
        stderr: Standard error of that mean, ≥ 0.
        n: Scored prompts behind it; 0 where it is borrowed from the model's other tasks and the task's other models.

    >>> Estimate(mean=0.82, stderr=0.03, n=160).mean
    0.82
    """

    mean: float
    stderr: float
    n: float

    def __post_init__(self) -> None:
        _require(0 <= self.mean <= 1, "mean must be in [0, 1]", self.mean)
        _non_negative("stderr", self.stderr)
        _non_negative("n", self.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """What is known of one model.

    Attributes:
        name: The name that `RoutingDecision.model` returns.
        provider: Who serves it.
        quality: Expected score by task. A task that is missing counts with the mean of those that are there.
        input_usd_per_mtok: List price in USD per million input tokens; None where unknown.
        output_usd_per_mtok: The same for output tokens.
        output_tokens: Mean length of an answer by task, in tokens.
        cost_usd: Mean measured cost of one prompt in USD; stands in where there are no list prices, as does
        cost_usd_by_task: the same by task, where it is known.
        latency_s: Mean measured seconds to a whole answer; None where unknown.
        context_window: Tokens that prompt and answer may have together; None where unknown.
        capabilities: What it can do besides text, such as `vision`, `tools`, `reasoning`.
        weight: Relative capacity, > 0.
        source: Where the figures come from.

    >>> own = ModelProfile(name="house-3b", quality={"math": Estimate(mean=0.4, stderr=0.05, n=90)}, cost_usd=0.00002)
    >>> own.quality["math"].mean
    0.4
    """

    name: str
    provider: str = ""
    quality: Mapping[str, Estimate] = field(default_factory=dict)
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    output_tokens: Mapping[str, float] = field(default_factory=dict)
    cost_usd: float | None = None
    cost_usd_by_task: Mapping[str, float] = field(default_factory=dict)
    latency_s: float | None = None
    context_window: int | None = None
    capabilities: frozenset[str] = frozenset()
    weight: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        _require(bool(self.name), "name must not be empty", self.name)
        _require(math.isfinite(self.weight) and self.weight > 0, "weight must be positive", self.weight)
        _require(self.context_window is None or self.context_window > 0, "context_window > 0", self.context_window)
        for name in ("input_usd_per_mtok", "output_usd_per_mtok", "cost_usd", "latency_s"):
            _non_negative(name, getattr(self, name))
        for task, tokens in self.output_tokens.items():
            _non_negative(f"output_tokens[{task!r}]", tokens)
        for task, usd in self.cost_usd_by_task.items():
            _non_negative(f"cost_usd_by_task[{task!r}]", usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPrediction:
    """What the prompt asks for, and who says so.

    Attributes:
        task: The most likely task; None when nothing at all speaks for any.
        confidence: Its probability, in [0, 1].
        probabilities: One per task, summing to 1.
        source: `classifier`; `keywords` where it is missing or unsure and a rule fits; `default` where neither is sure.
        inherited: How much of it comes from earlier turns of the conversation, in [0, 1].
        tier: Which tier of the classifier read the turn that counts most; None: none did.

    >>> from router import Router
    >>> told = Router.load().predict("prove that sqrt(2) is irrational")
    >>> told.task, told.source, round(sum(told.probabilities.values()), 6)
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
        """Whether neither the classifier nor a rule would commit itself; the probabilities then only hedge."""
        return self.source == "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What a point of quality is worth; a point is 0.01 of expected score.

    Attributes:
        usd_per_point: USD a prompt may cost more for one more point; infinite where cost does not count.
        seconds_per_point: Seconds it may take longer for one more point; infinite where time does not count.
        quality_floor: Share of the best candidate's expected quality, in [0, 1], that is good enough: the cheapest model
            that reaches it wins. None where quality, cost and time are weighed instead.
        reference: The model that a cheaper one is measured against, where `max_loss` was asked for: it, or the cheapest
            whose expected quality is at least its less `tolerance`, wins.
        tolerance: In expected score; may be negative or minus infinity: then a cheaper one must look better, or never wins.

    >>> from router import Router
    >>> Router.load().presets["balanced"].usd_per_point > Router.load().presets["cheap"].usd_per_point
    True
    """

    usd_per_point: float = math.inf
    seconds_per_point: float = math.inf
    quality_floor: float | None = None
    reference: str | None = None
    tolerance: float = -math.inf

    @property
    def weighs(self) -> bool:
        """Whether quality, cost and time are weighed; else the cheapest that is good enough wins."""
        return self.quality_floor is None and self.reference is None

    def __post_init__(self) -> None:
        _require(self.usd_per_point > 0, "usd_per_point must be positive", self.usd_per_point)
        _require(self.seconds_per_point > 0, "seconds_per_point must be positive", self.seconds_per_point)
        floor = self.quality_floor
        _require(floor is None or 0 <= floor <= 1, "quality_floor must be in [0, 1]", floor)
        _require(not math.isnan(self.tolerance), "tolerance must be a number", self.tolerance)


# A struct, because a router makes one per model and prompt, and a frozen dataclass takes twelve times as long (ADR 11).
class ModelScore(msgspec.Struct, frozen=True, kw_only=True):
    """Every term of one model's score for one prompt.

    Attributes:
        model: Its name.
        quality: Expected score: Σ over tasks of probability × quality, in [0, 1].
        stderr: Standard error of `quality`.
        cost_usd: Expected USD for this prompt, and
        latency_s: expected seconds; both None where no candidate's is known. One unknown among known ones counts with
            their median.
        assumed: Which of `cost_usd` and `latency_s` are such medians.
        utility: quality − what cost and time take away, on the scale of quality.
        quality_by_task: The profile's quality of each task; what `quality` is the expectation of, but for `shift`.
        shift: How much likelier the prompt itself makes a good answer than its task alone, in logits; 0 where nothing was
            learnt of such prompts.

    >>> from router import route
    >>> decision = route("write a haiku about rain")
    >>> score = decision.scores[decision.model]
    >>> 0 <= score.quality <= 1, score.utility <= score.quality
    (True, True)
    """

    model: str
    quality: float
    stderr: float
    cost_usd: float | None
    latency_s: float | None
    assumed: frozenset[str]
    utility: float
    quality_by_task: Mapping[str, float]
    shift: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingContext:
    """All that a strategy may look at; new facts become fields.

    Attributes:
        prompt: The text that decides; cut to head and tail when it is long.
        key: What makes a choice sticky (a user, a session); empty where the caller gave none.
        prediction: The task.
        candidates: Names of the models that may be chosen, in the artifact's order; never empty.
        scores: One per candidate, by name.
        preference: What the caller pays for quality.
        loads: Live load by model: predicted seconds × (requests in flight + 1) / weight, never below the penalty for recent
            failures; the smaller the better. Infinite while the first request to a model is under way: what comes of it is
            not known. 0 where there is no live state.
        inflight: Requests in flight by model; 0 where nothing is known.
        weights: Capacity by model at this moment, > 0: the profile's weight, less while it starts again after a failure. 1
            where nothing is known.

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


class Strategy(Protocol):
    """Ranks all candidates, best first, so that the fallback order comes free. A plain function fits.

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
    >>> encoder.encode(["a", "b"]).shape
    (2, 1)
    """

    @property
    def name(self) -> str:
        """Which encoder this is."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return an array of shape (len(texts), dim), rows of length one."""
        ...
