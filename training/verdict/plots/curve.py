"""Draw quality against cost: the router with its presets, the baselines, and every single model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from training.evaluation.plots import ACCENT, FAINT, INK
from training.verdict.baselines import ORACLE
from training.verdict.plots.callouts import Callout, place_callouts
from training.verdict.plots.style import (
    GRID,
    PAPER,
    QUALITY_LABEL,
    USD_LABEL,
    add_legend,
    apply_style,
    disable_formulas,
    set_cost_scale,
    set_title,
    single_models,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from training.verdict.evaluation import RouterQuality, RoutingEvaluation

# The palette of Okabe and Ito, which colour-blind readers can tell apart. The router has its blue. Dashes differ too.
_BASELINE_COLOURS = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ((0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1)), (0, (8, 2)))
_STAR = "best single model"
# Points along a line. A straight line is bent on a logarithmic axis, so two points are not enough.
_POINTS = 200


def plot_curve(evaluation: RoutingEvaluation) -> Figure:
    """Draw quality against cost. If costs are unknown, draw quality only."""
    if not evaluation.priced:
        return _plot_qualities(evaluation)
    figure = Figure(figsize=(9.6, 6.6), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    singles = single_models(evaluation)
    corners = [1000 * usd for router in evaluation.routers for usd, _ in router.hull]
    set_cost_scale(axes, [usd for _, usd, _ in singles] + corners)
    lines = _draw_lines(axes, evaluation)
    _draw_singles(axes, evaluation)
    presets = _draw_presets(axes, evaluation.routers[0])
    axes.set(xlabel=USD_LABEL, ylabel=QUALITY_LABEL)
    apply_style(figure, [axes])
    set_title(axes, "Quality and cost", evaluation)
    add_legend(figure, axes, first=(evaluation.routers[0].name, _STAR))
    names = [
        Callout(x=usd, y=quality, text=name, colour=INK, bold=name == evaluation.best) for name, usd, quality in singles
    ]
    # Callouts need the final limits of the axes, so they come last. The most important names get the best places.
    place_callouts(axes, [*presets, *sorted(names, key=lambda name: not name.bold)], lines=lines, paper=PAPER)
    disable_formulas(figure)
    return figure


def _draw_lines(axes: Axes, evaluation: RoutingEvaluation) -> list[NDArray[np.float64]]:
    """Draw the hulls, the quality of the best single model and the span of AIQ.

    Returns:
        The lines that names should not cover, each of shape (points, 2).
    """
    usd = {name: usd for name, usd, _ in single_models(evaluation)}
    level = next(model.quality.value for model in evaluation.models if model.name == evaluation.best)
    # The grey area shows over which costs AIQ averages.
    axes.axvspan(usd[evaluation.cheapest], usd[evaluation.best], color=GRID, alpha=0.35, label="span of AIQ", zorder=0)
    axes.axhline(level, color=INK, linewidth=1, linestyle=":", label=f"quality of {evaluation.best}")
    router, *baselines = evaluation.routers
    lines = []
    # A baseline with one setting is a point. It would clutter the picture and is listed in the tables.
    curves = [baseline for baseline in baselines if len(baseline.hull) > 1 and baseline.name != ORACLE]
    for baseline, colour, dash in zip(curves, _BASELINE_COLOURS, _DASHES, strict=False):
        lines.append(_trace(baseline, usd[evaluation.best]))
        axes.plot(*lines[-1].T, color=colour, linestyle=dash, linewidth=1.6, label=baseline.name)
    # The oracle is pale, because it is a limit and not a competitor.
    for oracle in (baseline for baseline in baselines if baseline.name == ORACLE and baseline.hull):
        lines.append(_trace(oracle, usd[evaluation.best]))
        axes.plot(*lines[-1].T, color=FAINT, linewidth=1, alpha=0.7, label=f"{ORACLE} (out of reach)")
    lines.append(_trace(router, usd[evaluation.best]))
    axes.plot(*lines[-1].T, color=ACCENT, linewidth=3, label=router.name, zorder=4)
    ends = axes.get_xlim()
    # A linear axis may start at 0 or below, which a geometric series cannot.
    across = np.geomspace(max(ends[0], 1e-9), ends[1], _POINTS)
    return [*lines, np.stack((across, np.full(_POINTS, level)), axis=1)]


def _trace(router: RouterQuality, usd_to: float) -> NDArray[np.float64]:
    """Return points along a hull, up to at least a cost in USD per 1,000 prompts; shape (points, 2)."""
    corners = np.array(router.hull) * (1000, 1)
    costs = corners[:, 0]
    end = max(usd_to, costs[-1])
    spread = np.geomspace(costs[0], end, _POINTS) if costs[0] > 0 else np.linspace(0, end, _POINTS)
    places = np.union1d(spread, costs)
    return np.stack((places, np.interp(places, costs, corners[:, 1])), axis=1)


def _draw_singles(axes: Axes, evaluation: RoutingEvaluation) -> None:
    """Draw a dot for each single model, and a star for the best one."""
    for name, usd, quality in single_models(evaluation):
        best = name == evaluation.best
        axes.plot(
            usd,
            quality,
            marker="*" if best else "o",
            markersize=15 if best else 6,
            color=INK,
            markeredgecolor=PAPER,
            linestyle="none",
            label=_STAR if best else None,
            zorder=7 if best else 5,
        )


def _draw_presets(axes: Axes, router: RouterQuality) -> list[Callout]:
    """Draw a diamond for each setting with a name; return the names."""
    callouts = [
        Callout(x=1000 * point.cost_usd, y=point.quality, text=point.label, colour=ACCENT, bold=True)
        for point in router.curve
        if point.label and point.cost_usd is not None
    ]
    for callout in callouts:
        axes.plot(callout.x, callout.y, marker="D", markersize=8, color=ACCENT, markeredgecolor=PAPER, zorder=6)
    return callouts


def _plot_qualities(evaluation: RoutingEvaluation) -> Figure:
    """Draw the quality of each single model and of each router's best setting, best first."""
    routers = {router.name: max(point.quality for point in router.curve) for router in evaluation.routers}
    qualities = [(model.name, model.quality.value) for model in evaluation.models] + list(routers.items())
    qualities.sort(key=lambda entry: -entry[1])
    figure = Figure(figsize=(9.6, 1.2 + 0.32 * len(qualities)), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    for row, (name, quality) in enumerate(qualities):
        colour = ACCENT if name == evaluation.routers[0].name else FAINT if name in routers else INK
        axes.plot(quality, row, marker="D" if name in routers else "o", markersize=7, color=colour)
    axes.set_yticks(range(len(qualities)), [name for name, _ in qualities])
    axes.set_ylim(len(qualities) - 0.5, -0.5)
    axes.set_xlabel("quality: mean score (no costs are known; diamonds: routers at their best setting)")
    apply_style(figure, [axes])
    set_title(axes, "Quality", evaluation)
    disable_formulas(figure)
    return figure
