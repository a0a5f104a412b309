"""What a new model folder changes on a log of prompts: who is asked, for which task, at what quality and cost."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from router.core import Router
from router.errors import NoCandidateError
from router.text import Prompt
from router.types import ModelScore
from training.datasets import DatasetError, escape_formula
from training.evaluate import Interval, bootstrap
from training.logs import LoggedPrompt, count_distinct, whole_prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.decision import RoutingDecision
    from router.options import RouteOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What two folders make of one prompt.

    Attributes:
        entry: The prompt, where it first stands in the log.
        times: How often it stands there.
        old_task: Its task by the old folder, and
        new_task: by the new one; None where nothing speaks for any.
        old: The old folder's choice, by its own scores.
        new: The new folder's choice, by its own scores.
        old_by_new: The old folder's choice by the new folder's scores; None where that one lacks the model or may not choose
            it for this prompt.
    """

    entry: LoggedPrompt
    times: int
    old_task: str | None
    new_task: str | None
    old: ModelScore
    new: ModelScore
    old_by_new: ModelScore | None

    @property
    def moved(self) -> bool:
        """Whether another model is chosen."""
        return self.old.model != self.new.model

    @property
    def retasked(self) -> bool:
        """Whether another task is told."""
        return self.old_task != self.new_task

    @property
    def gain(self) -> float | None:
        """Expected utility of the new choice less that of the old one, by the new folder's scores; None where unknown."""
        return None if self.old_by_new is None else self.new.utility - self.old_by_new.utility


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """How many prompts go from one model to another."""

    old: str
    new: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is expected of the old and the new choices, as means over n prompts.

    Attributes:
        n: How many; those for which both are known.
        old_quality: Expected score of the old choices, in [0, 1], and
        new_quality: of the new ones.
        quality_gain: The new one less the old one, paired.
        old_cost_usd: USD per prompt; None where no cost is known, as of
        new_cost_usd: the new ones, and
        extra_cost_usd: the new one less the old one, paired.
    """

    n: int
    old_quality: float
    new_quality: float
    quality_gain: Interval
    old_cost_usd: float | None
    new_cost_usd: float | None
    extra_cost_usd: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a new folder changes on a log.

    Attributes:
        n: Prompts compared, repeated ones as often as they stand in the log.
        distinct: Different prompts among them.
        seed: Of the bootstrap.
        refused_by_old: Prompts left out because no model of the old folder may take them, and
        refused_by_new: none of the new one's; a prompt may be both.
        added: Models that only the new folder has.
        removed: Models that only the old folder has.
        moved: Share that another model is chosen for.
        moves: From where to where, the most frequent first.
        retasked: Share whose task changed.
        gone: Prompts whose old choice the new folder lacks: what is to be expected of it is unknown there.
        barred: Prompts whose old choice the new folder has, but may not choose for them.
        by_new: Both choices by the new folder's scores; None where all old choices are unknown there.
        by_own: Each choice by the scores of the folder that made it.
    """

    n: int
    distinct: int
    seed: int
    refused_by_old: int
    refused_by_new: int
    added: Sequence[str]
    removed: Sequence[str]
    moved: Interval
    moves: Sequence[Move]
    retasked: Interval
    gone: int
    barred: int
    by_new: Outlook | None
    by_own: Outlook


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two folders make of the prompts of a log.

    Attributes:
        changes: Of each different prompt that both can route, in the order of the log.
        old_models: Models of the old folder.
        new_models: Models of the new one.
        refused_by_old: Prompts that no model of the old folder may take, and
        refused_by_new: none of the new one's; repeated ones count as often as they occur.
    """

    changes: Sequence[Change]
    old_models: Sequence[str]
    new_models: Sequence[str]
    refused_by_old: int
    refused_by_new: int


def compare(
    old: Router,
    new: Router,
    log: Sequence[LoggedPrompt],
    *,
    options: RouteOptions,
    progress: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Comparison:
    """Route each different prompt of a log with two routers.

    Args:
        old: The router in use.
        new: The one that may replace it.
        log: The prompts.
        options: Of `Router.route`, the same for both.
        progress: Wraps the different prompts, to show how far it is.

    Raises:
        InputError: If an option is unknown or out of range.
        DatasetError: If there is no prompt that both can route.
    """
    distinct = count_distinct(log, whole_prompt)
    refused = [0, 0]
    changes = []
    for (entry, times), _ in zip(distinct, progress([entry.text for entry, _ in distinct]), strict=True):
        before, after = _route(old, entry.prompt, options), _route(new, entry.prompt, options)
        refused[0] += times * (before is None)
        refused[1] += times * (after is None)
        if before is not None and after is not None:
            changes.append(_make_change(entry, times, before, after))
    if not changes:
        raise DatasetError("both folders must have a model for a prompt, found none in this log; relax the options")
    return Comparison(
        changes=changes,
        old_models=[profile.name for profile in old.profiles],
        new_models=[profile.name for profile in new.profiles],
        refused_by_old=refused[0],
        refused_by_new=refused[1],
    )


def summarize(comparison: Comparison, *, seed: int = 0) -> Difference:
    """Add up what changes; intervals by the percentile bootstrap over prompts.

    Args:
        comparison: What `compare` returned.
        seed: Of the bootstrap.
    """
    changes, old_models, new_models = comparison.changes, comparison.old_models, comparison.new_models
    times = np.array([change.times for change in changes])
    known = [(change.old_by_new, change) for change in changes if change.old_by_new is not None]
    gone = sum(change.times for change in changes if change.old.model not in new_models)
    return Difference(
        n=int(times.sum()),
        distinct=len(changes),
        seed=seed,
        refused_by_old=comparison.refused_by_old,
        refused_by_new=comparison.refused_by_new,
        added=[name for name in new_models if name not in old_models],
        removed=[name for name in old_models if name not in new_models],
        moved=_mean(np.repeat([float(change.moved) for change in changes], times), seed=seed),
        moves=count_moves(changes),
        retasked=_mean(np.repeat([float(change.retasked) for change in changes], times), seed=seed),
        gone=gone,
        barred=int(times.sum()) - sum(change.times for _, change in known) - gone,
        by_new=_expect(known, seed=seed) if known else None,
        by_own=_expect([(change.old, change) for change in changes], seed=seed),
    )


def count_moves(changes: Iterable[Change]) -> list[Move]:
    """Count the prompts that go from one model to another, the most frequent move first, equal ones by name."""
    counts: Counter[tuple[str, str]] = Counter()
    for change in changes:
        if change.moved:
            counts[change.old.model, change.new.model] += change.times
    return [Move(old=a, new=b, n=n) for (a, b), n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def rank_changes(changes: Iterable[Change]) -> list[Change]:
    """Return the prompts that another model is chosen for, those first whose expected utility changes most.

    Where the change is unknown they come last; equal ones in the order of the log.
    """
    moved = [change for change in changes if change.moved]
    return sorted(moved, key=lambda change: 1.0 if change.gain is None else -abs(change.gain))


def write_changes(path: Path, changes: Iterable[Change]) -> None:
    """Write a row for each different prompt as CSV, safe to open in a spreadsheet; empty fields are unknown."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([
            "row", "times", "old_model", "new_model", "old_task", "new_task", "gain", "old_quality", "new_quality",
            "old_cost_usd", "new_cost_usd", "prompt",
        ])  # fmt: skip
        for change in changes:
            old, new = change.old_by_new, change.new
            figures = [change.gain, old and old.quality, new.quality, old and old.cost_usd, new.cost_usd]
            writer.writerow(
                [
                    change.entry.row,
                    change.times,
                    *map(escape_formula, (change.old.model, new.model, change.old_task or "", change.new_task or "")),
                    *("" if figure is None else f"{figure:.6g}" for figure in figures),
                    escape_formula(change.entry.text),
                ]
            )


def _route(router: Router, prompt: Prompt, options: RouteOptions) -> RoutingDecision | None:
    try:
        return router.route(prompt, **options)
    except NoCandidateError:
        return None


def _make_change(entry: LoggedPrompt, times: int, before: RoutingDecision, after: RoutingDecision) -> Change:
    return Change(
        entry=entry,
        times=times,
        old_task=before.prediction.task,
        new_task=after.prediction.task,
        old=before.scores[before.model],
        new=after.scores[after.model],
        old_by_new=after.scores.get(before.model),
    )


def _mean(values: NDArray[np.float64], *, seed: int) -> Interval:
    return bootstrap(lambda sample: float(values[sample].mean()), len(values), seed=seed)


def _expect(pairs: Sequence[tuple[ModelScore, Change]], *, seed: int) -> Outlook:
    """Compare some score of each old choice with the new folder's score of its own."""
    times = np.array([change.times for _, change in pairs])
    quality = np.repeat([[old.quality, change.new.quality] for old, change in pairs], times, axis=0)
    costs = np.array([[old.cost_usd, change.new.cost_usd] for old, change in pairs], np.float64)  # None becomes NaN
    cost = np.repeat(costs, times, axis=0)
    cost = cost[~np.isnan(cost).any(axis=1)]
    old_usd, new_usd = (None, None) if not len(cost) else cost.mean(axis=0).tolist()
    return Outlook(
        n=len(quality),
        old_quality=float(quality[:, 0].mean()),
        new_quality=float(quality[:, 1].mean()),
        quality_gain=_mean(quality[:, 1] - quality[:, 0], seed=seed),
        old_cost_usd=old_usd,
        new_cost_usd=new_usd,
        extra_cost_usd=_mean(cost[:, 1] - cost[:, 0], seed=seed) if len(cost) else None,
    )
