"""Names beside points of a picture, so that none covers another. Needs matplotlib, the extra `plots`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# Where a name may stand: to the right first, then round the clock; near first. In points from its mark.
_RADII = (6.0, 13.0, 21.0, 31.0, 43.0, 57.0, 73.0)
_ANGLES = np.radians((0, 180, 35, 325, 145, 215, 90, 270, 65, 115, 245, 295))
_LED = 10.0  # a name farther away than this gets a line to its mark
_MARK, _DOT, _AIR = (
    4.0,
    1.5,
    1.5,
)  # points from the middle of a mark, of a line and of a name to the border of what they take
_PAGE_WEIGHT, _NAME_WEIGHT, _MARK_WEIGHT, _LINE_WEIGHT, _FAR_WEIGHT = 100.0, 50.0, 8.0, 3.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Callout:
    """A name and the point it is of, in the units of the axes."""

    x: float
    y: float
    text: str
    colour: str
    bold: bool = False


def place_callouts(
    axes: Axes,
    callouts: Sequence[Callout],
    *,
    marks: Sequence[tuple[float, float]] = (),
    lines: Iterable[NDArray[np.float64]] = (),
    paper: str,
    size: float = 8.5,
) -> list[Text]:
    """Write names beside their points, each where it covers least of the names before it, marks and lines.

    Greedy in the given order, and always the same: of places equally good, the nearest. The axes' limits must be final.

    Args:
        axes: Where to write.
        callouts: The names; their own points count as marks.
        marks: Further points to keep free.
        lines: Lines to keep free, each of shape (points, 2), sampled densely enough.
        paper: Colour of the ground behind a name.
        size: Of the letters, in points.
    """
    figure = axes.get_figure(root=True)
    if not callouts or not isinstance(figure, Figure):
        return []
    figure.draw_without_rendering()
    point = figure.dpi / 72
    own = _to_points(axes, [(callout.x, callout.y) for callout in callouts], point)
    taken = [_boxes(own, _MARK), _boxes(_to_points(axes, marks, point), _MARK)]
    dots = [_boxes(_to_points(axes, line, point), _DOT) for line in lines]
    field = np.array(axes.get_window_extent().extents) / point
    names = np.empty((0, 4))
    texts = []
    for callout, mark in zip(callouts, own, strict=True):
        text = axes.text(callout.x, callout.y, callout.text, parse_math=False, size=size, weight=_weight(callout))
        extent = text.get_window_extent()
        text.remove()
        places = _places(mark, extent.width / point + 2 * _AIR, extent.height / point + 2 * _AIR)
        cost = _FAR_WEIGHT * np.repeat(_RADII, len(_ANGLES))
        cost += _PAGE_WEIGHT * (_areas(places) - _covered(places, field[None]))
        cost += _NAME_WEIGHT * _covered(places, names)
        cost += _MARK_WEIGHT * sum(_covered(places, boxes) for boxes in taken)
        cost += _LINE_WEIGHT * sum(_covered(places, boxes) for boxes in dots)
        best = places[int(np.argmin(cost))]
        names = np.vstack((names, best))
        texts.append(_write(axes, callout, (best[:2] + best[2:]) / 2 - mark, best, paper=paper, size=size))
    return texts


def _to_points(axes: Axes, values: Sequence[tuple[float, float]] | NDArray[np.float64], point: float) -> NDArray[np.float64]:
    """Return positions on the figure, shape (n, 2), in points."""
    return np.asarray(axes.transData.transform(np.reshape(values, (-1, 2))), np.float64) / point


def _boxes(middles: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Return squares as (left, bottom, right, top)."""
    return np.hstack((middles - reach, middles + reach))


def _places(mark: NDArray[np.float64], width: float, height: float) -> NDArray[np.float64]:
    """Return the boxes a name could take, nearest first: beside, above or below the mark, never across it."""
    turns = np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), axis=1)
    nearest = mark + np.concatenate([radius * turns for radius in _RADII])
    sides = np.tile((1 - np.sign(np.round(turns, 3))) / 2, (len(_RADII), 1))
    low = nearest - sides * (width, height)
    return np.hstack((low, low + np.array((width, height))))


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), np.float64)


def _covered(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each box, how much of it the others cover, those that overlap counted twice."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.prod(np.maximum(high - low, 0), axis=2).sum(axis=1), np.float64)


def _write(
    axes: Axes, callout: Callout, offset: NDArray[np.float64], box: NDArray[np.float64], *, paper: str, size: float
) -> Text:
    gaps = np.maximum(np.abs(offset) - (box[2:] - box[:2]) / 2, 0)
    led = float(np.hypot(*gaps)) > _LED
    text = axes.annotate(
        callout.text,
        (callout.x, callout.y),
        xytext=(float(offset[0]), float(offset[1])),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=size,
        color=callout.colour,
        weight=_weight(callout),
        parse_math=False,
        bbox={"facecolor": paper, "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
        arrowprops={"arrowstyle": "-", "color": callout.colour, "linewidth": 0.6, "alpha": 0.7, "shrinkB": 2}
        if led
        else None,
        zorder=6,
    )
    # The layout is settled; names must not shrink the axes once more.
    text.set_in_layout(False)
    return text


def _weight(callout: Callout) -> str:
    return "bold" if callout.bold else "normal"
