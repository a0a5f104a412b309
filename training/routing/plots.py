"""Pictures of routing: quality against cost, regret, differences, the dial. Needs matplotlib, the extra `plots`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from training.plots import ACCENT, FAINT, INK
from training.routing.callouts import Callout, place_callouts
from training.routing.tables import ORACLE, tell_lead

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from training.evaluate import Interval
    from training.routing.evaluation import CurvePoint, RouterQuality, RoutingEvaluation

# Okabe and Ito's colours, told apart by the colour-blind; blue is ACCENT. Lines differ by their dashes, too.
PAPER, GRID, WORSE = "#ffffff", "#dddddd", "#d55e00"
BASELINE_COLOURS = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ((0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1)), (0, (8, 2)))
_PER_PROMPTS = 1000
_WIDE = 10  # a cost axis that spans more than this factor is logarithmic
_USD = "cost, USD per 1,000 prompts"
_PANELS_IN_A_ROW = 2
_STAR = "best single model"


def plot_curve(evaluation: RoutingEvaluation) -> Figure:
    """Draw what quality costs: the router with its presets, the baselines' curves, every single model.

    Where no costs are known, quality alone.
    """
    if not evaluation.priced:
        return _plot_qualities(evaluation)
    figure = Figure(figsize=(9.6, 6.6), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    _set_cost_scale(axes, [usd for _, usd, _ in _singles(evaluation)] + _costs(evaluation))
    lines = _draw_lines(axes, evaluation)
    _draw_singles(axes, evaluation)
    presets = _draw_presets(axes, evaluation.routers[0])
    axes.set(xlabel=_USD, ylabel="quality: mean score")
    _finish(figure, [axes])
    _head(axes, "What quality costs", evaluation)
    _add_legend(figure, axes, first=(evaluation.routers[0].name, _STAR))
    names = [
        Callout(x=usd, y=quality, text=name, colour=INK, bold=name == evaluation.best)
        for name, usd, quality in _singles(evaluation)
    ]
    place_callouts(axes, [*presets, *sorted(names, key=lambda name: not name.bold)], lines=lines, paper=PAPER)
    _write_literally(figure)
    return figure


def plot_regret(evaluation: RoutingEvaluation) -> Figure:
    """Draw, by task, what a perfect choice would add to the router's and to the best single model's."""
    tasks = list(evaluation.regret)
    figure = Figure(figsize=(9.6, 1.7 + 0.55 * len(tasks)), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    rows = np.arange(len(tasks))
    bars = (
        (f"{evaluation.best} alone", -0.2, FAINT, "///", [task.of_best_single for task in tasks]),
        (evaluation.routers[0].name, 0.2, ACCENT, "", [task.regret for task in tasks]),
    )
    for label, offset, colour, hatch, intervals in bars:
        axes.barh(
            rows + offset,
            [interval.value for interval in intervals],
            height=0.36,
            xerr=_whiskers(intervals),
            color=colour,
            hatch=hatch,
            edgecolor=PAPER,
            error_kw={"ecolor": INK, "elinewidth": 1.2, "capsize": 3},
            label=label,
        )
    axes.set_yticks(rows, [f"{task.task or 'no task named'} ({task.n:,})" for task in tasks])
    axes.invert_yaxis()
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set(xlabel="regret: points of score that the best model for each prompt would add", ylabel="task (prompts)")
    _finish(figure, [axes], grid="x")
    _head(axes, "What a perfect choice would add, by task", evaluation)
    _add_legend(figure, axes)
    _write_literally(figure)
    return figure


def plot_differences(evaluation: RoutingEvaluation) -> Figure:
    """Draw the router's AIQ less that of each baseline that has a dial, with its interval.

    The oracle, whom nobody reaches, and those behind by far for want of a dial would squeeze the others, and are left out.
    """
    shown = [router.name for router in evaluation.routers[1:] if len(router.curve) > 1 and router.name != ORACLE]
    differences = {name: evaluation.differences[name] for name in shown}
    figure = Figure(figsize=(9.6, 1.4 + 0.42 * len(differences)), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    for row, interval in enumerate(differences.values()):
        colour = ACCENT if interval.low > 0 else WORSE if interval.high < 0 else FAINT
        axes.errorbar(
            interval.value, row, xerr=_whiskers([interval]), fmt="o", markersize=7, capsize=4, color=colour, ecolor=colour
        )
    axes.set_yticks(range(len(differences)), list(differences))
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.set_xlabel("AIQ of the router less the baseline's; right of 0 the router is better")
    _head(axes, "How far the router is ahead", evaluation)
    told = axes.twinx()
    told.set_ylim(axes.get_ylim())
    told.set_yticks(range(len(differences)), [tell_lead(interval) for interval in differences.values()])
    _finish(figure, [axes, told], grid="x")
    _write_literally(figure)
    return figure


def plot_dials(evaluation: RoutingEvaluation) -> Figure:
    """Draw what each position of each dial reaches: a panel for every dial, the others behind it, all on the same axes."""
    dials = {name: _place(points) for name, points in evaluation.positions.items()}
    rows, columns = math.ceil(len(dials) / _PANELS_IN_A_ROW), min(len(dials), _PANELS_IN_A_ROW)
    figure = Figure(figsize=(4.9 * columns, 3.9 * rows), layout="constrained", facecolor=PAPER)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten().tolist()
    for panel in panels[len(dials) :]:
        panel.set_visible(False)
    panels = panels[: len(dials)]
    singles = np.array([(usd, quality) for _, usd, quality in _singles(evaluation)])
    _set_cost_scale(panels[0], [float(usd) for place in (singles, *dials.values()) for usd in place[:, 0]])
    for panel, dial in zip(panels, dials, strict=True):
        _draw_dial(panel, dial, dials, singles)
    figure.supxlabel(_USD, color=INK, size=10)
    figure.supylabel("quality: mean score", color=INK, size=10)
    _finish(figure, panels)
    for panel, (dial, points) in zip(panels, evaluation.positions.items(), strict=True):
        callouts = [
            Callout(x=usd, y=quality, text=point.label, colour=INK)
            for point, (usd, quality) in zip(points, dials[dial].tolist(), strict=True)
        ]
        marks = [(usd, quality) for usd, quality in singles.tolist()]
        place_callouts(panel, callouts, marks=marks, lines=[_join(place) for place in dials.values()], paper=PAPER)
    _write_literally(figure)
    return figure


def _singles(evaluation: RoutingEvaluation) -> list[tuple[str, float, float]]:
    """Return name, USD per 1,000 prompts and quality of each single model whose price is known."""
    return [
        (model.name, model.cost_usd * _PER_PROMPTS, model.quality.value)
        for model in evaluation.models
        if model.cost_usd is not None
    ]


def _costs(evaluation: RoutingEvaluation) -> list[float]:
    """Return what the corners of all curves cost, in USD per 1,000 prompts."""
    return [usd * _PER_PROMPTS for router in evaluation.routers for usd, _ in router.hull]


def _set_cost_scale(axes: Axes, costs: Sequence[float]) -> None:
    """Make the axis of costs logarithmic where they span more than a factor of 10, linear about 0 where some are free."""
    priced = [usd for usd in costs if usd > 0]
    if not priced or max(priced) <= _WIDE * min(priced):
        return
    if len(priced) < len(costs):
        axes.set_xscale("symlog", linthresh=min(priced))
    else:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda usd, _: f"{usd:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_lines(axes: Axes, evaluation: RoutingEvaluation) -> list[NDArray[np.float64]]:
    """Draw the routers' hulls, the best single model's level and the span; return what names should not cover."""
    usd = {name: usd for name, usd, _ in _singles(evaluation)}
    level = next(model.quality.value for model in evaluation.models if model.name == evaluation.best)
    axes.axvspan(usd[evaluation.cheapest], usd[evaluation.best], color=GRID, alpha=0.35, label="span of AIQ", zorder=0)
    axes.axhline(level, color=INK, linewidth=1, linestyle=":", label=f"quality of {evaluation.best}")
    router, *baselines = evaluation.routers
    lines = []
    curves = [baseline for baseline in baselines if len(baseline.hull) > 1 and baseline.name != ORACLE]
    for baseline, colour, dash in zip(curves, BASELINE_COLOURS, _DASHES, strict=False):
        lines.append(_trace(baseline, usd[evaluation.best]))
        axes.plot(*lines[-1].T, color=colour, linestyle=dash, linewidth=1.6, label=baseline.name)
    for oracle in (baseline for baseline in baselines if baseline.name == ORACLE and baseline.hull):
        lines.append(_trace(oracle, usd[evaluation.best]))
        axes.plot(*lines[-1].T, color=FAINT, linewidth=1, alpha=0.7, label=f"{ORACLE} (out of reach)")
    lines.append(_trace(router, usd[evaluation.best]))
    axes.plot(*lines[-1].T, color=ACCENT, linewidth=3, label=router.name, zorder=4)
    ends = axes.get_xlim()
    return [*lines, np.stack((np.geomspace(max(ends[0], 1e-9), ends[1], 200), np.full(200, level)), axis=1)]


def _trace(router: RouterQuality, usd_to: float) -> NDArray[np.float64]:
    """Return points along a hull, shape (n, 2), on to the best single model's cost: what is straight bends on a log axis."""
    corners = np.array(router.hull) * (_PER_PROMPTS, 1)
    costs = corners[:, 0]
    places = (
        np.geomspace(costs[0], max(usd_to, costs[-1]), 200) if costs[0] > 0 else np.linspace(0, max(usd_to, costs[-1]), 200)
    )
    places = np.union1d(places, costs)
    return np.stack((places, np.interp(places, costs, corners[:, 1])), axis=1)


def _draw_singles(axes: Axes, evaluation: RoutingEvaluation) -> None:
    for name, usd, quality in _singles(evaluation):
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
    """Mark the settings that have a name; return the names."""
    named = [point for point in router.curve if point.label and point.cost_usd is not None]
    callouts = [
        Callout(x=(point.cost_usd or 0) * _PER_PROMPTS, y=point.quality, text=point.label, colour=ACCENT, bold=True)
        for point in named
    ]
    for callout in callouts:
        axes.plot(callout.x, callout.y, marker="D", markersize=8, color=ACCENT, markeredgecolor=PAPER, zorder=6)
    return callouts


def _plot_qualities(evaluation: RoutingEvaluation) -> Figure:
    """Draw the quality of the routers' best settings and of every single model, best first."""
    best = {router.name: max(point.quality for point in router.curve) for router in evaluation.routers}
    told = [(model.name, model.quality.value) for model in evaluation.models] + list(best.items())
    told.sort(key=lambda quality: -quality[1])
    figure = Figure(figsize=(9.6, 1.2 + 0.32 * len(told)), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    for row, (name, quality) in enumerate(told):
        colour = ACCENT if name == evaluation.routers[0].name else FAINT if name in best else INK
        axes.plot(quality, row, marker="D" if name in best else "o", markersize=7, color=colour)
    axes.set_yticks(range(len(told)), [name for name, _ in told])
    axes.set_ylim(len(told) - 0.5, -0.5)
    axes.set_xlabel("quality: mean score (no costs are known; diamonds: routers at their best setting)")
    _finish(figure, [axes])
    _head(axes, "Quality", evaluation)
    _write_literally(figure)
    return figure


def _draw_dial(axes: Axes, dial: str, dials: Mapping[str, NDArray[np.float64]], singles: NDArray[np.float64]) -> None:
    axes.plot(*singles.T, marker="o", markersize=4, color=FAINT, markeredgecolor=PAPER, linestyle="none")
    for name, place in dials.items():
        front = name == dial
        axes.plot(
            *place.T,
            marker="o" if front else None,
            markersize=6,
            markeredgecolor=PAPER,
            color=ACCENT if front else FAINT,
            linewidth=2 if front else 0.8,
            zorder=4 if front else 2,
        )
    axes.set_title(dial, color=INK, size=11, loc="left", weight="bold")


def _place(points: Sequence[CurvePoint]) -> NDArray[np.float64]:
    """Return where positions of a dial lie, shape (positions, 2): USD per 1,000 prompts and quality."""
    return np.array([((point.cost_usd or 0.0) * _PER_PROMPTS, point.quality) for point in points])


def _join(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points along a line through the corners, ten to a leg."""
    legs = np.linspace(0, len(corners) - 1, 10 * (len(corners) - 1) + 1)
    return np.stack([np.interp(legs, np.arange(len(corners)), corners[:, column]) for column in (0, 1)], axis=1)


def _whiskers(intervals: Sequence[Interval]) -> NDArray[np.float64]:
    """Return how far intervals reach below and above their values, shape (2, n), at least 0."""
    reach = [(interval.value - interval.low, interval.high - interval.value) for interval in intervals]
    return np.asarray(np.maximum(np.array(reach).T, 0), np.float64)


def _head(axes: Axes, title: str, evaluation: RoutingEvaluation) -> None:
    axes.set_title(f"{title}: {evaluation.name}, n = {evaluation.n:,}", color=INK, size=11, loc="left")


def _add_legend(figure: Figure, axes: Axes, first: Sequence[str] = ()) -> None:
    """Write what is what below the picture, some names before the others."""
    named = sorted(zip(*axes.get_legend_handles_labels(), strict=True), key=lambda entry: entry[1] not in first)
    handles, labels = zip(*named, strict=True)
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, labelcolor=INK)


def _finish(figure: Figure, panels: Iterable[Axes], grid: Literal["both", "x"] = "both") -> None:
    figure.set_facecolor(PAPER)
    for axes in panels:
        axes.set_facecolor(PAPER)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", colors=INK, labelsize=9.5, length=0)
        axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.7)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.spines[:].set_visible(False)


def _write_literally(figure: Figure) -> None:
    """Keep a model's name with dollar signs in it from being read as a formula."""
    is_text: Callable[[object], bool] = lambda artist: isinstance(artist, Text)  # noqa: E731
    for text in figure.findobj(is_text):
        text.set_parse_math(False)  # type: ignore[attr-defined]


def draw_all(evaluation: RoutingEvaluation) -> dict[str, Figure]:
    """Return every picture of an evaluation by name: `curve`, `differences`, `regret`, and where costs are known `dials`."""
    figures = {
        "curve": plot_curve(evaluation),
        "differences": plot_differences(evaluation),
        "regret": plot_regret(evaluation),
    }
    return figures | ({"dials": plot_dials(evaluation)} if evaluation.priced and evaluation.positions else {})
