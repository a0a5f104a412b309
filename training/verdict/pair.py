"""Measure how well a router finds the prompts that need the stronger of two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.intervals import Interval
from training.quality.outcomes import Outcomes
from training.verdict.bootstrap import interval_of, resample
from training.verdict.curves import area_below
from training.verdict.score_table import TOLERANCE, ScoreTable, complete_prompts, find_best, tabulate

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class PairQuality:
    """How well a router finds the prompts that need the strong model of two (RouteLLM, arXiv 2406.18665, section 2.2).

    Attributes:
        strong: The best single model.
        weak: The cheapest model.
        apgr: Share of the performance gap that is recovered, averaged over shares of calls from 0 to 1. Chance reaches 0.5.
        cpt50: Least share of calls to the strong model that recovers half of the gap. Chance needs 0.5.
        cpt80: Least share of calls to the strong model that recovers 80 % of the gap. Chance needs 0.8.
    """

    strong: str
    weak: str
    apgr: Interval
    cpt50: Interval
    cpt80: Interval


def pick_pair(outcomes: Outcomes) -> tuple[int, int]:
    """Return the indices of the best single model and of the cheapest model, on the complete prompts.

    Of equally good models the cheaper one is best. Of equally cheap models the better one is cheapest. If costs are unknown,
    both indices are those of the best model.

    Raises:
        DatasetError: As `complete_prompts`.
    """
    table = tabulate(outcomes.take(complete_prompts(outcomes)), seed=0)
    quality, cost = table.score.mean(axis=0), table.cost_usd.mean(axis=0)
    return int(find_best(quality, cost)), int(np.lexsort((-quality, cost))[0])


def measure_pair(
    table: ScoreTable, gain: NDArray[np.float64], names: Sequence[str], strong: int, weak: int
) -> PairQuality | None:
    """Return how well a router ranks prompts by the gain of the strong model, or None if that model is not better.

    Args:
        table: The outcomes.
        gain: Expected score of the strong model minus that of the weak model, shape (n,).
        names: Names of the models.
        strong: Index of the strong model.
        weak: Index of the weak model.
    """
    lift = table.score[:, strong] - table.score[:, weak]
    # Without a gap there is nothing to recover, and the share of it would be 0/0.
    if lift.mean() <= TOLERANCE:
        return None
    apgr, cpt50, cpt80 = (interval_of(column) for column in resample(partial(_pair_figures, gain, lift), table).T)
    return PairQuality(strong=names[strong], weak=names[weak], apgr=apgr, cpt50=cpt50, cpt80=cpt80)


def _pair_figures(gain: NDArray[np.float64], lift: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return APGR, CPT(50 %) and CPT(80 %), shape (rows, 3).

    Prompts go to the strong model in the order of falling gain. APGR is the area below PGR by the share of calls; the paper
    takes the mean over ten shares. A row is NaN if the strong model is not better in that resample.

    Args:
        gain: Expected gain of the strong model, shape (n,).
        lift: True gain of the strong model, shape (n,).
        weights: Weights of prompts, shape (rows, n).
    """
    # The order depends on the router alone and not on the weights: it is the same in all resamples.
    order = np.argsort(-gain, kind="stable")
    # Prompts of equal gain have no order among them: they form one step, along which the recovered gap grows evenly.
    starts = np.flatnonzero(np.diff(gain[order], prepend=np.inf))
    share, lifted = (
        np.pad(np.add.reduceat(weights[:, order] * values[order], starts, axis=1).cumsum(axis=1), ((0, 0), (1, 0)))
        for values in (np.ones_like(lift), lift)
    )
    gap = lifted[:, -1:]
    recovered = np.divide(lifted, gap, out=np.full_like(lifted, np.nan), where=gap > TOLERANCE)
    return np.stack([area_below(recovered, share), *(_find_share(share, recovered, part) for part in (0.5, 0.8))], axis=1)


def _find_share(share: NDArray[np.float64], recovered: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Return the least share of calls that recovers a part of the gap, shape (rows,).

    Args:
        share: Shares of calls to the strong model, rising along each row, shape (rows, steps).
        recovered: Recovered shares of the gap, same shape. Between steps both are interpolated linearly.
        part: Part of the gap, 0 to 1.
    """
    # argmax returns the first True. The last step recovers all of the gap, so there is one unless the row is NaN.
    after = np.argmax(recovered >= part - TOLERANCE, axis=1)
    rows = np.arange(len(share))
    low, high = recovered[rows, after - 1], recovered[rows, after]
    before = share[rows, after - 1]
    return np.asarray(before + (part - low) / (high - low) * (share[rows, after] - before))
