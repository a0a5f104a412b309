"""The name of a strategy comes in, the strategy goes out."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType

from router.errors import InputError
from router.strategies.bandit import Bandit
from router.strategies.bands import Banded
from router.strategies.cascade import cascade
from router.strategies.consistent_hash import consistent_hash
from router.strategies.contextual import contextual
from router.strategies.dynamic import Dynamic
from router.strategies.least_busy import LeastBusy
from router.strategies.model_aware import FOCUS_AREAS, ModelAware
from router.strategies.round_robin import RoundRobin
from router.strategies.sticky import Sticky
from router.strategies.weighted import SmoothWeighted, WeightedRandom, weighted_key
from router.types import Strategy

_makers: dict[str, Callable[[], Strategy]] = {
    "contextual": lambda: contextual,
    "model-aware": ModelAware,
    "round-robin": RoundRobin,
    "weighted": SmoothWeighted,
    "weighted-random": WeightedRandom,
    "weighted-key": lambda: weighted_key,
    "dynamic": Dynamic,
    "least-busy": LeastBusy,
    "consistent-hash": lambda: consistent_hash,
    "sticky": Sticky,
    "cascade": lambda: cascade,
    "bandit": Bandit,
}
# A live view of the registered makers. Makers instead of strategies, because some have state and each router gets its own.
STRATEGIES: Mapping[str, Callable[[], Strategy]] = MappingProxyType(_makers)


def register_strategy(name: str, maker: Callable[[], Strategy]) -> None:
    """Register a strategy under a name. The same maker again changes nothing. Thread-safe.

    >>> register_strategy("by-reversed-name", lambda: lambda context: context.candidates[::-1])

    Args:
        name: The name, without `>` and outer spaces.
        maker: Returns the strategy. If it has state, each call must return a new one.

    Raises:
        InputError: If the name is taken or invalid, or the maker needs arguments.
    """
    if not name or name != name.strip() or ">" in name:
        raise InputError(f"the name of a strategy must not be empty or contain '>' or outer spaces, got {name!r}")
    try:
        inspect.signature(maker).bind()
    except TypeError as error:
        raise InputError(f"the maker of {name!r} must take no arguments; for a function give 'lambda: function'") from error
    # setdefault() is atomic, so two threads cannot both take a name.
    if _makers.setdefault(name, maker) is not maker:
        raise InputError(f"the name of a strategy must be new, but {name!r} is taken; choose another")


def make_strategy(spec: str) -> Strategy:
    """Return a new strategy by its name, or a composition of several.

    In `contextual>dynamic`, `dynamic` ranks the band of about equal models that `contextual` finds best (`Banded`). The
    right side of a `>` may be a composition itself. `sticky>` keeps a session at the choice of the right side (`Sticky`).
    `sticky` alone means `sticky>contextual`. A cascade asks several models in a session, so `sticky` cannot precede it.

    Args:
        spec: A registered name, or several joined by `>`.

    Raises:
        InputError: If a name is unknown, which lists the known ones, or `cascade` follows `sticky`.
    """
    names = [name.strip() for name in spec.split(">")] if isinstance(spec, str) else []
    if not names or not all(name in _makers for name in names):
        raise InputError(f"strategy must be a function, one of {list(_makers)} or several joined by '>', got {spec!r}")
    if "sticky" in names and "cascade" in names[names.index("sticky") :]:
        raise InputError(f"sticky keeps a session on one model, so no cascade can follow it, got {spec!r}; use one of them")
    strategy = _makers[names.pop()]()
    # From the right, because each `>` wraps everything to the right of it.
    for name in reversed(names):
        strategy = Sticky(strategy) if name == "sticky" else Banded(_makers[name](), strategy)
    return strategy


def find_sticky(strategy: Strategy) -> list[Sticky]:
    """Return the parts of a strategy that remember sessions."""
    if isinstance(strategy, Banded):
        return [*find_sticky(strategy.left), *find_sticky(strategy.right)]
    return [strategy] if isinstance(strategy, Sticky) else []


__all__ = [
    "FOCUS_AREAS",
    "STRATEGIES",
    "Banded",
    "Bandit",
    "Dynamic",
    "LeastBusy",
    "ModelAware",
    "RoundRobin",
    "SmoothWeighted",
    "Sticky",
    "WeightedRandom",
    "cascade",
    "consistent_hash",
    "contextual",
    "find_sticky",
    "make_strategy",
    "register_strategy",
    "weighted_key",
]
