"""The rules by which a verdict weighs held-out figures."""

from __future__ import annotations

from dataclasses import dataclass

from training.evaluation.intervals import Interval
from training.verdict.score_table import TOLERANCE

# "Equal" quality may be lower by one point, "equal" cost higher by 5 %. Both are read at the interval's worse end.
QUALITY_MARGIN, COST_MARGIN = 0.01, 0.05
# Least saving and least gain that are worth running a router, at the interval's lower end. If a router moves only a few
# prompts and happens to move them well, the interval lies above 0 although nothing was learned.
LEAST_SAVING, LEAST_GAIN = 0.02, 0.005
# With fewer groups of prompts, percentile intervals are too narrow.
FEWEST_GROUPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Held-out figures of the cheapest setting that reaches a share of the best single model's quality.

    Attributes:
        share: Share of the best single model's cost that is saved.
        kept: Quality divided by the best single model's quality.
        change: Quality minus the best single model's quality.
        over_mix: Quality minus that of a random mix of two single models at the same cost. This is what routing adds.
    """

    share: Interval
    kept: Interval
    change: Interval
    over_mix: Interval

    @property
    def counts(self) -> bool:
        """Whether cost is saved, and the quality is above that of a random mix at the same cost."""
        return self.share.low > LEAST_SAVING and self.over_mix.low > TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The figures that decide a verdict.

    Attributes:
        best: Name of the best single model.
        alone: Whether the best single model is also the cheapest one.
        n: Number of prompts.
        groups: Number of independent groups of prompts.
        priced: Whether costs are known.
        over_zero: AIQ of the router minus that of the zero router.
        gain: Quality at equal cost minus the best single model's quality.
        cost_change: Cost at the setting of `gain` divided by the best single model's cost, minus 1.
        equal: Saving at the best single model's quality.
        near: Saving at 98 % of that quality.
    """

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
        """Whether cost is saved at equal quality."""
        return self.equal.counts and self.equal.change.low >= -QUALITY_MARGIN

    @property
    def gains(self) -> bool:
        """Whether quality is gained at equal cost."""
        return self.gain.low > LEAST_GAIN and self.cost_change.high <= COST_MARGIN

    @property
    def beats_mixes(self) -> bool:
        """Whether the router is better than the zero router, which mixes two models at random."""
        return self.over_zero.low > TOLERANCE

    @property
    def pays(self) -> bool:
        """Whether routing pays."""
        shown = self.saves or self.gains or self.near.counts
        return self.groups >= FEWEST_GROUPS and self.beats_mixes and shown
