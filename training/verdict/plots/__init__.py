"""Draw a routing evaluation: quality against cost, differences, regret, options. Needs matplotlib (extra `plots`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.verdict.plots.curve import plot_curve
from training.verdict.plots.dials import plot_dials
from training.verdict.plots.differences import plot_differences
from training.verdict.plots.regret import plot_regret

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.verdict.evaluation import RoutingEvaluation

__all__ = ["draw_all", "plot_curve", "plot_dials", "plot_differences", "plot_regret"]


def draw_all(evaluation: RoutingEvaluation) -> dict[str, Figure]:
    """Return all pictures of an evaluation by name: `curve`, `differences`, `regret`, and `dials` if costs are known."""
    figures = {
        "curve": plot_curve(evaluation),
        "differences": plot_differences(evaluation),
        "regret": plot_regret(evaluation),
    }
    return figures | ({"dials": plot_dials(evaluation)} if evaluation.priced and evaluation.positions else {})
