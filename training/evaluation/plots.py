"""An evaluation, model profiles or timed calls in, matplotlib figures out. Needs the extra `plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from training.evaluation.evaluate import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from router.decision import RoutingDecision
    from router.types import ModelProfile

# On cells darker than this the numbers are white.
_DARK = 0.5
# A larger confusion matrix shows no numbers, because they would overlap.
_MAX_NUMBERED = 30
# A standard error from which on a cell is as pale as possible.
_LARGE_STDERR = 0.1
# Shares of calls are averaged over a window of 1/30 of all calls.
_WINDOWS = 30
INK, ACCENT, FAINT = "#222222", "#1f77b4", "#999999"
_BASELINE_COLOURS = ("#d62728", "#2ca02c", "#9467bd", FAINT)


def plot_evaluation(evaluation: Evaluation, title: str) -> Figure:
    """Draw confusion matrix, calibration and risk–coverage curve side by side."""
    figure = Figure(figsize=(19, 7.5), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplot_mosaic([["confusion", "calibration"], ["confusion", "risk"]], width_ratios=(1.4, 1))
    _draw_confusion(panels["confusion"], evaluation)
    _draw_calibration(panels["calibration"], evaluation)
    _draw_risk_coverage(panels["risk"], evaluation)
    return figure


def plot_decision(decision: RoutingDecision, *, most: int = 10) -> Figure:
    """Draw expected quality with its standard error and the price of the first models of a ranking, the chosen one marked.

    Args:
        decision: The decision.
        most: Number of models to show.
    """
    figure = Figure(figsize=(8, 0.32 * min(most, len(decision.ranking)) + 1.2), layout="constrained")
    axes = figure.subplots()
    shown = [decision.scores[name] for name in decision.ranking[:most]]
    places = np.arange(len(shown))
    colours = [ACCENT, *[FAINT] * (len(shown) - 1)]
    quality, stderr = [score.quality for score in shown], [score.stderr for score in shown]
    axes.hlines(places, np.subtract(quality, stderr), np.add(quality, stderr), colors=colours)
    axes.scatter(quality, places, c=colours, s=36, zorder=3)
    axes.set_yticks(places, [score.model for score in shown])
    axes.get_yticklabels()[0].set(color=ACCENT, weight="bold")
    axes.invert_yaxis()
    # Beside the plot, so that no price covers a whisker.
    prices = axes.secondary_yaxis("right")
    prices.set_yticks(places, ["unknown" if s.cost_usd is None else f"{1000 * s.cost_usd:.2f}" for s in shown])
    prices.set_ylabel("USD per 1,000 prompts")
    axes.set_xlabel(f"expected quality ± standard error, task {decision.task or 'unknown'}")
    axes.set_title(f"{decision.model}, then the fallback order")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    return figure


def plot_confusion(evaluation: Evaluation) -> Figure:
    """Draw the confusion matrix. Shade is the share of the row, numbers are prompts."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    _draw_confusion(figure.subplots(), evaluation)
    return figure


def plot_calibration(evaluation: Evaluation) -> Figure:
    """Draw accuracy against confidence. Calibrated predictions lie on the diagonal."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    _draw_calibration(figure.subplots(), evaluation)
    return figure


def plot_risk_coverage(evaluation: Evaluation) -> Figure:
    """Draw the accuracy of the most confident predictions against their share of all."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    _draw_risk_coverage(figure.subplots(), evaluation)
    return figure


def plot_profiles(profiles: Sequence[ModelProfile], tasks: Sequence[str]) -> Figure:
    """Draw expected quality by model and task, best models first. A cell with a larger standard error is paler.

    Args:
        profiles: The models. A task that a profile does not know stays empty.
        tasks: The columns.
    """
    unknown = (np.nan, np.nan)
    cells = np.array(
        [[(e.mean, e.stderr) if (e := profile.quality.get(task)) else unknown for task in tasks] for profile in profiles]
    )
    order = np.argsort(-np.nan_to_num(np.nanmean(cells[..., 0], axis=1)), kind="stable")
    quality, stderr = cells[order, :, 0], cells[order, :, 1]
    figure = Figure(figsize=(2.6 + 0.62 * len(tasks), 1.8 + 0.26 * len(profiles)), layout="constrained")
    axes = figure.subplots()
    # Even the most uncertain cell keeps 15 % of its colour, so that it differs from an empty one.
    opacity = 1 - 0.85 * np.clip(np.nan_to_num(stderr, nan=1.0) / _LARGE_STDERR, 0, 1)
    image = axes.imshow(quality, cmap="viridis", aspect="auto", alpha=opacity)
    figure.colorbar(image, ax=axes, label=f"expected quality (pale: ± {_LARGE_STDERR} or more)")
    darkness = opacity * (1 - np.asarray(image.norm(quality), np.float64))
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
    """Draw calls over time: latency above, with crosses for failures, and each endpoint's share of recent calls below.

    Args:
        at_s: Start of each of n calls in seconds, ascending, shape (n,).
        endpoints: Endpoint of each call, n names.
        latency_s: Latency of each call in seconds, shape (n,).
        failed: Which calls failed, shape (n,).
    """
    figure = Figure(figsize=(10, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.4, 1))
    called, window = np.array(endpoints), max(1, len(at_s) // _WINDOWS)
    for name in sorted(set(endpoints)):
        own = called == name
        (points,) = above.plot(at_s[own & ~failed], latency_s[own & ~failed], ".", markersize=3, label=name)
        above.plot(at_s[own & failed], latency_s[own & failed], "x", color=points.get_color())
        # The first calls have a shorter window: divide by the calls so far.
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
    axes.set(xlabel="prediction", ylabel="label (prompts)", title=f"Confusion, n = {evaluation.n}")
    if len(evaluation.guessable) > _MAX_NUMBERED:
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
    # A baseline has no confidence, so it is a horizontal line. More than four lines would hide the curve.
    for quality, colour in zip(evaluation.qualities[1:], _BASELINE_COLOURS, strict=False):
        axes.axhline(quality.accuracy.value, color=colour, linestyle=":", label=f"{quality.name}, all prompts")
    unsure = evaluation.deciders.get("default")
    if unsure:
        axes.axvline(1 - unsure.n / evaluation.n, color=INK, linewidth=0.8, label="right of it: unsure")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="coverage: share of prompts, most confident first", ylabel="accuracy")
    axes.set_title("Risk and coverage")
    axes.legend(loc="lower left")
