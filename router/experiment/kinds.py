"""The three kinds of experiment as frozen values: a shadow, an A/B test, a bandit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from router.errors import InputError
from router.options import RouteKeywords, RouteOptions
from router.strategies.bandit import Bandit as BanditStrategy

if TYPE_CHECKING:
    from router.calls import Completion
    from router.types import Strategy

# The arm that the others are compared with.
CONTROL = "control"
_DAY_S = 86_400.0
_FEWEST_ARMS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowAnswer:
    """The answer that a caller got, and that of the second model, which nobody saw.

    Attributes:
        served: The answer that the caller got.
        shadow: The second answer. Give it to `Router.feedback` with its score. None if the call failed.
        problem: Kind of the error. Empty if there is a second answer.

    >>> from router import FakeExecutor, Router, Serving, Shadow
    >>> pairs = []
    >>> shadow = Shadow(model="gpt-4.1-mini", usd=1.0, tell=pairs.append)
    >>> router = Router.load(serving=Serving(executor=FakeExecutor()), experiment=shadow, learn=True)
    >>> answer = router.complete("hello", prefer="quality")
    >>> router.close()  # waits for the calls under way
    >>> pairs[0].served.model == answer.model, pairs[0].shadow.model
    (True, 'gpt-4.1-mini')
    >>> router.feedback(pairs[0].shadow, 1.0)
    """

    served: Completion
    shadow: Completion | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A second model also answers a share of the requests, in the background. Its answers are logged and not shown.

    The call begins after the answer is complete. It never delays the request or lets it fail. It is left out if the request
    forbids the model, the model cannot take it, or a limit here is reached. Its cost also counts in `Serving.spend`.

    Attributes:
        model: The second model. Its price must be known.
        usd: Most USD that these calls may cost in a period. Calls under way count as expected.
        share: Share of the requests, in (0, 1].
        window_s: Length of the period in seconds.
        most_at_once: Most calls at the same time. Beyond it, requests are left out and do not wait.
        tell: Called with each pair of answers, in the background. The gateway writes them into its log instead.

    Raises:
        InputError: If a value is out of range.

    >>> Shadow(model="gpt-4.1-mini", usd=2.0, share=0.1).most_at_once
    4
    """

    model: str
    usd: float
    share: float = 1.0
    window_s: float = _DAY_S
    most_at_once: int = 4
    tell: Callable[[ShadowAnswer], object] | None = None

    def __post_init__(self) -> None:
        _require(isinstance(self.model, str) and bool(self.model), "model of a shadow must be the name of one", self.model)
        for name in ("usd", "window_s"):
            _require_number(f"{name} of a shadow", getattr(self, name), "above 0", lambda value: value > 0)
        _require_number("share of a shadow", self.share, "above 0 and at most 1", lambda value: 0 < value <= 1)
        at_once: Any = self.most_at_once
        whole = isinstance(at_once, int) and not isinstance(at_once, bool) and at_once > 0
        _require(whole, "most_at_once of a shadow must be a whole number of 1 or more", at_once)


@dataclass(frozen=True, slots=True, kw_only=True)
class AbTest:
    """Requests are split between arms, which are options of `route`. The same key always gets the same arm.

    A request takes part if it sets none of the options that the arms set, and may choose between models. The arm replaces
    the router's default.

    Attributes:
        name: Name of the test. It salts the hash, so that two tests split the keys independently.
        arms: The options of each arm. One is named `control`. An arm without options is the router as it is.
        shares: Share of each arm relative to the others, above 0. An arm that is missing has 1.

    Raises:
        InputError: If an arm has an invalid option, or `control` or a second arm is missing.

    >>> from router import Router
    >>> test = AbTest(name="cheap-dial", arms={"control": {}, "cheap": {"prefer": "cheap"}})
    >>> router = Router.load(experiment=test)
    >>> {router.route("hello", key="user-7").assignment.arm for _ in range(9)}
    {'cheap'}
    """

    name: str
    arms: Mapping[str, RouteKeywords]
    shares: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(isinstance(self.name, str) and bool(self.name), "name of an A/B test must be a text", self.name)
        arms: Any = self.arms
        mapped = isinstance(arms, Mapping) and all(isinstance(options, Mapping) for options in arms.values())
        _require(mapped, "arms must map names to options, such as {'control': {}, 'cheap': {'prefer': 'cheap'}}", arms)
        named = CONTROL in arms and len(arms) >= _FEWEST_ARMS
        _require(named, f"arms must be two or more, one of them named {CONTROL!r}", list(arms))
        for arm, options in arms.items():
            try:
                RouteOptions.of(options)
            except InputError as error:
                raise InputError(f"arms.{arm}: {error}") from error
            _require("key" not in options, f"arms.{arm} must not set key, which the split reads", options.get("key"))
        _require(isinstance(self.shares, Mapping), "shares must map arms to numbers", self.shares)
        unknown = [arm for arm in self.shares if arm not in arms]
        _require(not unknown, f"shares must name arms, which are {list(arms)}", unknown)
        for arm, share in self.shares.items():
            _require_number(f"shares.{arm}", share, "above 0", lambda value: value > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandit:
    """The strategy `bandit` with its limits, on a router that learns from feedback. See `router.strategies.bandit`.

    Attributes:
        quality_floor: Share of the best candidate's expected quality, in [0, 1], that a model must reach to be tried. The
            dial `quality_floor` replaces it.
        confidence: How sure that must be, from 0.5 to below 1.
        memory: Answers to remember per model and task. Older feedback fades, and so does the benchmark.

    Raises:
        InputError: If a value is out of range.

    >>> from router import Router
    >>> router = Router.load(experiment=Bandit(quality_floor=0.95), allowed={"gpt-5.5", "gpt-4.1-mini"})
    >>> router.route("hello").strategy
    'bandit'
    """

    quality_floor: float = 0.9
    confidence: float = 0.9
    memory: float = 500.0

    def __post_init__(self) -> None:
        BanditStrategy(self.quality_floor, confidence=self.confidence)
        _require_number("memory of a bandit", self.memory, "above 0", lambda value: value > 0)

    def replace(self, strategy: str | Strategy) -> Strategy:
        """Return the strategy of the bandit.

        Args:
            strategy: The strategy that the router was asked for.

        Raises:
            InputError: If it is another one.
        """
        if strategy not in ("contextual", "bandit"):
            raise InputError(f"a bandit is a strategy itself, got strategy={strategy!r} too; leave one of them out")
        return BanditStrategy(self.quality_floor, confidence=self.confidence)


Experiment = Shadow | AbTest | Bandit


def _require(holds: bool, rule: str, value: object) -> None:
    if not holds:
        raise InputError(f"{rule}, got {value!r}")


def _require_number(name: str, value: Any, rule: str, holds: Callable[[float], bool]) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    _require(is_number and holds(value), f"{name} must be a number {rule}", value)
