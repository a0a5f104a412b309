"""Ways to rank the candidates, by name."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType

from router.errors import InputError
from router.strategies.bands import Banded
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
}
# Makers instead of strategies, since some have state and each router gets its own; a live view of what is registered.
STRATEGIES: Mapping[str, Callable[[], Strategy]] = MappingProxyType(_makers)


def register(name: str, maker: Callable[[], Strategy]) -> None:
    """Add a strategy, to be made by name from then on; the same maker again changes nothing. Thread-safe.

    >>> register("by-reversed-name", lambda: lambda context: context.candidates[::-1])

    Args:
        name: Without `>` and outer spaces.
        maker: Returns a strategy, a new one for each call where it has state.

    Raises:
        InputError: If the name is taken or cannot be, or the maker needs arguments.
    """
    if not name or name != name.strip() or ">" in name:
        raise InputError(f"the name of a strategy must not be empty, nor have '>' or outer spaces, was {name!r}")
    try:
        inspect.signature(maker).bind()
    except TypeError as error:
        raise InputError(f"the maker of {name!r} must take no arguments; of a function make 'lambda: function'") from error
    if _makers.setdefault(name, maker) is not maker:
        raise InputError(f"the name of a strategy must be new, {name!r} is taken; choose another")


def make_strategy(spec: str) -> Strategy:
    """Make a strategy by its name, or a composition of several, new each time.

    In `contextual>dynamic`, `dynamic` ranks the band of about equals that `contextual` finds best (`Banded`); what stands
    right of a `>` may be such a composition again. `sticky>` keeps a session at what the right side chose (`Sticky`); alone
    it is `sticky>contextual`.

    Raises:
        InputError: If a name is unknown; names the known ones.
    """
    names = [name.strip() for name in spec.split(">")] if isinstance(spec, str) else []
    if not names or not all(name in _makers for name in names):
        raise InputError(f"strategy must be a function, one of {list(_makers)} or several joined by '>', was {spec!r}")
    strategy = _makers[names.pop()]()
    for name in reversed(names):
        strategy = Sticky(strategy) if name == "sticky" else Banded(_makers[name](), strategy)
    return strategy


__all__ = [
    "FOCUS_AREAS",
    "STRATEGIES",
    "Banded",
    "Dynamic",
    "LeastBusy",
    "ModelAware",
    "RoundRobin",
    "SmoothWeighted",
    "Sticky",
    "WeightedRandom",
    "consistent_hash",
    "contextual",
    "make_strategy",
    "register",
    "weighted_key",
]
