"""The common look of the pictures: colours, axes, titles, legends, and single models as points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from training.evaluation.plots import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from training.evaluation.intervals import Interval
    from training.verdict.evaluation import RoutingEvaluation

PAPER, GRID, WORSE = "#ffffff", "#dddddd", "#d55e00"
USD_LABEL = "cost, USD per 1,000 prompts"
QUALITY_LABEL = "quality: mean score"
_WIDE = 10  # a cost axis that spans more than this factor is logarithmic


def single_models(evaluation: RoutingEvaluation) -> list[tuple[str, float, float]]:
    """Return name, USD per 1,000 prompts and quality of each single model whose cost is known."""
    return [
        (model.name, 1000 * model.cost_usd, model.quality.value) for model in evaluation.models if model.cost_usd is not None
    ]


def set_cost_scale(axes: Axes, costs: Sequence[float]) -> None:
    """Make the cost axis logarithmic if costs span more than a factor of 10.

    If some models are free, the axis is linear around 0 and logarithmic above the lowest price.
    """
    priced = [usd for usd in costs if usd > 0]
    if not priced or max(priced) <= _WIDE * min(priced):
        return
    if len(priced) < len(costs):
        axes.set_xscale("symlog", linthresh=min(priced))
    else:
        axes.set_xscale("log")
        # Powers of 10 alone would leave a narrow axis with one label or none.
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda usd, _: f"{usd:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def whiskers(intervals: Sequence[Interval]) -> NDArray[np.float64]:
    """Return how far intervals reach below and above their values, shape (2, n), at least 0."""
    reach = [(interval.value - interval.low, interval.high - interval.value) for interval in intervals]
    return np.asarray(np.maximum(np.array(reach).T, 0), np.float64)


def set_title(axes: Axes, title: str, evaluation: RoutingEvaluation) -> None:
    """Write the title with the benchmark's name and its number of prompts."""
    axes.set_title(f"{title}: {evaluation.name}, n = {evaluation.n:,}", color=INK, size=11, loc="left")


def add_legend(figure: Figure, axes: Axes, first: Sequence[str] = ()) -> None:
    """Add a legend below the picture.

    Args:
        figure: The picture.
        axes: Axes whose labelled artists are listed.
        first: Labels that stand before the others.
    """
    named = sorted(zip(*axes.get_legend_handles_labels(), strict=True), key=lambda entry: entry[1] not in first)
    handles, labels = zip(*named, strict=True)
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, labelcolor=INK)


def apply_style(figure: Figure, panels: Iterable[Axes], grid: Literal["both", "x"] = "both") -> None:
    """Set background, grid and text colours, and remove the frames."""
    figure.set_facecolor(PAPER)
    for axes in panels:
        axes.set_facecolor(PAPER)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", colors=INK, labelsize=9.5, length=0)
        axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.7)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.spines[:].set_visible(False)


def disable_formulas(figure: Figure) -> None:
    """Draw dollar signs in model names as letters. Matplotlib would read the text between two of them as a formula."""
    is_text: Callable[[object], bool] = lambda artist: isinstance(artist, Text)  # noqa: E731
    for text in figure.findobj(is_text):
        text.set_parse_math(False)  # type: ignore[attr-defined]
