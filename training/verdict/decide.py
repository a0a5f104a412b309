"""Decide whether to route, from results on prompts that were not used to choose the router's settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.intervals import Interval
from training.quality.outcomes import Outcomes
from training.verdict.bootstrap import interval_of, resample
from training.verdict.curves import curve_figures
from training.verdict.finding import Finding, Saving
from training.verdict.held_out import choose_held_out, held_out_figures
from training.verdict.score_table import ScoreTable
from training.verdict.sentence import describe_verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether to route, measured at settings that were chosen on other prompts.

    Route if the router's AIQ is above the zero router's and one of three improvements is shown by its 95 % interval:

    - It saves cost at equal quality.
    - It gains quality at equal cost.
    - It saves cost at nearly equal quality (98 %).

    A saving below 2 % (`LEAST_SAVING`) or a gain below half a point (`LEAST_GAIN`) is not worth a router. A saving counts
    only if the quality is above that of two single models mixed at random for the same cost. Equal quality may be lower by
    one point (`QUALITY_MARGIN`), equal cost may be higher by 5 % (`COST_MARGIN`), both at the interval's worse end.

    Attributes:
        route: Whether an improvement is shown.
        sentence: The verdict in words, with its reason.
        gain: Quality minus the best single model's at its cost. If costs are unknown, at any cost.
        cost_change: Cost at the settings of `gain` divided by the best single model's, minus 1. None if costs are unknown.
        equal: Saving at the best single model's quality. None if costs are unknown.
        near: Saving at 98 % of the best single model's quality. None if costs are unknown.
    """

    route: bool
    sentence: str
    gain: Interval
    cost_change: Interval | None
    equal: Saving | None
    near: Saving | None


def decide(
    table: ScoreTable, kept: Outcomes, choices: NDArray[np.int64], aiq: NDArray[np.float64], strong: int, weak: int
) -> Verdict:
    """Return the verdict on a router.

    Args:
        table: The outcomes.
        kept: The same outcomes with their groups.
        choices: Choices of the router, shape (settings, n).
        aiq: AIQ of the router on all prompts and on every resample, shape (1 + resamples,).
        strong: Index of the best single model.
        weak: Index of the cheapest model.
    """
    # The zero router mixes single models, so its settings are the models themselves.
    singles = np.tile(np.arange(len(kept.models))[:, None], (1, len(kept.prompts)))
    zero_aiq = resample(partial(curve_figures, table, singles), table)[:, 0]
    held_out = choose_held_out(table, kept, np.vstack([choices, singles]))
    gain, cost_change, *savings = map(interval_of, resample(partial(held_out_figures, held_out), table).T)
    # The ten columns of `held_out_figures`: two for equal cost, then four for each saving.
    equal, near = _make_saving(savings[:4]), _make_saving(savings[4:])
    finding = Finding(
        best=kept.models[strong],
        alone=strong == weak,
        n=len(kept.prompts),
        groups=int(table.group.max()) + 1,
        priced=table.priced,
        # Paired by resample. Two separate intervals would overlap although the lead is certain.
        over_zero=interval_of(aiq - zero_aiq),
        gain=gain,
        cost_change=cost_change,
        equal=equal,
        near=near,
    )
    return Verdict(
        route=finding.pays,
        sentence=describe_verdict(finding),
        gain=gain,
        # Without costs all costs are 0, and figures about them would look like real ones.
        cost_change=cost_change if table.priced else None,
        equal=equal if table.priced else None,
        near=near if table.priced else None,
    )


def _make_saving(intervals: Sequence[Interval]) -> Saving:
    share, kept, change, over_mix = intervals
    return Saving(share=share, kept=kept, change=change, over_mix=over_mix)
