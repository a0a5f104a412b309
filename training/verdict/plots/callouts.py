"""Write names beside the points of a picture, so that no name covers another."""

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

# Places of a name around its point: near before far, right before left before the other directions. In points (1/72 inch).
_RADII = (6.0, 13.0, 21.0, 31.0, 43.0, 57.0, 73.0)
_ANGLES = np.radians((0, 180, 35, 325, 145, 215, 90, 270, 65, 115, 245, 295))
# A name farther away than this gets a thin line to its point.
_FAR = 10.0
# Half the width that a mark and a dot of a line keep free, and the margin around a name.
_MARK, _DOT, _MARGIN = 4.0, 1.5, 1.5
# Costs of covered area: a name outside the picture is worst, then on another name, on a mark, on a line. The last weighs the
# distance to the point.
_PAGE_WEIGHT, _NAME_WEIGHT, _MARK_WEIGHT, _LINE_WEIGHT, _FAR_WEIGHT = 100.0, 50.0, 8.0, 3.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Callout:
    """A name beside a point.

    Attributes:
        x: Horizontal position of the point, in data units.
        y: Vertical position of the point, in data units.
        text: The name.
        colour: Colour of the letters.
        bold: Whether the letters are bold.
    """

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
    """Write each name at the place where it covers the least of earlier names, marks and lines.

    Names are placed one by one in the given order. Ties go to the nearest place, so the result is always the same. The
    limits of the axes must be final.

    Args:
        axes: Axes to write on.
        callouts: The names. Their points count as marks.
        marks: Further points to keep free, in data units.
        lines: Lines to keep free, each of shape (points, 2), sampled densely enough.
        paper: Colour behind each name.
        size: Size of the letters in points.
    """
    figure = axes.get_figure(root=True)
    if not callouts or not isinstance(figure, Figure):
        return []
    # The layout must be known before positions can be converted.
    figure.draw_without_rendering()
    point = figure.dpi / 72
    own = _to_points(axes, [(callout.x, callout.y) for callout in callouts], point)
    taken = [_boxes(own, _MARK), _boxes(_to_points(axes, marks, point), _MARK)]
    dots = [_boxes(_to_points(axes, line, point), _DOT) for line in lines]
    field = np.array(axes.get_window_extent().extents) / point
    names = np.empty((0, 4))
    texts = []
    for callout, mark in zip(callouts, own, strict=True):
        width, height = _measure(axes, callout, size, point)
        places = _places(mark, width, height)
        # Costs are summed in points, so the weights trade area covered against distance.
        cost = _FAR_WEIGHT * np.repeat(_RADII, len(_ANGLES))
        cost += _PAGE_WEIGHT * (_areas(places) - _covered(places, field[None]))
        cost += _NAME_WEIGHT * _covered(places, names)
        cost += _MARK_WEIGHT * sum(_covered(places, boxes) for boxes in taken)
        cost += _LINE_WEIGHT * sum(_covered(places, boxes) for boxes in dots)
        best = places[int(np.argmin(cost))]
        names = np.vstack((names, best))
        texts.append(_write(axes, callout, (best[:2] + best[2:]) / 2 - mark, best, paper=paper, size=size))
    return texts


def _measure(axes: Axes, callout: Callout, size: float, point: float) -> tuple[float, float]:
    """Return width and height of a name with its margin, in points."""
    # The size of a text is only known once it is drawn. It is drawn, measured and removed.
    text = axes.text(callout.x, callout.y, callout.text, parse_math=False, size=size, weight=_weight(callout))
    extent = text.get_window_extent()
    text.remove()
    return extent.width / point + 2 * _MARGIN, extent.height / point + 2 * _MARGIN


def _to_points(axes: Axes, values: Sequence[tuple[float, float]] | NDArray[np.float64], point: float) -> NDArray[np.float64]:
    """Return positions on the figure in points, shape (n, 2).

    Args:
        axes: The axes.
        values: Positions in data units.
        point: Pixels per point.
    """
    return np.asarray(axes.transData.transform(np.reshape(values, (-1, 2))), np.float64) / point


def _boxes(middles: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Return squares around points as (left, bottom, right, top), shape (n, 4)."""
    return np.hstack((middles - reach, middles + reach))


def _places(mark: NDArray[np.float64], width: float, height: float) -> NDArray[np.float64]:
    """Return the boxes that a name can take around its point, nearest first. None of them covers the point."""
    turns = np.stack((np.cos(_ANGLES), np.sin(_ANGLES)), axis=1)
    nearest = mark + np.concatenate([radius * turns for radius in _RADII])
    # The side of the box that faces the point: 0 for its left or lower side, 1 for the opposite one, 0.5 for its middle.
    sides = np.tile((1 - np.sign(np.round(turns, 3))) / 2, (len(_RADII), 1))
    low = nearest - sides * (width, height)
    return np.hstack((low, low + np.array((width, height))))


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), np.float64)


def _covered(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much area of each box the others cover. Overlaps among the others count twice."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.prod(np.maximum(high - low, 0), axis=2).sum(axis=1), np.float64)


def _write(
    axes: Axes, callout: Callout, offset: NDArray[np.float64], box: NDArray[np.float64], *, paper: str, size: float
) -> Text:
    """Write a name.

    Args:
        axes: Axes to write on.
        callout: The name.
        offset: Middle of the name, from its point, in points.
        box: Box of the name, in points.
        paper: Colour behind the name.
        size: Size of the letters in points.
    """
    gaps = np.maximum(np.abs(offset) - (box[2:] - box[:2]) / 2, 0)
    is_far = float(np.hypot(*gaps)) > _FAR
    line = {"arrowstyle": "-", "color": callout.colour, "linewidth": 0.6, "alpha": 0.7, "shrinkB": 2}
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
        arrowprops=line if is_far else None,
        zorder=6,
    )
    # The layout is final. Names must not shrink the axes again.
    text.set_in_layout(False)
    return text


def _weight(callout: Callout) -> str:
    return "bold" if callout.bold else "normal"
