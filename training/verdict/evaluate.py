"""Measure the choices of a router and of baselines on a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.intervals import Interval
from training.quality.outcomes import Outcomes
from training.verdict.bootstrap import interval_of, resample
from training.verdict.curves import SHARES, convex_hull, curve_figures
from training.verdict.decide import decide
from training.verdict.evaluation import CurvePoint, RouterQuality, RoutingEvaluation, SingleModel
from training.verdict.pair import measure_pair, pick_pair
from training.verdict.regret import measure_regret
from training.verdict.score_table import TOLERANCE, ScoreTable, complete_prompts, gather, tabulate
from training.verdict.sweep import Sweep

if TYPE_CHECKING:
    from numpy.typing import NDArray


def evaluate_choices(
    router: Sweep,
    gain: NDArray[np.float64],
    baselines: Sequence[Sweep],
    outcomes: Outcomes,
    *,
    name: str,
    seed: int,
    positions: Sequence[Sweep] = (),
) -> RoutingEvaluation:
    """Return all figures of a router beside baselines. Intervals come from one bootstrap over groups (1,000 resamples).

    Args:
        router: Choices of the router for every prompt of `outcomes`, measured or not.
        gain: Expected score of the strong model minus that of the weak one (see `pick_pair`), shape (n,).
        baselines: Choices of the baselines for the same prompts.
        outcomes: Measured scores and costs of the models.
        name: Name of the benchmark.
        seed: Seed of the bootstrap and of the verdict's folds.
        positions: Choices at several values of each option of the router, for the same prompts.

    Raises:
        DatasetError: As `complete_prompts`.
    """
    complete = complete_prompts(outcomes)
    kept = outcomes.take(complete)
    table = tabulate(kept, seed)
    sweeps = [_keep(sweep, complete) for sweep in (router, *baselines)]
    # One table for all sweeps: each resample draws the same prompts for all routers, so their differences are paired.
    figures = [resample(partial(curve_figures, table, sweep.choices), table) for sweep in sweeps]
    curves = [_trace_curve(table, sweep) for sweep in sweeps]
    aiqs = [rows[:, 0] for rows in figures]
    # All outcomes are passed, because `pick_pair` selects the complete prompts itself.
    strong, weak = pick_pair(outcomes)
    at = _dearest_affordable(table, sweeps[0].choices, strong)
    return RoutingEvaluation(
        name=name,
        n=len(kept.prompts),
        left_out=len(outcomes.prompts) - len(kept.prompts),
        seed=seed,
        priced=table.priced,
        models=_list_models(table, kept.models),
        best=kept.models[strong],
        cheapest=kept.models[weak],
        routers=[
            _summarize_router(sweep.name, curve, rows, priced=table.priced)
            for sweep, curve, rows in zip(sweeps, curves, figures, strict=True)
        ],
        differences={sweep.name: interval_of(aiqs[0] - theirs) for sweep, theirs in zip(sweeps[1:], aiqs[1:], strict=True)},
        pair=measure_pair(table, gain[complete], kept.models, strong, weak),
        regret_at=curves[0][at],
        regret=measure_regret(table, kept.tasks, sweeps[0].choices[at], strong),
        positions={sweep.name: _trace_curve(table, _keep(sweep, complete)) for sweep in positions},
        verdict=decide(table, kept, sweeps[0].choices, aiqs[0], strong, weak),
    )


def _keep(sweep: Sweep, mask: NDArray[np.bool_]) -> Sweep:
    """Return the choices for some of the prompts alone."""
    return replace(sweep, choices=sweep.choices[:, mask])


def _trace_curve(table: ScoreTable, sweep: Sweep) -> list[CurvePoint]:
    quality, cost = (gather(v, sweep.choices).mean(axis=1).tolist() for v in (table.score, table.cost_usd))
    labels = sweep.labels or [""] * len(quality)
    return [
        CurvePoint(cost_usd=c if table.priced else None, quality=q, label=label)
        for c, q, label in zip(cost, quality, labels, strict=True)
    ]


def _summarize_router(
    name: str, curve: Sequence[CurvePoint], figures: NDArray[np.float64], *, priced: bool
) -> RouterQuality:
    """Return the results of a router from the columns of `curve_figures`."""
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


def _interval_if_finite(figures: NDArray[np.float64]) -> Interval | None:
    # The figure of all prompts decides. If it is finite, ends of the interval may still be infinite.
    return interval_of(figures) if np.isfinite(figures[0]) else None


def _list_models(table: ScoreTable, names: Sequence[str]) -> list[SingleModel]:
    """Return the result of each model alone, best first; ties go to the cheaper one."""
    figures = resample(lambda weights: np.hstack([weights @ table.score, weights @ table.cost_usd]), table)
    qualities, costs = np.hsplit(figures, 2)
    order = np.lexsort((costs[0], -qualities[0])).tolist()
    return [
        SingleModel(
            name=names[i], quality=interval_of(qualities[:, i]), cost_usd=float(costs[0, i]) if table.priced else None
        )
        for i in order
    ]


def _dearest_affordable(table: ScoreTable, choices: NDArray[np.int64], strong: int) -> int:
    """Return the most expensive setting that costs no more than the best single model.

    Ties go to the better setting. If all settings cost more, return the cheapest one.
    """
    quality, cost = (gather(values, choices).mean(axis=1) for values in (table.score, table.cost_usd))
    order = np.lexsort((quality, cost))
    # Equal settings may differ by rounding: their costs are sums in another order.
    within = order[cost[order] <= table.cost_usd[:, strong].mean() * (1 + TOLERANCE)]
    return int(within[-1] if len(within) else order[0])
