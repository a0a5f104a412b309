"""The figures of a router on a benchmark, beside baselines and single models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.evaluation.intervals import Interval
from training.verdict.decide import Verdict
from training.verdict.pair import PairQuality
from training.verdict.regret import TaskRegret


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The result of one setting of a router.

    Attributes:
        cost_usd: Mean cost per prompt in USD. None if costs are unknown.
        quality: Mean score, 0 to 1.
        label: Name of the setting, "" if it has none.
    """

    cost_usd: float | None
    quality: float
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterQuality:
    """The results of all settings of a router or baseline.

    A resample of the bootstrap may never reach a quality. Its cost counts as infinite then.

    Attributes:
        name: Name of the router.
        curve: Every setting, from the cheapest to the best.
        hull: Corners (USD per prompt, quality) of the curve's non-decreasing convex hull. Empty if costs are unknown.
        aiq: Average quality over the span of cost (`average_quality`). If costs are unknown, quality of the best setting.
        cost_at: USD per prompt at which 0.95, 0.98 and 1.0 of the best single model's quality is reached. None if it is
            never reached, or if costs are unknown. `high` is infinite if more than 2.5 % of the resamples never reach it.
        perf_gain: The best setting's quality divided by the best single model's, minus 1 (PerfGain, arXiv 2601.07206).
        cost_save: 1 minus the cost of the best single model's quality divided by that model's cost (CostSave, same paper).
            None as for `cost_at`. `low` is minus infinity if more than 2.5 % of the resamples never reach that quality.
    """

    name: str
    curve: Sequence[CurvePoint]
    hull: Sequence[tuple[float, float]]
    aiq: Interval
    cost_at: Mapping[float, Interval | None]
    perf_gain: Interval
    cost_save: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleModel:
    """The result of sending every prompt to one model.

    Attributes:
        name: Name of the model.
        quality: Mean score.
        cost_usd: Mean cost per prompt in USD. None if costs are unknown.
    """

    name: str
    quality: Interval
    cost_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingEvaluation:
    """All figures of a router on n prompts.

    Attributes:
        name: Name of the benchmark.
        n: Number of prompts on which every model was measured. All figures are of these.
        left_out: Number of prompts on which some model was not measured.
        seed: Seed of the bootstrap and of the verdict's folds.
        priced: Whether costs are known. If not, only quality is compared.
        models: Each model alone, best first.
        best: Name of the best single model. Ties go to the cheaper one.
        cheapest: Name of the model with the lowest mean cost. Ties go to the better one.
        routers: The router first, then each baseline.
        differences: AIQ of the router minus that of each baseline, by its name. Differences are paired by resample.
        pair: Figures of the best and the cheapest model as a pair. None if they are the same or equally good, or if costs
            are unknown.
        regret_at: Setting of the router at which `regret` is measured: the most expensive one that costs no more than the
            best single model.
        regret: Regret on each task, most frequent task first.
        positions: Results of several values of each option of the router, by the option's name.
        verdict: Whether to route.
    """

    name: str
    n: int
    left_out: int
    seed: int
    priced: bool
    models: Sequence[SingleModel]
    best: str
    cheapest: str
    routers: Sequence[RouterQuality]
    differences: Mapping[str, Interval]
    pair: PairQuality | None
    regret_at: CurvePoint
    regret: Sequence[TaskRegret]
    positions: Mapping[str, Sequence[CurvePoint]]
    verdict: Verdict

    def cheapest_reaching(self, share: float) -> SingleModel | None:
        """Return the cheapest single model with at least a share of the best quality, or None if no costs are known.

        Ties go to the first name in alphabetical order.
        """
        level = share * max(model.quality.value for model in self.models)
        enough = [(m.cost_usd, m.name, m) for m in self.models if m.cost_usd is not None and m.quality.value >= level]
        return min(enough, key=lambda entry: entry[:2])[2] if enough else None
