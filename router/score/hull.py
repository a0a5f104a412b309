"""Quality and cost of n prompts under m models come in, the steps up each prompt's concave hull go out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps up the hulls of the prompts, the steepest first. The steps of one prompt keep their order.

    All arrays have the shape (steps,).

    Attributes:
        prompt: Index of the prompt.
        model: Index of the model that the step leads to.
        cost_usd: Extra cost, > 0.
        quality: Extra quality, > 0.
        slope: Quality per USD.
    """

    prompt: NDArray[np.int64]
    model: NDArray[np.int64]
    cost_usd: NDArray[np.float64]
    quality: NDArray[np.float64]
    slope: NDArray[np.float64]


def find_steps(quality: NDArray[np.float64], cost_usd: NDArray[np.float64]) -> tuple[NDArray[np.int64], Steps]:
    """Return the cheapest model of each prompt, shape (n,), and the steps from there up its upper concave hull.

    The hull is found by gift wrapping: from any point, its next edge is
    the steepest step, and of equally steep steps the longest.

    Args:
        quality: Expected score, shape (n, m). Minus infinity if a model may not take a prompt.
        cost_usd: Expected cost, shape (n, m). Infinite if a model may not take a prompt.
    """
    start = find_cheapest(quality, cost_usd)
    rows, at, slope = np.arange(len(start)), start, np.full(len(start), math.inf)
    edges = []
    # One pass takes the next step of every prompt that still climbs.
    while len(rows):
        rise, run = quality[rows] - quality[rows, at][:, None], cost_usd[rows] - cost_usd[rows, at][:, None]
        upward = (rise > 0) & (run > 0)
        slopes = np.where(upward, rise, 0.0) / np.where(upward, run, 1.0)
        slope = np.minimum(slopes.max(axis=1), slope)  # rounding must not bend a hull upwards
        to = np.where(slopes >= slope[:, None], np.where(upward, run, 0.0), -1.0).argmax(axis=1)
        climbs = slope > 0
        edges.append((rows[climbs], at[climbs], to[climbs], slope[climbs]))
        rows, at, slope = rows[climbs], to[climbs], slope[climbs]
    return start, _sort_steps(quality, cost_usd, *(np.concatenate(column) for column in zip(*edges, strict=True)))


def find_cheapest(quality: NDArray[np.float64], cost_usd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the cheapest model of each prompt, shape (n,). Of several cheapest models, it is the best.

    Args:
        quality: As in `find_steps`.
        cost_usd: As in `find_steps`.
    """
    cheapest = cost_usd == cost_usd.min(axis=1, keepdims=True)
    return np.asarray(np.where(cheapest, quality, -math.inf).argmax(axis=1))


def climb(steps: Steps, left_usd: float) -> NDArray[np.bool_]:
    """Return which steps are taken, shape (steps,), in their order while the money lasts.

    A step that costs more than is left is skipped, together with all later steps of its prompt.

    Args:
        steps: The steps.
        left_usd: Money to spend on steps.
    """
    taken = np.zeros(len(steps.prompt), np.bool_)
    ahead = np.arange(len(taken))
    # One pass takes all steps up to the first that does not fit, then drops those that can never fit.
    while len(ahead):
        spent = np.cumsum(steps.cost_usd[ahead])
        fit = int(np.searchsorted(spent, left_usd, side="right"))
        taken[ahead[:fit]] = True
        left_usd -= float(spent[fit - 1]) if fit else 0.0
        ahead = ahead[fit:]
        too_dear = ahead[steps.cost_usd[ahead] > left_usd]
        barred_from = np.full(int(steps.prompt.max()) + 1, len(taken))
        np.minimum.at(barred_from, steps.prompt[too_dear], too_dear)
        ahead = ahead[ahead < barred_from[steps.prompt[ahead]]]
    return taken


def _sort_steps(
    quality: NDArray[np.float64],
    cost_usd: NDArray[np.float64],
    prompt: NDArray[np.int64],
    at: NDArray[np.int64],
    to: NDArray[np.int64],
    slope: NDArray[np.float64],
) -> Steps:
    order = np.argsort(-slope, kind="stable")  # stable, so that the steps of one prompt keep their order
    prompt, at, to = prompt[order], at[order], to[order]
    return Steps(
        prompt=prompt,
        model=to,
        cost_usd=cost_usd[prompt, to] - cost_usd[prompt, at],
        quality=quality[prompt, to] - quality[prompt, at],
        slope=slope[order],
    )
