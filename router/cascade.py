"""The options of a cascade as values: who accepts an answer, how often that is right, and what a cascade is worth."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from router.errors import InputError

if TYPE_CHECKING:
    from router.calls import Reply

# Share of prompts that are hard or easy for all models alike. The median over 12 tasks of three public benchmarks is 0.57:
# `python benchmarks/cascade.py --overlap FILE`.
DEFAULT_OVERLAP = 0.6
# Differences of utility below this are within the error of the estimates.
DEFAULT_MIN_GAIN = 0.01
_Z95 = NormalDist().inv_cdf(0.975)
_FEWEST_MODELS, _MOST_MODELS = 2, 3
_RUBRIC = (
    "Decide whether the answer is correct and complete. Check every step and every fact. An answer with a wrong result "
    "gets at most 3. An answer that you would give yourself gets 10."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often a verifier accepts right and wrong answers.

    Attributes:
        true_accept: Probability that a right answer is accepted (sensitivity), in [0, 1].
        false_accept: Probability that a wrong answer is accepted (1 − specificity), in [0, 1].
        true_accept_range: Its 95 % interval. None if it was not measured.
        false_accept_range: Its 95 % interval. None if it was not measured.

    >>> Rates.measure([1, 1, 1, 1, 0, 0, 0, 0, 0, 1], [True, True, True, True, False, False, False, False, True, False])
    Rates(true_accept=0.8, false_accept=0.2, true_accept_range=(0.376, 0.964), false_accept_range=(0.036, 0.624))
    """

    true_accept: float
    false_accept: float
    true_accept_range: tuple[float, float] | None = None
    false_accept_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("true_accept", "false_accept"):
            _check_share(name, getattr(self, name))

    @property
    def is_useful(self) -> bool:
        """Whether a right answer is accepted more often than a wrong one."""
        return self.true_accept > self.false_accept

    @classmethod
    def of_accuracy(cls, accuracy: float) -> Rates:
        """Return the rates of a verifier that judges this share of right and of wrong answers correctly.

        Raises:
            InputError: If it is not between 0 and 1.
        """
        _check_share("accuracy", accuracy)
        return cls(true_accept=accuracy, false_accept=1 - accuracy)

    @classmethod
    def measure(cls, scores: Sequence[float], accepted: Sequence[bool]) -> Rates:
        """Return the rates that a verifier had on answers whose quality is known.

        Take answers of the cheap models to a sample of prompts, accepted and not accepted ones. A score between 0 and 1
        counts in part as a right answer and in part as a wrong one. The intervals are those of Wilson (1927).

        Args:
            scores: How good each answer was, in [0, 1].
            accepted: Whether the verifier accepted it.

        Raises:
            InputError: If the lists differ in length, a score is out of range, or all answers are right or all are wrong.
        """
        if len(scores) != len(accepted):
            raise InputError(f"scores and accepted must have the same length, got {len(scores)} and {len(accepted)}")
        for score in scores:
            _check_share("a score", score)
        pairs = list(zip(scores, accepted, strict=True))
        right, wrong = sum(scores), sum(1 - score for score in scores)
        if not (right > 0 and wrong > 0):
            raise InputError(
                f"measure needs right and wrong answers, got {right:g} right and {wrong:g} wrong; add the others"
            )
        true_accept = sum(score for score, is_accepted in pairs if is_accepted) / right
        false_accept = sum(1 - score for score, is_accepted in pairs if is_accepted) / wrong
        return cls(
            true_accept=true_accept,
            false_accept=false_accept,
            true_accept_range=_find_interval(true_accept, right),
            false_accept_range=_find_interval(false_accept, wrong),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Another model reads the conversation and the answer, and gives the answer 0 to 10 points.

    Attributes:
        model: Name of the model. It costs one more call for each answer that is checked.
        threshold: An answer with at least so many points is accepted.
        rubric: What the points mean.
        request: Parameters of the call, such as `{"temperature": 0}`.

    >>> Judge(model="gpt-4.1-mini", threshold=8).model
    'gpt-4.1-mini'
    """

    model: str
    threshold: float = 7.0
    rubric: str = _RUBRIC
    request: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_model(self.model)
        _check_number("threshold of a judge", self.threshold, 0, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A second model gets the same request. The answer is accepted if both come to the same final answer.

    Attributes:
        model: Name of the second model. It costs one more call for each answer that is checked.

    >>> Agreement(model="gemma-4-31b-it").model
    'gemma-4-31b-it'
    """

    model: str

    def __post_init__(self) -> None:
        _check_model(self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenProbability:
    """The answer is accepted if the model was sure of its words. The request asks for `logprobs`.

    Attributes:
        threshold: Least log-probability, 0 or less. −0.1 is a probability of 0.90 for each token.
        over: `mean`: the mean over the tokens. `min`: that of the least likely token.

    >>> TokenProbability(threshold=-0.1).over
    'mean'
    """

    threshold: float
    over: Literal["mean", "min"] = "mean"

    def __post_init__(self) -> None:
        _check_number("threshold of log-probabilities", self.threshold, -math.inf, 0)
        if self.over not in ("mean", "min"):
            raise InputError(f"over must be 'mean' or 'min', got {self.over!r}")


# A function of the reply returns whether it is accepted, or a score of which 0.5 or more is accepted.
Accept = Callable[["Reply"], "bool | float | Awaitable[bool | float]"]
Verifier = Accept | Judge | Agreement | TokenProbability


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """How the strategy `cascade` checks an answer, and how far it trusts the check.

    Attributes:
        verifier: Accepts an answer or does not: a function of the `Reply`, a `Judge`, an `Agreement` or a
            `TokenProbability`. A function returns True or False, or a number of which 0.5 or more is accepted. It may be
            asynchronous for `acomplete`.
        rates: How often the verifier accepts right and wrong answers. `Rates.measure` finds them.
        max_models: Most models in a row, 2 or 3. With 3, a decision between 67 models takes 10 to 30 ms instead of 1 ms.
        overlap: Share of prompts that are hard or easy for all models alike, in [0, 1]. 0: the errors of the models are
            independent. 1: a stronger model is right whenever a weaker one is. None: as measured on the benchmark of the
            model folder, or else 0.6.
        min_gain: Utility that a cascade must gain over the best single model, 0 or more. Smaller gains are within the error
            of the estimates.
        check_usd: Cost of one check in USD. It is added to that of the verifier's model.
        check_s: Seconds of one check. They are added to those of the verifier's model.

    Raises:
        InputError: If a value is out of range.

    >>> Cascade(verifier=lambda reply: len(reply.text) > 20, rates=Rates.of_accuracy(0.9)).max_models
    2
    """

    verifier: Verifier
    rates: Rates
    max_models: int = _FEWEST_MODELS
    overlap: float | None = None
    min_gain: float = DEFAULT_MIN_GAIN
    check_usd: float = 0.0
    check_s: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.verifier, type) or not (
            callable(self.verifier) or isinstance(self.verifier, Judge | Agreement | TokenProbability)
        ):
            raise InputError(
                "verifier must be a function of the reply, or Judge(...), Agreement(...), TokenProbability(...)"
            )
        if not isinstance(self.rates, Rates):
            raise InputError("rates must be Rates(...), such as Rates.of_accuracy(0.9); Rates.measure(...) finds them")
        if self.max_models not in (_FEWEST_MODELS, _MOST_MODELS):
            raise InputError(f"max_models must be {_FEWEST_MODELS} or {_MOST_MODELS}, got {self.max_models!r}")
        if self.overlap is not None:
            _check_share("overlap", self.overlap)
        for name in ("min_gain", "check_usd", "check_s"):
            _check_number(name, getattr(self, name), 0, math.inf)

    @property
    def model(self) -> str | None:
        """Name of the model that the verifier asks. None if it asks none."""
        return self.verifier.model if isinstance(self.verifier, Judge | Agreement) else None

    @property
    def name(self) -> str:
        """How messages name the verifier."""
        names = {Judge: "a judge", Agreement: "the agreement of two models", TokenProbability: "token probabilities"}
        return names.get(type(self.verifier), "a function")


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeScore:
    """What a cascade is expected to give for one prompt.

    Attributes:
        models: The models in the order in which they are asked.
        shares: Probability that each of them is asked.
        quality: Expected score in [0, 1].
        cost_usd: Expected USD, checks included. None if no candidate's cost is known.
        latency_s: Expected seconds, checks included. None if no candidate's latency is known.
        utility: Quality less what cost and time take away.

    >>> CascadeScore(models=("a", "b"), shares=(1, 0.3), quality=0.9, cost_usd=0.01, latency_s=2, utility=0.8).models
    ('a', 'b')
    """

    models: tuple[str, ...]
    shares: tuple[float, ...]
    quality: float
    cost_usd: float | None
    latency_s: float | None
    utility: float


def _find_interval(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of n cases."""
    middle, scale = share + _Z95**2 / (2 * n), 1 + _Z95**2 / n
    half = _Z95 * math.sqrt(share * (1 - share) / n + _Z95**2 / (4 * n * n))
    return round((middle - half) / scale, 3), round((middle + half) / scale, 3)


def _check_model(model: object) -> None:
    if not isinstance(model, str) or not model:
        raise InputError(f"model must be the name of a model, got {model!r}")


def _check_share(name: str, value: object) -> None:
    _check_number(name, value, 0, 1)


def _check_number(name: str, value: object, least: float, most: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and least <= value <= most and value != math.inf):  # type: ignore[operator]  # it is a number here
        raise InputError(f"{name} must be a number between {least:g} and {most:g}, got {value!r}")
