"""Draw the results of each option of the router that weighs quality against cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from training.evaluation.plots import ACCENT, FAINT, INK
from training.verdict.plots.callouts import Callout, place_callouts
from training.verdict.plots.style import (
    PAPER,
    QUALITY_LABEL,
    USD_LABEL,
    apply_style,
    disable_formulas,
    set_cost_scale,
    single_models,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from training.verdict.evaluation import CurvePoint, RoutingEvaluation

_PANELS_IN_A_ROW = 2


def plot_dials(evaluation: RoutingEvaluation) -> Figure:
    """Draw one panel for each option, with the results at several values of it.

    Each panel shows the other options in grey. All panels have the same axes.
    """
    dials = {name: _locate(points) for name, points in evaluation.positions.items()}
    rows, columns = math.ceil(len(dials) / _PANELS_IN_A_ROW), min(len(dials), _PANELS_IN_A_ROW)
    figure = Figure(figsize=(4.9 * columns, 3.9 * rows), layout="constrained", facecolor=PAPER)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten().tolist()
    # With an odd number of options the last panel of the grid stays empty.
    for panel in panels[len(dials) :]:
        panel.set_visible(False)
    panels = panels[: len(dials)]
    singles = np.array([(usd, quality) for _, usd, quality in single_models(evaluation)])
    set_cost_scale(panels[0], [float(usd) for places in (singles, *dials.values()) for usd in places[:, 0]])
    for panel, dial in zip(panels, dials, strict=True):
        _draw_dial(panel, dial, dials, singles)
    figure.supxlabel(USD_LABEL, color=INK, size=10)
    figure.supylabel(QUALITY_LABEL, color=INK, size=10)
    apply_style(figure, panels)
    # Callouts need the final limits, which all panels share: draw everything else in all panels first.
    for panel, (dial, points) in zip(panels, evaluation.positions.items(), strict=True):
        _write_values(panel, points, dials[dial], dials, singles)
    disable_formulas(figure)
    return figure


def _draw_dial(axes: Axes, dial: str, dials: Mapping[str, NDArray[np.float64]], singles: NDArray[np.float64]) -> None:
    """Draw one option in front, the others behind it, and the single models as dots."""
    axes.plot(*singles.T, marker="o", markersize=4, color=FAINT, markeredgecolor=PAPER, linestyle="none")
    for name, places in dials.items():
        front = name == dial
        axes.plot(
            *places.T,
            marker="o" if front else None,
            markersize=6,
            markeredgecolor=PAPER,
            color=ACCENT if front else FAINT,
            linewidth=2 if front else 0.8,
            zorder=4 if front else 2,
        )
    axes.set_title(dial, color=INK, size=11, loc="left", weight="bold")


def _write_values(
    axes: Axes,
    points: Sequence[CurvePoint],
    places: NDArray[np.float64],
    dials: Mapping[str, NDArray[np.float64]],
    singles: NDArray[np.float64],
) -> None:
    """Write the value of the option beside each of its points."""
    callouts = [
        Callout(x=usd, y=quality, text=point.label, colour=INK)
        for point, (usd, quality) in zip(points, places.tolist(), strict=True)
    ]
    marks = [(usd, quality) for usd, quality in singles.tolist()]
    place_callouts(axes, callouts, marks=marks, lines=[_join(corners) for corners in dials.values()], paper=PAPER)


def _locate(points: Sequence[CurvePoint]) -> NDArray[np.float64]:
    """Return USD per 1,000 prompts and quality of each point, shape (points, 2)."""
    return np.array([(1000 * (point.cost_usd or 0.0), point.quality) for point in points])


def _join(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points along the line through the corners, ten for each segment; shape (points, 2)."""
    steps = np.linspace(0, len(corners) - 1, 10 * (len(corners) - 1) + 1)
    return np.stack([np.interp(steps, np.arange(len(corners)), corners[:, column]) for column in (0, 1)], axis=1)
