"""What callers may ask for, and what is said where they ask for something else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypedDict

from router.errors import InputError
from router.scoring import PREFERENCES
from router.serving import Serving
from router.strategies import FOCUS_AREAS, make_strategy
from router.types import Preference, Strategy


class RouteOptions(TypedDict, total=False):
    """The options of `Router.route`, which tells what they mean."""

    key: str
    focus: str | None
    prefer: str | None
    quality_floor: float | None
    max_cost_usd: float | None
    allowed: Collection[str] | None
    needs: Collection[str]


class CallOptions(RouteOptions, total=False):
    """The options of `Router.complete`, which tells what they mean."""

    request: Mapping[str, object]
    fallbacks: Sequence[str] | None


class RouterOptions(TypedDict, total=False):
    """The options of a `Router`, which tells what they mean."""

    strategy: str | Strategy
    prefer: str
    quality_floor: float | None
    max_cost_usd: float | None
    serving: Serving | None
    learn: bool


def find_focus(focus: str, labels: Sequence[str]) -> Collection[str]:
    """Return the tasks of a named area, or the task itself."""
    tasks = [task for task in FOCUS_AREAS.get(focus, (focus,)) if task in labels] if isinstance(focus, str) else []
    if not tasks:
        raise InputError(f"focus must be one of {[*FOCUS_AREAS, *labels]}, was {focus!r}")
    return tasks


def find_preference(prefer: str, quality_floor: float | None) -> Preference:
    """Return what a point of quality is worth; a floor takes the place of the named preference."""
    if not isinstance(prefer, str) or prefer not in PREFERENCES:
        raise InputError(f"prefer must be one of {list(PREFERENCES)}, was {prefer!r}")
    if quality_floor is None:
        return PREFERENCES[prefer]
    try:
        return Preference(quality_floor=quality_floor)
    except (ValueError, TypeError) as error:
        raise InputError(f"quality_floor must be a number in [0, 1], was {quality_floor!r}") from error


def find_strategy(strategy: str | Strategy) -> tuple[str, Strategy]:
    """Return a strategy and what to call it; one made by name is new."""
    if callable(strategy):
        return getattr(strategy, "__name__", type(strategy).__name__), strategy
    return strategy, make_strategy(strategy)


def check_ranking(ranking: Sequence[str], candidates: Sequence[str], strategy: str) -> tuple[str, ...]:
    """Return a ranking, if it names every candidate exactly once."""
    if sorted(ranking) != sorted(candidates):
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
