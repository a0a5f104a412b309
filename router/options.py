"""Turns keywords from Python, a configuration file or the command line into one frozen value, `RouteOptions`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from numbers import Real
from typing import Any, TypedDict, TypeVar, get_args

from router.errors import InputError
from router.score.risk import RiskCurve
from router.types import Preference, TierChoice

_Function = TypeVar("_Function", bound=Callable[..., Any])
# Options of which a call may set at most one.
DIALS = ("prefer", "quality_floor", "usd_per_point", "max_loss")
_DEFAULT_CONFIDENCE = 0.95


class RouteKeywords(TypedDict, total=False):
    """The keywords that become `RouteOptions`, which documents them. Type checkers read this."""

    prefer: str | None
    quality_floor: float | None
    usd_per_point: float | None
    max_loss: float | None
    risk_aversion: float | None
    confidence: float | None
    max_cost_usd: float | None
    allowed: Collection[str] | None
    needs: Collection[str]
    focus: str | None
    key: str
    tier: TierChoice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """The options of `route`, `aroute`, `route_many`, `complete` and `acomplete`, which take them as keywords.

    `Router(...)` and `Router.load(...)` take the same keywords as defaults: an option that a call leaves out has the
    router's value. Set at most one of `prefer`, `quality_floor`, `usd_per_point` and `max_loss`.
    A dial in a call replaces the router's dial. A call cannot switch a default off.

    Attributes:
        prefer: A named balance of quality, cost and time: `quality`, `balanced` (the default), `cheap` or `fast`.
        quality_floor: Share of the best candidate's expected quality, in [0, 1]. The cheapest model that reaches it wins.
        usd_per_point: USD that one more point of expected quality (0.01) is worth, above 0.
        max_loss: Expected quality, in [0, 1], that may be lost on average against the best single model. The cheapest model
            within that bound wins. It needs a model folder that was trained on a benchmark with prompts.
        risk_aversion: Standard errors that are taken off the expected quality of each model, 0 or more. 0.5 by default. The
            larger it is, the more a model must be measured before it is chosen. It does not count with `max_loss`, whose
            bound was measured without it.
        confidence: How sure the bound of `max_loss` must be, between 0 and 1. 0.95 by default. It needs `max_loss`.
        max_cost_usd: Models that are expected to cost more USD for this prompt are excluded.
        allowed: Names of the models that may be chosen. None: the router's default, or else all.
        needs: Capabilities that the model must have, such as `vision` or `tools`. Parts of the messages add `vision`,
            `audio`, `video` or `file`.
        focus: Only this task, or the tasks of this area (creative, technical, informative, language, ethical), count.
        key: A user or a session, for the strategies that keep a key on one model.
        tier: `auto`: the first tier of the classifier answers if it is sure, or if only one model can be chosen. `first`: it
            answers every prompt. `full`: the full classifier reads every prompt. None: the router's default, or else `auto`.

    Raises:
        InputError: If a value has the wrong type or is out of range, or two dials are set.

    >>> from router import Router, route
    >>> route("write a haiku about rain", prefer="cheap", allowed={"gpt-5.5", "gpt-4.1-mini"}).model
    'gpt-4.1-mini'
    >>> Router.load(allowed={"gpt-5.5", "gpt-4.1-mini"}).route("write a haiku about rain", prefer="quality").model
    'gpt-5.5'
    """

    prefer: str | None = None
    quality_floor: float | None = None
    usd_per_point: float | None = None
    max_loss: float | None = None
    risk_aversion: float | None = None
    confidence: float | None = None
    max_cost_usd: float | None = None
    allowed: Collection[str] | None = None
    needs: Collection[str] = ()
    focus: str | None = None
    key: str = ""
    tier: TierChoice | None = None

    def __post_init__(self) -> None:
        dials = self._dials()
        if len(dials) > 1:
            raise InputError(f"set at most one of {', '.join(DIALS)}, got {' and '.join(dials)}")
        if self.prefer is not None and not isinstance(self.prefer, str):
            raise InputError(f"prefer must be a name such as 'cheap', got {self.prefer!r}")
        for name, rule, holds in _NUMBERS:
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and holds(value)):
                raise InputError(f"{name} must be a number {rule}, got {value!r}")
        if self.allowed is not None:
            _check_names("allowed", self.allowed)
        _check_names("needs", self.needs)
        if self.focus is not None and not isinstance(self.focus, str):
            raise InputError(f"focus must be the name of an area or a task, got {self.focus!r}")
        if not isinstance(self.key, str):
            raise InputError(f"key must be a string, such as str(user_id), got {type(self.key).__name__}")
        if self.tier is not None and self.tier not in get_args(TierChoice):
            raise InputError(f"tier must be one of {list(get_args(TierChoice))}, got {self.tier!r}")

    @classmethod
    def of(cls, keywords: Mapping[str, Any]) -> RouteOptions:
        """Return the options that keywords name.

        Raises:
            InputError: If a keyword is unknown or a value is invalid.
        """
        known = [field.name for field in fields(cls)]
        unknown = [name for name in keywords if name not in known]
        if unknown:
            raise InputError(f"{describe_unknown_name(unknown[0], known)}; the options are {', '.join(known)}")
        return cls(**keywords)

    def given(self) -> dict[str, Any]:
        """Return the options that differ from their default, by name."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}

    def with_defaults(self, defaults: RouteOptions) -> RouteOptions:
        """Return these options, with the defaults for those that are not given.

        A dial replaces the default's dial and its confidence. A confidence alone changes that of the default's `max_loss`.
        """
        given = self.given()
        if not given:
            return defaults
        if self._dials():
            defaults = replace(defaults, prefer=None, quality_floor=None, usd_per_point=None, max_loss=None, confidence=None)
        return replace(defaults, **given)

    def find_preference(self, presets: Mapping[str, Preference], risk: RiskCurve | None) -> Preference:
        """Return how quality is weighed against cost and time.

        Args:
            presets: The named preferences.
            risk: What cheaper models lost on held-out prompts. None if the model folder has no such measurement.

        Raises:
            InputError: If `prefer` is unknown, `confidence` lacks `max_loss`, or `max_loss` lacks a measurement.
        """
        if self.max_loss is not None:
            return self._bound_loss(risk, self.max_loss)
        if self.confidence is not None:
            raise InputError(
                f"confidence applies only together with max_loss (got confidence={self.confidence!r}); set max_loss too"
            )
        preference = self._find_dial(presets)
        return preference if self.risk_aversion is None else replace(preference, risk_aversion=self.risk_aversion)

    def _find_dial(self, presets: Mapping[str, Preference]) -> Preference:
        if self.quality_floor is not None:
            return Preference(quality_floor=self.quality_floor)
        if self.usd_per_point is not None:
            return Preference(usd_per_point=self.usd_per_point)
        prefer = "balanced" if self.prefer is None else self.prefer
        if prefer not in presets:
            raise InputError(f"prefer must be one of {list(presets)}, got {prefer!r}")
        return presets[prefer]

    def _bound_loss(self, risk: RiskCurve | None, max_loss: float) -> Preference:
        if risk is None:
            raise InputError(
                "max_loss needs a model folder that was trained on a benchmark with prompts; train one with "
                "`llm-router-train train`, or use quality_floor"
            )
        confidence = _DEFAULT_CONFIDENCE if self.confidence is None else self.confidence
        return Preference(reference=risk.reference, tolerance=risk.choose(max_loss, confidence), risk_aversion=0.0)

    def _dials(self) -> list[str]:
        return [name for name in DIALS if getattr(self, name) is not None]


_NUMBERS: tuple[tuple[str, str, Callable[[float], bool]], ...] = (
    ("quality_floor", "between 0 and 1", lambda value: 0 <= value <= 1),
    ("usd_per_point", "above 0", lambda value: value > 0),
    ("max_loss", "between 0 and 1", lambda value: 0 <= value <= 1),
    ("risk_aversion", "of 0 or more", lambda value: 0 <= value < math.inf),
    ("confidence", "above 0 and below 1", lambda value: 0 < value < 1),
    ("max_cost_usd", "of 0 or more", lambda value: value >= 0),
)


def describe_unknown_name(name: str, known: Sequence[str]) -> str:
    """Return a sentence about an option that does not exist, with the nearest one that does."""
    nearest = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"unknown option {name!r}" + (f"; the nearest one is {nearest[0]!r}" if nearest else "")


def takes_options(function: _Function) -> _Function:
    """Show the fields of `RouteOptions` in the signature of a function that takes them as `**options`.

    `help()` and notebooks then list every option with its default.
    """
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    shown = list(inspect.signature(RouteOptions).parameters.values())
    function.__signature__ = signature.replace(parameters=[*kept, *shown])  # type: ignore[attr-defined] # read by inspect
    return function


def _is_number(value: object) -> bool:
    # numpy's numbers are registered as Real, too.
    return not isinstance(value, bool) and isinstance(value, Real) and not math.isnan(value)


def _check_names(option: str, names: Collection[str]) -> None:
    # A single string is a collection of its letters, which nobody means.
    if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{option} must be a collection of names, such as {{'a', 'b'}}, got {names!r}")
