"""What callers may ask for, and what is said where they ask for something else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, get_args

from router.errors import InputError
from router.risk import RiskCurve
from router.scoring import UNCALIBRATED
from router.serving import Serving
from router.strategies import FOCUS_AREAS, make_strategy
from router.types import Preference, Strategy, TierChoice

_CONFIDENCE = 0.95
_UNMEASURED = RiskCurve(reference="", n=0, tolerances=(), losses=(), deviations=(), savings=())


class RouteOptions(TypedDict, total=False):
    """The options of `Router.route`, which tells what they mean."""

    key: str
    focus: str | None
    prefer: str | None
    quality_floor: float | None
    cost_per_point: float | None
    max_loss: float | None
    confidence: float | None
    max_cost_usd: float | None
    allowed: Collection[str] | None
    needs: Collection[str]
    tier: TierChoice | None


class CallOptions(RouteOptions, total=False):
    """The options of `Router.complete`, which tells what they mean."""

    request: Mapping[str, object]
    fallbacks: Sequence[str] | None


class RouterOptions(TypedDict, total=False):
    """The options of a `Router`, which tells what they mean."""

    strategy: str | Strategy
    prefer: str | None
    quality_floor: float | None
    cost_per_point: float | None
    max_loss: float | None
    confidence: float | None
    max_cost_usd: float | None
    serving: Serving | None
    learn: bool
    cache_size: int
    tier: TierChoice


def find_focus(focus: str, labels: Sequence[str]) -> Collection[str]:
    """Return the tasks of a named area, or the task itself."""
    tasks = [task for task in FOCUS_AREAS.get(focus, (focus,)) if task in labels] if isinstance(focus, str) else []
    if not tasks:
        raise InputError(f"focus must be one of {[*FOCUS_AREAS, *labels]}, was {focus!r}")
    return tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """How quality is set against cost: by one of `prefer`, `quality_floor`, `cost_per_point` and `max_loss`.

    Attributes:
        prefer: A named preference.
        quality_floor: See `Preference`.
        cost_per_point: USD that a point of quality, 0.01 of expected score, is worth.
        max_loss: Expected score that may be lost on average against the best single model, and
        confidence: how sure that must be; None: 0.95.
    """

    prefer: str | None = None
    quality_floor: float | None = None
    cost_per_point: float | None = None
    max_loss: float | None = None
    confidence: float | None = None

    def or_else(self, other: Dial) -> Dial:
        """Return this one, or where it sets nothing the other, with this one's confidence if it has any."""
        if self._set():
            return self
        return other if self.confidence is None else replace(other, confidence=self.confidence)

    def find_preference(self, presets: Mapping[str, Preference], risk: RiskCurve | None) -> Preference:
        """Return what is to be weighed, or what is good enough.

        Raises:
            InputError: If a value is out of range, two of them are set, or there is nothing to bound a loss by.
        """
        named = self._set()
        if len(named) > 1:
            raise InputError(f"set one of prefer, quality_floor, cost_per_point and max_loss, were {', '.join(named)}")
        if self.max_loss is not None:
            return _bound_loss(risk, self.max_loss, _CONFIDENCE if self.confidence is None else self.confidence)
        if self.confidence is not None:
            raise InputError(f"confidence is that of max_loss, was {self.confidence!r} without it; set max_loss, too")
        if self.quality_floor is not None:
            return _check_number("quality_floor", "in [0, 1]", self.quality_floor, lambda v: Preference(quality_floor=v))
        if self.cost_per_point is not None:
            return _check_number("cost_per_point", "above 0", self.cost_per_point, lambda v: Preference(usd_per_point=v))
        prefer = "balanced" if self.prefer is None else self.prefer
        if not isinstance(prefer, str) or prefer not in presets:
            raise InputError(f"prefer must be one of {list(presets)}, was {prefer!r}")
        return presets[prefer]

    def check(self) -> None:
        """See that one is set at most, and in range; which model folder it is for does not matter."""
        self.find_preference(UNCALIBRATED.presets, _UNMEASURED)

    def _set(self) -> list[str]:
        names = ("prefer", "quality_floor", "cost_per_point", "max_loss")
        return [name for name in names if getattr(self, name) is not None]


def _bound_loss(risk: RiskCurve | None, max_loss: float, confidence: float) -> Preference:
    if risk is None:
        raise InputError(
            "max_loss needs a model folder that was trained on a benchmark with prompts, on which losses were measured; "
            "train one with `llm-router-train train`, or use quality_floor"
        )
    for name, value in (("max_loss", max_loss), ("confidence", confidence)):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{name} must be a number, was {value!r}")
    return Preference(reference=risk.reference, tolerance=risk.choose(max_loss, confidence))


def _check_number(name: str, rule: str, value: float, make: Callable[[float], Preference]) -> Preference:
    try:
        return make(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} must be a number {rule}, was {value!r}") from error


def find_strategy(strategy: str | Strategy) -> tuple[str, Strategy]:
    """Return a strategy and what to call it; one made by name is new."""
    if callable(strategy):
        return getattr(strategy, "__name__", type(strategy).__name__), strategy
    return strategy, make_strategy(strategy)


def check_ranking(ranking: Sequence[str], candidates: Sequence[str], strategy: str) -> tuple[str, ...]:
    """Return a ranking, if it names every candidate exactly once."""
    if len(ranking) != len(candidates) or set(ranking) != set(candidates):
        raise InputError(
            f"strategy {strategy!r} must rank every candidate exactly once, gave {len(ranking)} of {len(candidates)}"
        )
    return tuple(ranking)


def check_names(names: Collection[str], option: str) -> Collection[str]:
    """Return a collection of names; a single string is none, however easily it is taken for one."""
    if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{option} must be a collection of names, such as {{'a', 'b'}}, was {names!r}")
    return names


def check_max_cost(max_cost_usd: float | None) -> float | None:
    """Return a limit of cost in USD, not negative; None: no limit."""
    if max_cost_usd is None or (isinstance(max_cost_usd, (int, float)) and max_cost_usd >= 0):
        return max_cost_usd
    raise InputError(f"max_cost_usd must be a number that is not negative, was {max_cost_usd!r}")


def check_cache_size(cache_size: int) -> int:
    """Return how many readings to keep, not negative."""
    if isinstance(cache_size, int) and not isinstance(cache_size, bool) and cache_size >= 0:
        return cache_size
    raise InputError(f"cache_size must be a whole number that is not negative, was {cache_size!r}")


def check_tier(tier: TierChoice) -> TierChoice:
    """Return which tiers of the classifier to ask."""
    if tier in get_args(TierChoice):
        return tier
    raise InputError(f"tier must be one of {list(get_args(TierChoice))}, was {tier!r}")
