"""Curves of quality against cost: their convex hull, AIQ, cost at a quality; and the bootstrap over groups of prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.datasets import DatasetError
from training.evaluate import RESAMPLES, Interval
from training.outcomes import Outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Shares of the best single model's quality whose cost is told.
SHARES = (0.95, 0.98, 1.0)
# Sums in another order differ by less.
TOLERANCE = 1e-9
_LEVELS = (0.025, 0.975)
_FEWEST_GROUPS = 2
_WEIGHTS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Complete outcomes of n prompts and m models: scores, costs (0 where none are known), and each prompt's group."""

    score: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    group: NDArray[np.int64]
    priced: bool
    seed: int


def complete_prompts(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Return which prompts have a score, and where costs are known a cost, of every model: shape (n,).

    Raises:
        DatasetError: If they make up fewer than two groups.
    """
    missing = np.isnan(outcomes.score)
    if _is_priced(outcomes):
        missing |= np.isnan(outcomes.cost_usd)
    complete = np.asarray(~missing.any(axis=1))
    groups = {outcomes.groups[i] for i in np.flatnonzero(complete).tolist()}
    if len(groups) < _FEWEST_GROUPS:
        raise DatasetError(
            "routing is judged on prompts where every model has a score (and a cost, if costs are given): must be at least "
            f"2 in different groups, found {len(groups)} among {len(complete)} prompts; measure more, or leave a model out"
        )
    return complete


def _is_priced(outcomes: Outcomes) -> bool:
    """Return whether costs are known: some of every model's, and not all of them 0."""
    known = ~np.isnan(outcomes.cost_usd)
    return bool(known.any(axis=0).all() and outcomes.cost_usd[known].any())


def tabulate(kept: Outcomes, seed: int) -> Table:
    """Make a table of outcomes that are complete; seed: of the bootstrap."""
    priced = _is_priced(kept)
    return Table(
        score=kept.score,
        cost_usd=kept.cost_usd if priced else np.zeros_like(kept.score),
        group=np.unique(kept.groups, return_inverse=True)[1],
        priced=priced,
        seed=seed,
    )


def find_best(quality: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of the best, of several the cheapest, along the last axis."""
    return np.lexsort((cost, -quality))[..., 0]


def gather(values: NDArray[np.float64], choices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values of what is chosen, shape (settings, n)."""
    return values[np.arange(len(values)), choices]


def _draw_weights(table: Table) -> Iterator[NDArray[np.float64]]:
    """Yield prompts' weights, rows that sum to 1: equal ones, then those of each resample; the same for every statistic."""
    n, groups = len(table.group), int(table.group.max()) + 1
    yield np.full((1, n), 1 / n)
    rng = np.random.default_rng(table.seed)
    rows = max(1, _WEIGHTS_AT_ONCE // n)
    for start in range(0, RESAMPLES, rows):
        drawn = (rng.integers(0, groups, groups) for _ in range(start, min(start + rows, RESAMPLES)))
        counts = np.stack([np.bincount(sample, minlength=groups)[table.group] for sample in drawn])
        yield counts / counts.sum(axis=1, keepdims=True)


def resample(statistics: Callable[[NDArray[np.float64]], NDArray[np.float64]], table: Table) -> NDArray[np.float64]:
    """Return k statistics, shape (1 + resamples, k): of all prompts, then of every resample."""
    return np.concatenate([statistics(weights) for weights in _draw_weights(table)])


def interval_of(figures: NDArray[np.float64]) -> Interval:
    """Return the first figure with the percentiles of the others; those that are not defined (NaN) are left out.

    Percentiles are figures that occur, the outer ones of two, so that infinite ones may be among them.
    """
    drawn = np.sort(figures[1:][~np.isnan(figures[1:])])
    low, high = (level * (len(drawn) - 1) for level in _LEVELS)
    return Interval(value=float(figures[0]), low=float(drawn[math.floor(low)]), high=float(drawn[math.ceil(high)]))


def convex_hull(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the corners of the non-decreasing convex hull of (cost, quality), cheapest first (RouterBench, section 3.2).

    What is reached by mixing settings at random, and by taking the cheaper of two that are as good.

    >>> convex_hull([(1, 0.5), (2, 0.4), (3, 0.9), (4, 0.8)])
    [(1, 0.5), (3, 0.9)]
    """
    hull: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if hull and y <= hull[-1][1]:
            continue
        while len(hull) > 1 and _is_below(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y))
    return hull


def _is_below(left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]) -> bool:
    """Return whether the middle point lies on or below the line from left to right."""
    return (middle[1] - left[1]) * (right[0] - left[0]) <= (right[1] - left[1]) * (middle[0] - left[0])


def average_quality(hull: Sequence[tuple[float, float]], low: float, high: float) -> float:
    """Return AIQ: the hull's area from cost `low` to `high` over that span (RouterBench, arXiv 2403.12031, equation 1).

    RouterBench leaves the span open; here it reaches from the cheapest single model's cost to the best one's. A hull that
    starts above `low` counts its first quality down to it, one that ends below `high` its last up to it. Where the span is
    0, its quality at that cost.
    """
    costs, qualities = np.array(hull).T
    inner = costs[(costs > low) & (costs < high)]
    at = np.concatenate([[low], inner, [high]])
    heights = np.interp(at, costs, qualities)
    return float(area_below(heights, at) / (high - low)) if high > low else float(heights[0])


def area_below(heights: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area under straight lines between points, along the last axis."""
    return np.asarray(((heights[..., 1:] + heights[..., :-1]) / 2 * np.diff(at)).sum(axis=-1))


def cost_to_reach(hull: Sequence[tuple[float, float]], quality: float) -> float:
    """Return the least cost on the hull at which a quality is reached; infinite where it never is."""
    costs, qualities = zip(*hull, strict=True)
    return float(np.interp(quality, qualities, costs)) if quality <= qualities[-1] + TOLERANCE else math.inf


def curve_figures(table: Table, choices: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return AIQ, cost at each of `SHARES`, PerfGain and CostSave, a row for each of the weights."""
    qualities, costs = weights @ table.score, weights @ table.cost_usd
    best = find_best(qualities, costs)[:, None]
    anchors = np.hstack([costs.min(axis=1, keepdims=True), *(np.take_along_axis(v, best, 1) for v in (costs, qualities))])
    reached = weights @ gather(table.score, choices).T
    paid = weights @ gather(table.cost_usd, choices).T
    rows = zip(paid.tolist(), reached.tolist(), anchors.tolist(), strict=True)
    return np.array([_hull_figures(convex_hull(zip(x, y, strict=True)), *anchor) for x, y, anchor in rows])


def _hull_figures(hull: Sequence[tuple[float, float]], cheapest_usd: float, best_usd: float, best: float) -> list[float]:
    costs = [cost_to_reach(hull, share * best) for share in SHARES]
    return [
        average_quality(hull, cheapest_usd, best_usd),
        *costs,
        hull[-1][1] / best - 1 if best else 0.0,
        1 - costs[-1] / best_usd if best_usd else math.nan,
    ]
