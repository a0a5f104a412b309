"""Draw how much score a perfect choice of model would add, by task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from training.evaluation.plots import ACCENT, FAINT, INK
from training.verdict.plots.style import PAPER, add_legend, apply_style, disable_formulas, set_title, whiskers

if TYPE_CHECKING:
    from training.verdict.evaluation import RoutingEvaluation


def plot_regret(evaluation: RoutingEvaluation) -> Figure:
    """Draw the regret of the router and of the best single model on each task."""
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
            xerr=whiskers(intervals),
            color=colour,
            hatch=hatch,
            edgecolor=PAPER,
            error_kw={"ecolor": INK, "elinewidth": 1.2, "capsize": 3},
            label=label,
        )
    axes.set_yticks(rows, [f"{task.task or 'task not given'} ({task.n:,})" for task in tasks])
    # The most frequent task comes first and belongs at the top.
    axes.invert_yaxis()
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set(xlabel="regret: score that the best model for each prompt would add", ylabel="task (prompts)")
    apply_style(figure, [axes], grid="x")
    set_title(axes, "Score that a perfect choice would add, by task", evaluation)
    add_legend(figure, axes)
    disable_formulas(figure)
    return figure
