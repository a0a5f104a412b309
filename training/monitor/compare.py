"""Two routers and a prompt log in, the change of model and task for each prompt out."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from router.classify.text import Prompt
from router.core import Router
from router.errors import NoCandidateError
from router.types import ModelScore
from training.data.logs import LoggedPrompt, count_distinct, whole_prompt
from training.data.table import DatasetError, escape_formula

if TYPE_CHECKING:
    from router.decision import RoutingDecision
    from router.options import RouteOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The decisions of two model folders for one prompt.

    Attributes:
        entry: The first entry of the prompt in the log.
        times: Number of entries with the same prompt.
        old_task: Its task by the old folder. None if there is no evidence for any task.
        new_task: Its task by the new folder. None if there is no evidence for any task.
        old: The old folder's choice, with its score in the old folder.
        new: The new folder's choice, with its score in the new folder.
        old_by_new: The old folder's choice, with its score in the new folder. None if the new folder does not have that
            model or may not choose it for this prompt.
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
        """Whether the folders choose different models."""
        return self.old.model != self.new.model

    @property
    def retasked(self) -> bool:
        """Whether the folders predict different tasks."""
        return self.old_task != self.new_task

    @property
    def gain(self) -> float | None:
        """Expected utility of the new choice minus that of the old choice, both by the new folder. None if unknown."""
        return None if self.old_by_new is None else self.new.utility - self.old_by_new.utility


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The decisions of two model folders for the prompts of a log.

    Attributes:
        changes: One for each different prompt that both folders can route, in the order of the log.
        old_models: Model names of the old folder.
        new_models: Model names of the new folder.
        refused_by_old: Number of prompts that no model of the old folder may take. Repeated prompts count each time.
        refused_by_new: Number of prompts that no model of the new folder may take, counted likewise.
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
        new: The router that may replace it.
        log: The prompts.
        options: Routing options, the same for both routers.
        progress: Wraps the different prompts to show progress.

    Raises:
        InputError: If an option is unknown or out of range.
        DatasetError: If there is no prompt that both can route.
    """
    # Routing is deterministic, so each different prompt is routed once and weighted by its count.
    distinct = count_distinct(log, whole_prompt)
    refused_by_old = refused_by_new = 0
    changes = []
    for (entry, times), _ in zip(distinct, progress([entry.text for entry, _ in distinct]), strict=True):
        before, after = _route(old, entry.prompt, options), _route(new, entry.prompt, options)
        refused_by_old += times * (before is None)
        refused_by_new += times * (after is None)
        if before is not None and after is not None:
            changes.append(_make_change(entry, times, before, after))
    if not changes:
        raise DatasetError("at least one prompt must have a model in both folders, found none; relax the options")
    return Comparison(
        changes=changes,
        old_models=[profile.name for profile in old.profiles],
        new_models=[profile.name for profile in new.profiles],
        refused_by_old=refused_by_old,
        refused_by_new=refused_by_new,
    )


def rank_changes(changes: Iterable[Change]) -> list[Change]:
    """Return the prompts whose model changes, by falling absolute gain in expected utility.

    Prompts with unknown gain come last. Ties keep the order of the log.
    """
    moved = [change for change in changes if change.moved]
    # The key of a known gain is at most 0, so 1 puts an unknown gain behind all of them.
    return sorted(moved, key=lambda change: 1.0 if change.gain is None else -abs(change.gain))


def write_changes(path: Path, changes: Iterable[Change]) -> None:
    """Write a CSV file with one row for each different prompt. An empty field is unknown.

    Scores are those of the new folder. No field runs as a formula in a spreadsheet.

    Args:
        path: The file to write.
        changes: The changes.
    """
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
    """Return the decision, or None if no model may take the prompt."""
    try:
        return router.route(prompt, **options.given())
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
        # scores has only the models that the new folder may choose for this prompt
        old_by_new=after.scores.get(before.model),
    )
