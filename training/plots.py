"""Pictures of an evaluation, of models by task, of calls in time. Needs matplotlib, the extra `plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from training.evaluate import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from router.types import ModelProfile

_DARK = 0.5
_MOST_NUMBERED = 30
_LARGE_STDERR = 0.1
# Of calls in time: how many windows their shares are averaged over.
_WINDOWS = 30
INK, ACCENT, FAINT = "#222222", "#1f77b4", "#999999"


def plot_evaluation(evaluation: Evaluation, title: str) -> Figure:
    """Draw all three beside one another."""
    figure = Figure(figsize=(19, 7.5), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplot_mosaic([["confusion", "calibration"], ["confusion", "risk"]], width_ratios=(1.4, 1))
    _draw_confusion(panels["confusion"], evaluation)
    _draw_calibration(panels["calibration"], evaluation)
    _draw_risk_coverage(panels["risk"], evaluation)
    return figure


def plot_confusion(evaluation: Evaluation) -> Figure:
    """Draw what was guessed of each task: shares of the row as shade, prompts as number."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    _draw_confusion(figure.subplots(), evaluation)
    return figure


def plot_calibration(evaluation: Evaluation) -> Figure:
    """Draw how often predictions are right against how sure they are; on the diagonal they are calibrated."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    _draw_calibration(figure.subplots(), evaluation)
    return figure


def plot_risk_coverage(evaluation: Evaluation) -> Figure:
    """Draw the accuracy of the surest predictions against their share of all."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    _draw_risk_coverage(figure.subplots(), evaluation)
    return figure


def plot_profiles(profiles: Sequence[ModelProfile], tasks: Sequence[str]) -> Figure:
    """Draw expected quality by model and task, best models first; the paler, the larger its standard error.

    Args:
        profiles: The models; what a profile does not know of a task stays empty.
        tasks: The columns.
    """
    lacking = (np.nan, np.nan)
    cells = np.array(
        [[(e.mean, e.stderr) if (e := profile.quality.get(task)) else lacking for task in tasks] for profile in profiles]
    )
    order = np.argsort(-np.nan_to_num(np.nanmean(cells[..., 0], axis=1)), kind="stable")
    quality, stderr = cells[order, :, 0], cells[order, :, 1]
    figure = Figure(figsize=(2.6 + 0.62 * len(tasks), 1.8 + 0.26 * len(profiles)), layout="constrained")
    axes = figure.subplots()
    certain = 1 - 0.85 * np.clip(np.nan_to_num(stderr, nan=1.0) / _LARGE_STDERR, 0, 1)
    image = axes.imshow(quality, cmap="viridis", aspect="auto", alpha=certain)
    figure.colorbar(image, ax=axes, label=f"expected quality (pale: ± {_LARGE_STDERR} or more)")
    darkness = certain * (1 - np.asarray(image.norm(quality), np.float64))
    for (row, column), value in np.ndenumerate(quality):
        if np.isfinite(value):
            colour = "white" if darkness[row, column] > _DARK else INK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", size=6.5, color=colour)
    axes.set_xticks(range(len(tasks)), tasks, rotation=60, ha="right")
    axes.set_yticks(range(len(profiles)), [profiles[row].name for row in order], size=7)
    axes.set_title(f"{len(profiles)} models by task")
    return figure


def plot_calls(
    at_s: NDArray[np.float64], endpoints: Sequence[str], latency_s: NDArray[np.float64], *, failed: NDArray[np.bool_]
) -> Figure:
    """Draw calls in time: above what each took, failures as crosses; below each endpoint's share of the last calls.

    Args:
        at_s: When each of n calls began, seconds, ascending, shape (n,).
        endpoints: Who was asked, n names.
        latency_s: Seconds that it took, shape (n,).
        failed: Whether it failed, shape (n,).
    """
    figure = Figure(figsize=(10, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.4, 1))
    asked, window = np.array(endpoints), max(1, len(at_s) // _WINDOWS)
    for name in sorted(set(endpoints)):
        own = asked == name
        (points,) = above.plot(at_s[own & ~failed], latency_s[own & ~failed], ".", markersize=3, label=name)
        above.plot(at_s[own & failed], latency_s[own & failed], "x", color=points.get_color())
        share = np.convolve(own, np.ones(window), "full")[: len(own)] / np.minimum(np.arange(len(own)) + 1, window)
        below.plot(at_s, share, color=points.get_color())
    above.set(yscale="log", ylabel="seconds; crosses: failed", title=f"{len(at_s)} calls")
    figure.legend(loc="outside lower center", ncols=6)
    below.set(xlabel="seconds", ylabel=f"share of the last {window} calls", ylim=(0, 1))
    return figure


def _draw_confusion(axes: Axes, evaluation: Evaluation) -> None:
    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.figure.colorbar(image, ax=axes, label="share of the task's prompts")
    axes.set_xticks(range(len(evaluation.guessable)), evaluation.guessable, rotation=45, ha="right")
    axes.set_yticks(range(len(evaluation.tasks)), [f"{task.task} ({task.n})" for task in evaluation.tasks])
    axes.set(xlabel="told", ylabel="label (prompts)", title=f"Confusion, n = {evaluation.n}")
    if len(evaluation.guessable) > _MOST_NUMBERED:
        return
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > _DARK else INK
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)


def _draw_calibration(axes: Axes, evaluation: Evaluation) -> None:
    bins, error = evaluation.calibration, evaluation.calibration_error
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", label="calibrated")
    axes.plot([b.confidence for b in bins], [b.accuracy for b in bins], color=ACCENT)
    sizes = [20 + 400 * b.n / evaluation.n for b in bins]
    axes.scatter(
        [b.confidence for b in bins], [b.accuracy for b in bins], s=sizes, color=ACCENT, label="router (area: prompts)"
    )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    axes.set_title(f"Calibration: expected error {error}")
    axes.legend(loc="upper left")


def _draw_risk_coverage(axes: Axes, evaluation: Evaluation) -> None:
    points = evaluation.risk_coverage
    axes.plot([p.n / evaluation.n for p in points], [p.accuracy for p in points], color=ACCENT, marker=".", label="router")
    for quality, colour in zip(evaluation.qualities[1:], ("#d62728", "#2ca02c", "#9467bd", FAINT), strict=False):
        axes.axhline(quality.accuracy.value, color=colour, linestyle=":", label=f"{quality.name}, of all")
    unsure = evaluation.deciders.get("default")
    if unsure:
        axes.axvline(1 - unsure.n / evaluation.n, color=INK, linewidth=0.8, label="beyond: unsure")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="coverage: share of the prompts, the surest first", ylabel="accuracy")
    axes.set_title("Risk and coverage")
    axes.legend(loc="lower left")
