"""An allocation comes in, a better one goes out, if one is found for the prompts that the price hardly decides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Prompts that are searched exactly, and partial choices that the search keeps at a time.
CORE, _BEAM = 24, 2000
# A sum of qualities that is larger by no more than this is the same sum, rounded differently.
_MIN_GAIN = 1e-9


def search_core(
    quality: NDArray[np.float64],
    cost_usd: NDArray[np.float64],
    choices: NDArray[np.int64],
    *,
    slope: float,
    room_usd: float,
) -> NDArray[np.int64]:
    """Return the choices, shape (n,), improved if the core can use its share of the budget better.

    The core holds the prompts whose two best models are nearly equal at this price (Pisinger 1995, A minimal algorithm for
    the multiple-choice knapsack problem).

    Args:
        quality: Expected score, shape (n, m). Minus infinity if a model may not take a prompt.
        cost_usd: Expected cost, shape (n, m). Infinite if a model may not take a prompt.
        choices: Index of the model of each prompt, shape (n,).
        slope: Price of money: quality per USD.
        room_usd: Upper limit of the summed cost.
    """
    core = find_core(quality, cost_usd, slope=slope)[0]
    core_usd = float(cost_usd[core, choices[core]].sum())
    others_usd = float(cost_usd[np.arange(len(choices)), choices].sum()) - core_usd
    improved = choices.copy()
    improved[core] = improve_core(quality[core], cost_usd[core], choices[core], slope=slope, room_usd=room_usd - others_usd)
    return improved


def find_core(
    quality: NDArray[np.float64], cost_usd: NDArray[np.float64], *, slope: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the core, and the value that the second best model of each of its prompts loses, both of shape (k,), k ≤ 24.

    The clearest prompts come first, so that the search drops bad partial choices early. Of two equally clear prompts the
    first is in the core rather.

    Args:
        quality: As in `search_core`.
        cost_usd: As in `search_core`.
        slope: Price of money: quality per USD.
    """
    value = quality - slope * cost_usd  # minus infinity, never NaN, for a masked model
    best_two = np.sort(value, axis=1)[:, -2:]
    loss = best_two[:, -1] - best_two[:, 0]
    core = np.argsort(loss, kind="stable")[:CORE][::-1]
    return core, loss[core]


def improve_core(
    quality: NDArray[np.float64],
    cost_usd: NDArray[np.float64],
    choices: NDArray[np.int64],
    *,
    slope: float,
    room_usd: float,
) -> NDArray[np.int64]:
    """Return the choices of the core, shape (k,), improved if its share of the budget can be used better.

    Args:
        quality: Expected score of the core, shape (k, m), as in `search_core`.
        cost_usd: Expected cost of the core, shape (k, m), as in `search_core`.
        choices: Index of the model of each prompt of the core, shape (k,).
        slope: Price of money: quality per USD.
        room_usd: Upper limit of the summed cost of the core.
    """
    so_far = float(quality[np.arange(len(choices)), choices].sum())
    found = _search(quality, cost_usd, slope=slope, room_usd=room_usd, quality_so_far=so_far)
    return choices if found is None else found


def _search(
    quality: NDArray[np.float64], cost_usd: NDArray[np.float64], *, slope: float, room_usd: float, quality_so_far: float
) -> NDArray[np.int64] | None:
    """Return choices, shape (k,), with more summed quality than so far. None if none are found.

    Dynamic programming over the prompts. It keeps the partial choices that no other one beats in both cost and quality, and
    that may still beat the quality so far by the price bound. If these are too many, it keeps the most promising ones.
    """
    k, m = quality.shape
    best_value = (quality - slope * cost_usd).max(axis=1)
    value_ahead = np.append(np.cumsum(best_value[::-1])[::-1], 0.0)
    least_ahead = np.append(np.cumsum(cost_usd.min(axis=1)[::-1])[::-1], 0.0)
    spent, gained, picks = np.zeros(1), np.zeros(1), np.zeros((1, k), np.int64)
    for i in range(k):
        spent, gained = (spent[:, None] + cost_usd[i]).ravel(), (gained[:, None] + quality[i]).ravel()
        promise = gained - slope * spent + value_ahead[i + 1] + slope * room_usd
        hopeful = np.flatnonzero((spent + least_ahead[i + 1] <= room_usd) & (promise > quality_so_far + _MIN_GAIN))
        kept = _drop_beaten(hopeful, spent, gained)
        kept = kept if len(kept) <= _BEAM else kept[_thin(promise[kept])]
        spent, gained = spent[kept], gained[kept]
        # State number i · m + j is partial choice i, extended by model j.
        picks = picks[kept // m]
        picks[:, i] = kept % m
    return np.asarray(picks[gained.argmax()]) if gained.max(initial=0.0) > quality_so_far else None


def _drop_beaten(states: NDArray[np.int64], spent: NDArray[np.float64], gained: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the states that no other state equals or beats in both money spent and quality gained."""
    states = states[np.lexsort((-gained[states], spent[states]))]
    most = np.maximum.accumulate(gained[states])
    return states[np.flatnonzero(gained[states] > np.append(-math.inf, most[:-1]))] if len(states) else states


def _thin(promise: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return `_BEAM` or slightly fewer of the states in order of cost: the most promising, and as many spread evenly.

    If quality grows in proportion to cost, all states promise the same. The most promising could then be the dearest only.
    """
    half = _BEAM // 2
    evenly = np.linspace(0, len(promise) - 1, half).astype(np.int64)
    return np.union1d(np.argpartition(-promise, half)[:half], evenly)
