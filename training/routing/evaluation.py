"""How well a router trades quality against cost on prompts where every model's outcome is known, beside baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from training.evaluate import Interval
from training.outcomes import Outcomes
from training.routing.curves import (
    SHARES,
    TOLERANCE,
    Table,
    area_below,
    complete_prompts,
    convex_hull,
    curve_figures,
    find_best,
    gather,
    interval_of,
    resample,
    tabulate,
)
from training.routing.verdict import Verdict, decide

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PRICES = 98


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """What a router chooses for n prompts at each of its settings.

    Attributes:
        name: Whose choices.
        choices: Shape (settings, n), indices into the models, settings from the cheapest to the best.
        labels: One for each setting, empty for one not worth naming; or none at all.
    """

    name: str
    choices: NDArray[np.int64]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One setting: mean cost per prompt in USD (None: no costs are known), mean score, and the setting's name, if any."""

    cost_usd: float | None
    quality: float
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterQuality:
    """What a router's settings reach. Where a resample of the bootstrap does not reach a quality, its cost is infinite.

    Attributes:
        name: Whose.
        curve: Every setting, from the cheapest to the best.
        hull: Corners (USD per prompt, quality) of the curve's non-decreasing convex hull; empty where no costs are known.
        aiq: Average quality over the span of cost (`average_quality`); where no costs are known, that of the best setting.
        cost_at: USD per prompt at which 0.95, 0.98 and 1.0 of the best single model's quality is reached; None: never, or
            no costs are known. `high` is infinite where more than 2.5 % of the resamples never reach it.
        perf_gain: The best setting's quality over the best single model's, less 1 (PerfGain, arXiv 2601.07206).
        cost_save: 1 less the cost at the best single model's quality over that model's cost (CostSave, the same); None: as
            for `cost_at`. `low` is minus infinity where more than 2.5 % of the resamples never reach it.
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
    """One model for every prompt: mean score and mean cost per prompt in USD (None: no costs are known)."""

    name: str
    quality: Interval
    cost_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairQuality:
    """How well a router tells which prompts need the strong model of two (RouteLLM, arXiv 2406.18665, section 2.2).

    Attributes:
        strong: The best single model.
        weak: The cheapest.
        apgr: Performance gap recovered, averaged over shares of calls to the strong model from 0 to 1; chance: 0.5.
        cpt50: Least share of calls to the strong model that recovers half the gap; chance: 0.5.
        cpt80: The same for 80 % of it.
    """

    strong: str
    weak: str
    apgr: Interval
    cpt50: Interval
    cpt80: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRegret:
    """What a router, and the best single model, lose on n prompts of a task against the best model for each prompt."""

    task: str
    n: int
    regret: Interval
    of_best_single: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingEvaluation:
    """What can be said of a router on n prompts.

    Attributes:
        name: Of the benchmark.
        n: Prompts on which every model is measured: those judged.
        left_out: Prompts on which some model is not.
        seed: Of the bootstrap and of the verdict's folds.
        priced: Whether costs are known; if not, quality alone is judged.
        models: Each for every prompt, best first.
        best: The best single model; of several, the cheapest.
        cheapest: The model of the least mean cost; of several, the best.
        routers: The router's first, then each baseline's.
        differences: The router's AIQ less each baseline's, by its name; paired.
        pair: The best single model and the cheapest; None where they are one, are as good as one another, or are not priced.
        regret_at: The setting of the router that `regret` is of: the dearest that costs no more than the best single model.
        regret: Of each task, most frequent first; a task is "" where the benchmark names none.
        positions: What positions of each of the router's dials reach, by the dial's name.
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


def evaluate_routing(
    router: Dial,
    gain: NDArray[np.float64],
    baselines: Sequence[Dial],
    outcomes: Outcomes,
    *,
    name: str,
    seed: int,
    positions: Sequence[Dial] = (),
) -> RoutingEvaluation:
    """Judge a router beside baselines; all intervals by one bootstrap over groups of prompts (1,000 resamples).

    Args:
        router: Its choices for every prompt of `outcomes`, measured or not.
        gain: Its expected score of the strong model less that of the weak one (see `pick_pair`), shape (n,).
        baselines: Their choices, as the router's.
        outcomes: What the models really did.
        name: Of the benchmark.
        seed: Of the bootstrap and of the verdict's folds.
        positions: Of dials whose positions are to be shown, as the router's.

    Raises:
        DatasetError: As `complete_prompts`.
    """
    complete = complete_prompts(outcomes)
    kept = outcomes.take(complete)
    table = tabulate(kept, seed)
    dials = [replace(dial, choices=dial.choices[:, complete]) for dial in (router, *baselines)]
    figures = [resample(partial(curve_figures, table, dial.choices), table) for dial in dials]
    singles = resample(lambda weights: np.hstack([weights @ table.score, weights @ table.cost_usd]), table)
    strong, weak = pick_pair(outcomes)
    at = _nearest_setting(table, dials[0].choices, strong)
    curves = [_trace_curve(table, dial) for dial in dials]
    return RoutingEvaluation(
        name=name,
        n=len(kept.prompts),
        left_out=len(outcomes.prompts) - len(kept.prompts),
        seed=seed,
        priced=table.priced,
        models=_list_models(kept.models, singles, priced=table.priced),
        best=kept.models[strong],
        cheapest=kept.models[weak],
        routers=[
            _describe(dial.name, curve, reached, priced=table.priced)
            for dial, curve, reached in zip(dials, curves, figures, strict=True)
        ],
        differences={
            dial.name: interval_of(figures[0][:, 0] - theirs[:, 0])
            for dial, theirs in zip(dials[1:], figures[1:], strict=True)
        },
        pair=_judge_pair(table, gain[complete], kept.models, strong, weak),
        regret_at=curves[0][at],
        regret=_find_regret(table, kept.tasks, dials[0].choices[at], strong),
        positions={dial.name: _trace_curve(table, replace(dial, choices=dial.choices[:, complete])) for dial in positions},
        verdict=decide(table, kept, dials[0].choices, figures[0][:, 0], strong, weak),
    )


def trace_dial(
    name: str,
    quality: NDArray[np.float64],
    cost_usd: NDArray[np.float64],
    *,
    prices: NDArray[np.float64] | None = None,
) -> Dial:
    """Return what a router chooses that wants the most of expected quality − price · expected cost, price by price.

    Ties go to the cheaper model, then to the better, then to the first. The first setting is the cheapest model of each
    prompt, the last the best.

    Args:
        name: The router's.
        quality: Expected scores, shape (n, m).
        cost_usd: Expected cost, shape (n, m).
        prices: Of the settings between, in points of score per USD, falling. By default 98 in a geometric row, from where
            nearly every prompt goes to its cheapest model to where nearly every one goes to its best.
    """
    order = np.lexsort((-quality, cost_usd))
    quality, cost_usd = (np.take_along_axis(values, order, axis=1) for values in (quality, cost_usd))
    prices = _spread_prices(quality, cost_usd) if prices is None else prices
    chosen = [np.zeros(len(quality), np.int64), *((quality - price * cost_usd).argmax(axis=1) for price in prices)]
    ranks = np.stack([*chosen, quality.argmax(axis=1)], axis=1)
    return Dial(name=name, choices=np.take_along_axis(order, ranks, axis=1).T)


def _spread_prices(quality: NDArray[np.float64], cost_usd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return falling prices between those at which 1 % of the prompts leave the cheapest and 99 % are at their best model.

    Columns from the cheapest model of a prompt to its dearest. Empty where no price changes anything.
    """
    best = quality.argmax(axis=1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        away = (quality - quality[:, :1]) / (cost_usd - cost_usd[:, :1])
        arrive = (np.take_along_axis(quality, best, 1) - quality) / (np.take_along_axis(cost_usd, best, 1) - cost_usd)
    leave = np.where(np.isfinite(away), away, 0).max(axis=1)
    reach = np.where(np.isfinite(arrive) & (arrive > 0), arrive, np.inf).min(axis=1)
    moved = (leave > 0) & np.isfinite(reach)
    if not moved.any():
        return np.empty(0)
    return np.geomspace(np.quantile(leave[moved], 0.99), np.quantile(reach[moved], 0.01), _PRICES)


def pick_pair(outcomes: Outcomes) -> tuple[int, int]:
    """Return the best single model (of several the cheapest) and the cheapest (of several the best), as indices.

    Judged on the complete prompts; where no costs are known, both are the best.

    Raises:
        DatasetError: As `complete_prompts`.
    """
    table = tabulate(outcomes.take(complete_prompts(outcomes)), seed=0)
    quality, cost = table.score.mean(axis=0), table.cost_usd.mean(axis=0)
    return int(find_best(quality, cost)), int(np.lexsort((-quality, cost))[0])


def _interval_if_finite(figures: NDArray[np.float64]) -> Interval | None:
    return interval_of(figures) if np.isfinite(figures[0]) else None


def _trace_curve(table: Table, dial: Dial) -> list[CurvePoint]:
    quality, cost = (gather(v, dial.choices).mean(axis=1).tolist() for v in (table.score, table.cost_usd))
    labels = dial.labels or [""] * len(quality)
    return [
        CurvePoint(cost_usd=c if table.priced else None, quality=q, label=label)
        for c, q, label in zip(cost, quality, labels, strict=True)
    ]


def _describe(name: str, curve: Sequence[CurvePoint], figures: NDArray[np.float64], *, priced: bool) -> RouterQuality:
    aiq, *costs, gain, save = figures.T
    return RouterQuality(
        name=name,
        curve=curve,
        hull=convex_hull((point.cost_usd, point.quality) for point in curve if point.cost_usd is not None),
        aiq=interval_of(aiq),
        cost_at={share: _interval_if_finite(cost) if priced else None for share, cost in zip(SHARES, costs, strict=True)},
        perf_gain=interval_of(gain),
        cost_save=_interval_if_finite(save),
    )


def _list_models(names: Sequence[str], figures: NDArray[np.float64], *, priced: bool) -> list[SingleModel]:
    """List models, best first; figures: of each one's score, then of each one's cost, as from `resample`."""
    qualities, costs = np.hsplit(figures, 2)
    order = np.lexsort((costs[0], -qualities[0])).tolist()
    return [
        SingleModel(name=names[i], quality=interval_of(qualities[:, i]), cost_usd=float(costs[0, i]) if priced else None)
        for i in order
    ]


def _judge_pair(table: Table, gain: NDArray[np.float64], names: Sequence[str], strong: int, weak: int) -> PairQuality | None:
    lift = table.score[:, strong] - table.score[:, weak]
    if lift.mean() <= TOLERANCE:
        return None
    apgr, cpt50, cpt80 = (interval_of(column) for column in resample(partial(_pair_figures, gain, lift), table).T)
    return PairQuality(strong=names[strong], weak=names[weak], apgr=apgr, cpt50=cpt50, cpt80=cpt80)


def _pair_figures(gain: NDArray[np.float64], lift: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return APGR, CPT(50 %) and CPT(80 %), a row for each of the weights; NaN where the strong model is not better.

    Prompts go to the strong model by falling gain, those of equal gain in every order at once: their lift rises evenly.
    APGR is the area under PGR by the share of calls, in the paper a mean over ten shares.
    """
    order = np.argsort(-gain, kind="stable")
    starts = np.flatnonzero(np.diff(gain[order], prepend=np.inf))
    share, lifted = (
        np.pad(np.add.reduceat(weights[:, order] * values[order], starts, axis=1).cumsum(axis=1), ((0, 0), (1, 0)))
        for values in (np.ones_like(lift), lift)
    )
    gap = lifted[:, -1:]
    recovered = np.divide(lifted, gap, out=np.full_like(lifted, np.nan), where=gap > TOLERANCE)
    return np.stack([area_below(recovered, share), *(_find_share(share, recovered, part) for part in (0.5, 0.8))], axis=1)


def _find_share(share: NDArray[np.float64], recovered: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Return the least share of calls that recovers a part of the gap, on lines between the points of each row."""
    after = np.argmax(recovered >= part - TOLERANCE, axis=1)
    rows = np.arange(len(share))
    low, high = recovered[rows, after - 1], recovered[rows, after]
    before = share[rows, after - 1]
    return np.asarray(before + (part - low) / (high - low) * (share[rows, after] - before))


def _nearest_setting(table: Table, choices: NDArray[np.int64], strong: int) -> int:
    """Return the dearest setting that costs no more than a model (of several the best), or else the cheapest."""
    quality, cost = (gather(values, choices).mean(axis=1) for values in (table.score, table.cost_usd))
    order = np.lexsort((quality, cost))
    within = order[cost[order] <= table.cost_usd[:, strong].mean() * (1 + TOLERANCE)]
    return int(within[-1] if len(within) else order[0])


def _find_regret(table: Table, tasks: Sequence[str], chosen: NDArray[np.int64], strong: int) -> list[TaskRegret]:
    names, sizes = zip(*Counter(tasks).most_common(), strict=True)
    member = np.array(tasks)[:, None] == np.array(names)
    lost = table.score.max(axis=1, keepdims=True) - table.score
    losses = (gather(lost, chosen), lost[:, strong])

    def means(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        share = weights @ member
        sums = np.stack([weights @ (member * loss[:, None]) for loss in losses])
        return np.hstack(list(np.divide(sums, share, out=np.full_like(sums, np.nan), where=share > 0)))

    intervals = [interval_of(column) for column in resample(means, table).T]
    return [
        TaskRegret(task=task, n=n, regret=regret, of_best_single=of_best_single)
        for task, n, regret, of_best_single in zip(
            names, sizes, intervals[: len(names)], intervals[len(names) :], strict=True
        )
    ]
