"""Contexts of equal models that differ only in the live facts of a test, and counts of which model came first."""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from router import RoutingContext, Strategy
from tests.router.fakes import context, score


class Yielding(str):
    """A name that lets another thread run each time a dictionary looks it up."""

    __slots__ = ()

    def __hash__(self) -> int:
        time.sleep(0)
        return super().__hash__()


def fleet(names: Sequence[str], **facts: object) -> RoutingContext:
    """Return models with quality and utility 0.5. `facts` are fields of the context, such as `weights={"a": 2.0}`."""
    return replace(context(*(score(name, 0.5) for name in names)), **facts)  # type: ignore[arg-type]


def by_utility(utilities: Mapping[str, float], **facts: object) -> RoutingContext:
    """Return models with the given quality, which is also their utility."""
    return replace(context(*(score(name, utility) for name, utility in utilities.items())), **facts)  # type: ignore[arg-type]


def chance(seed: int = 0) -> random.Random:
    return random.Random(seed)  # noqa: S311 - no secret depends on it


def firsts(strategy: Strategy, asked: RoutingContext, calls: int) -> list[str]:
    return [strategy(asked)[0] for _ in range(calls)]


def fits(counts: Counter[str], shares: Mapping[str, float]) -> bool:
    """Return whether counts are likely under shares (chi-square, p > 1e-6). Shares may have any sum; 0 allows no count."""
    from scipy.stats import chisquare

    n, total = counts.total(), sum(shares.values())
    possible = [name for name, share in shares.items() if share > 0]
    if any(name not in possible for name in counts):
        return False
    expected = [n * shares[name] / total for name in possible]
    return len(possible) == 1 or chisquare([counts[name] for name in possible], expected).pvalue > 1e-6
