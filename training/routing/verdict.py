"""Whether to route: what is gained at settings that were chosen without looking at the prompts they are judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from training.evaluate import Interval
from training.outcomes import Outcomes, split_groups
from training.routing.curves import TOLERANCE, Table, convex_hull, curve_figures, find_best, gather, interval_of, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What "equal" allows in a verdict: quality, with 97.5 % confidence, lower by no more than a point; cost not higher by 5 %.
QUALITY_MARGIN, COST_MARGIN = 0.01, 0.05
# What an improvement must come to, by the interval's lower end, to be worth a router: of cost, and of quality. Where a
# handful of prompts is routed, and by luck rightly, an interval lies above 0 all the same.
LEAST_SAVING, LEAST_GAIN = 0.02, 0.005
# What a verdict takes for nearly equal quality.
NEAR = 0.98
# Groups of prompts that a verdict needs: below, percentile intervals are too narrow.
FEWEST_GROUPS = 20
_FOLDS, _REPEATS = 5, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What the cheapest setting does that has the best single model's quality, or a share of it, on other prompts.

    Attributes:
        share: Of the best single model's cost that is saved.
        kept: Quality over the best single model's.
        change: Quality less the best single model's.
        over_mix: Quality less that of two single models mixed at random for the same cost: what routing adds.
    """

    share: Interval
    kept: Interval
    change: Interval
    over_mix: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether to route, judged at settings chosen on other prompts than those they are judged on.

    Route if the router's AIQ is above the zero router's, and of three improvements one is shown, by 95 % intervals: it saves
    cost at equal quality, it gains quality at equal cost, or it saves cost at nearly equal quality (98 %); savings below 2 %
    (`LEAST_SAVING`) and gains below half a point (`LEAST_GAIN`) are not worth a router. A saving counts only if quality is
    above that of two single models mixed at random for the same cost. Equal quality is lower by no more than a point
    (`QUALITY_MARGIN`), equal cost higher by no more than 5 % (`COST_MARGIN`), both by the interval's end.

    Attributes:
        route: Whether an improvement is shown.
        sentence: The same in words, with the reason.
        gain: Quality less the best single model's at its cost; where no costs are known, at any.
        cost_change: Cost over the best single model's, less 1, at the settings of `gain`; None where no costs are known.
        equal: What is saved at the best single model's quality, and
        near: at 98 % of it; None where no costs are known.
    """

    route: bool
    sentence: str
    gain: Interval
    cost_change: Interval | None
    equal: Saving | None
    near: Saving | None


def decide(
    table: Table, kept: Outcomes, choices: NDArray[np.int64], aiq: NDArray[np.float64], strong: int, weak: int
) -> Verdict:
    """Decide whether to route; aiq: the router's, of all prompts and of every resample."""
    singles = np.tile(np.arange(len(kept.models))[:, None], (1, len(kept.prompts)))
    zero_aiq = resample(partial(curve_figures, table, singles), table)[:, 0]
    held_out = _choose_held_out(table, kept, np.vstack([choices, singles]))
    gain, cost_change, *savings = map(interval_of, resample(partial(_held_out_figures, held_out), table).T)
    equal, near = _make_saving(savings[:4]), _make_saving(savings[4:])
    finding = _Finding(
        best=kept.models[strong],
        alone=strong == weak,
        n=len(kept.prompts),
        groups=int(table.group.max()) + 1,
        priced=table.priced,
        over_zero=interval_of(aiq - zero_aiq),
        gain=gain,
        cost_change=cost_change,
        equal=equal,
        near=near,
    )
    return Verdict(
        route=finding.pays,
        sentence=_tell_gain(finding) if finding.pays else f"Do not route: {_tell_reason(finding)}.",
        gain=gain,
        cost_change=cost_change if table.priced else None,
        equal=equal if table.priced else None,
        near=near if table.priced else None,
    )


def _make_saving(intervals: Sequence[Interval]) -> Saving:
    share, kept, change, over_mix = intervals
    return Saving(share=share, kept=kept, change=change, over_mix=over_mix)


def _choose_held_out(table: Table, kept: Outcomes, options: NDArray[np.int64]) -> NDArray[np.float64]:
    """Choose options on four fifths of the prompts, and return what they do on the rest, averaged over ten ways to part.

    Args:
        table: The outcomes.
        kept: The same, with what must stay on one side.
        options: Shape (settings + m, n): the router's choices, then each model for all prompts.

    Returns:
        Shape (4, 3, n): the best single model, then the three of `_pick_options`; score, cost, and the score of a mix of two
        single models at its cost.
    """
    score, cost = gather(table.score, options), gather(table.cost_usd, options)
    m = table.score.shape[1]
    folds = min(_FOLDS, int(table.group.max()) + 1)
    total = np.zeros((4, 3, len(table.score)))
    for repeat in range(_REPEATS):
        fold = split_groups(kept, folds, seed=table.seed + repeat)
        for here in (fold == i for i in range(folds)):
            others = ~here / (~here).sum()
            quality, paid = score @ others, cost @ others
            picked = _pick_options(quality, paid, m)
            mixes = np.stack([_mix_models(quality[-m:], paid[-m:], at) for at in paid[picked]])
            found = (score[picked][:, here], cost[picked][:, here], mixes @ table.score[here].T)
            total[:, :, here] += np.stack(found, axis=1)
    return total / _REPEATS


def _pick_options(quality: NDArray[np.float64], cost: NDArray[np.float64], m: int) -> list[int]:
    """Return the best single model, the best option at its cost, the cheapest at its quality and at 98 % of that.

    The options are the router's settings and, for want of a better, the best single model; the last m are the models.
    """
    single = len(quality) - m + int(find_best(quality[-m:], cost[-m:]))
    options = np.append(np.arange(len(quality) - m), single)
    quality, cost = quality[options], cost[options]
    by_quality, by_cost = np.lexsort((cost, -quality)), np.lexsort((-quality, cost))
    within = by_quality[cost[by_quality] <= cost[-1] * (1 + TOLERANCE)]
    reaching = [by_cost[quality[by_cost] >= share * quality[-1] - TOLERANCE] for share in (1.0, NEAR)]
    return [single, *(int(options[rows[0]]) for rows in (within, *reaching))]


def _mix_models(quality: NDArray[np.float64], cost: NDArray[np.float64], at_usd: float) -> NDArray[np.float64]:
    """Return the share of prompts for each single model that gives the most quality at a cost; shape (m,)."""
    points = list(zip(cost.tolist(), quality.tolist(), strict=True))
    hull = convex_hull(points)
    shares = np.zeros(len(points))
    costs = [corner[0] for corner in hull]
    shares[[points.index(corner) for corner in hull]] = [np.interp(at_usd, costs, unit) for unit in np.eye(len(hull))]
    return shares


def _held_out_figures(held_out: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return gain and change of cost, then what a `Saving` has, at equal and at nearly equal quality: shape (rows, 10)."""
    best, gaining, *saving = (weights @ part.T for part in held_out)
    columns = [gaining[:, 0] - best[:, 0], _divide(gaining[:, 1], best[:, 1]) - 1]
    for found in saving:
        columns += [1 - _divide(found[:, 1], best[:, 1]), _divide(found[:, 0], best[:, 0])]
        columns += [found[:, 0] - best[:, 0], found[:, 0] - found[:, 2]]
    return np.stack(columns, axis=1)


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return part / whole; 1, which is no change, where the whole is 0."""
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """What a verdict goes by; `over_zero` is AIQ less the zero router's, `alone` that the best model is the cheapest."""

    best: str
    alone: bool
    n: int
    groups: int
    priced: bool
    over_zero: Interval
    gain: Interval
    cost_change: Interval
    equal: Saving
    near: Saving

    @property
    def saves(self) -> bool:
        return _is_merit(self.equal) and self.equal.change.low >= -QUALITY_MARGIN

    @property
    def gains(self) -> bool:
        return self.gain.low > LEAST_GAIN and self.cost_change.high <= COST_MARGIN

    @property
    def beats_mixes(self) -> bool:
        return self.over_zero.low > TOLERANCE

    @property
    def pays(self) -> bool:
        shown = self.saves or self.gains or _is_merit(self.near)
        return self.groups >= FEWEST_GROUPS and self.beats_mixes and shown


def _is_merit(saving: Saving) -> bool:
    """Return whether cost is saved, and more than a mix of two single models would save."""
    return saving.share.low > LEAST_SAVING and saving.over_mix.low > TOLERANCE


def _tell_gain(finding: _Finding) -> str:
    best, where = finding.best, f"on these {finding.n:,} prompts"
    gain = f"gains {_points(finding.gain)} at equal cost"
    if not finding.priced:
        return f"Routing gains {_points(finding.gain)} over {best} alone {where} (costs are not known)."
    if finding.saves:
        more = f", or {gain}," if finding.gains else ""
        told = f"quality {_signed(finding.equal.change)} against {best} alone"
        return f"Routing saves {_percent(finding.equal.share)} at equal quality{more} {where} ({told})."
    if finding.gains:
        return f"Routing {gain} {where} (against {best} alone)."
    near = finding.near
    return (
        f"Routing saves {_percent(near.share)} at {_percent(near.kept, digits=1)} of {best}'s quality {where}; a random mix "
        f"of two models at that cost has {_points(near.over_mix)} less; at its full quality no saving is certain."
    )


def _tell_reason(finding: _Finding) -> str:
    best, where = finding.best, f"on these {finding.n:,} prompts"
    if finding.groups < FEWEST_GROUPS:
        return f"{finding.groups} independent prompts are too few to tell, at least {FEWEST_GROUPS} are needed"
    if not finding.priced:
        return f"{best} alone is as good {where}; routing changes quality by {_signed(finding.gain)} (costs are not known)"
    if finding.alone:
        return f"{best} alone is the best model and the cheapest {where}"
    equal = finding.equal
    if finding.beats_mixes and _is_merit(equal):
        return (
            f"it saves {_percent(equal.share)} against {best} alone {where}, but may lose more than a point of quality "
            f"({_signed(equal.change)}); more prompts would tell"
        )
    return (
        f"{best} alone, or two models mixed at random, is as good at any price {where}; routing saves "
        f"{_percent(equal.share)} at equal quality, and changes it by {_signed(finding.gain)} at equal cost"
    )


def _percent(interval: Interval, digits: int = 0) -> str:
    value, low, high = _tell(interval, "-", digits)
    return f"{value} % [{low}, {high}]"


def _points(interval: Interval) -> str:
    value, low, high = _tell(interval, "-", 1)
    return f"{value} points [{low}, {high}]"


def _signed(interval: Interval) -> str:
    value, low, high = _tell(interval, "+", 1)
    return f"{value} points [{low}, {high}]"


def _tell(interval: Interval, sign: str, digits: int) -> list[str]:
    """Return value and ends in hundredths, with a true minus sign, and none on what is rounded to 0."""
    return [
        f"{100 * figure:{sign}z.{digits}f}".replace("-", "−") for figure in (interval.value, interval.low, interval.high)
    ]
