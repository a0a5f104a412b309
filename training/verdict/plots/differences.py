"""Draw how far the router is ahead of each baseline in AIQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from training.evaluation.plots import ACCENT, FAINT, INK
from training.verdict.baselines import ORACLE
from training.verdict.format import format_lead
from training.verdict.plots.style import PAPER, WORSE, apply_style, disable_formulas, set_title, whiskers

if TYPE_CHECKING:
    from training.verdict.evaluation import RoutingEvaluation


def plot_differences(evaluation: RoutingEvaluation) -> Figure:
    """Draw the router's AIQ minus that of each baseline, with its interval.

    The oracle and the baselines with a single setting are left out. They are far away and would squeeze the others.
    """
    shown = [router.name for router in evaluation.routers[1:] if len(router.curve) > 1 and router.name != ORACLE]
    differences = {name: evaluation.differences[name] for name in shown}
    figure = Figure(figsize=(9.6, 1.4 + 0.42 * len(differences)), layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    for row, interval in enumerate(differences.values()):
        colour = ACCENT if interval.low > 0 else WORSE if interval.high < 0 else FAINT
        axes.errorbar(
            interval.value, row, xerr=whiskers([interval]), fmt="o", markersize=7, capsize=4, color=colour, ecolor=colour
        )
    axes.set_yticks(range(len(differences)), list(differences))
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.set_xlabel("AIQ of the router minus that of the baseline; right of 0 the router is better")
    set_title(axes, "How far the router is ahead", evaluation)
    # A second axis writes the figures at the right end of each row.
    figures = axes.twinx()
    figures.set_ylim(axes.get_ylim())
    figures.set_yticks(range(len(differences)), [format_lead(interval) for interval in differences.values()])
    apply_style(figure, [axes, figures], grid="x")
    disable_formulas(figure)
    return figure
