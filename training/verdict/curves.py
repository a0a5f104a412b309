"""Measure curves of quality against cost: convex hull, AIQ, and the cost of a quality."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from training.verdict.score_table import TOLERANCE, ScoreTable, find_best, gather

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Shares of the best single model's quality for which reports give the cost.
SHARES = (0.95, 0.98, 1.0)


def convex_hull(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the corners of the non-decreasing convex hull of (cost, quality), cheapest first (RouterBench, section 3.2).

    A point between two corners is reached by a random mix of their settings. A setting that costs more and is not better
    is dropped.

    >>> convex_hull([(1, 0.5), (2, 0.4), (3, 0.9), (4, 0.8)])
    [(1, 0.5), (3, 0.9)]
    """
    hull: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        # Points come by rising cost. One that is not better than a cheaper one cannot be a corner.
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
    """Return AIQ: the area below a hull over a span of cost, divided by it (RouterBench, arXiv 2403.12031, equation 1).

    RouterBench leaves the span open. Here it goes from the cost of the cheapest single model to that of the best one. Beyond
    its ends a hull keeps the quality of its first and last corner. If the span is 0, return the quality at that cost.

    Args:
        hull: Corners of `convex_hull`.
        low: Cost at which the span starts.
        high: Cost at which it ends.
    """
    costs, qualities = np.array(hull).T
    inner = costs[(costs > low) & (costs < high)]
    at = np.concatenate([[low], inner, [high]])
    heights = np.interp(at, costs, qualities)
    return float(area_below(heights, at) / (high - low)) if high > low else float(heights[0])


def area_below(heights: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area below straight lines between points, along the last axis."""
    return np.asarray(((heights[..., 1:] + heights[..., :-1]) / 2 * np.diff(at)).sum(axis=-1))


def cost_to_reach(hull: Sequence[tuple[float, float]], quality: float) -> float:
    """Return the least cost on the hull that reaches a quality, or infinity if none does."""
    # Qualities rise along the hull, so the axes can be swapped to interpolate a cost.
    costs, qualities = zip(*hull, strict=True)
    return float(np.interp(quality, qualities, costs)) if quality <= qualities[-1] + TOLERANCE else math.inf


def curve_figures(table: ScoreTable, choices: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return AIQ, the cost at each of `SHARES`, PerfGain and CostSave of a router.

    Args:
        table: The outcomes.
        choices: The router's choices, shape (settings, n).
        weights: Weights of prompts, shape (rows, n).

    Returns:
        Shape (rows, 6), in the order above.
    """
    qualities, costs = weights @ table.score, weights @ table.cost_usd
    # The best single model is found anew in each resample: it may be another one there.
    best = find_best(qualities, costs)[:, None]
    anchors = np.hstack([costs.min(axis=1, keepdims=True), *(np.take_along_axis(v, best, 1) for v in (costs, qualities))])
    reached = weights @ gather(table.score, choices).T
    paid = weights @ gather(table.cost_usd, choices).T
    rows = zip(paid.tolist(), reached.tolist(), anchors.tolist(), strict=True)
    return np.array([_hull_figures(convex_hull(zip(x, y, strict=True)), *anchor) for x, y, anchor in rows])


def _hull_figures(hull: Sequence[tuple[float, float]], cheapest_usd: float, best_usd: float, best: float) -> list[float]:
    """Return the figures of one hull.

    Args:
        hull: Corners of `convex_hull`.
        cheapest_usd: Mean cost of the cheapest single model.
        best_usd: Mean cost of the best single model.
        best: Mean score of the best single model.
    """
    costs = [cost_to_reach(hull, share * best) for share in SHARES]
    return [
        average_quality(hull, cheapest_usd, best_usd),
        *costs,
        # If no model scores at all, there is no ratio. 0 means no gain, NaN an undefined saving.
        hull[-1][1] / best - 1 if best else 0.0,
        1 - costs[-1] / best_usd if best_usd else math.nan,
    ]
