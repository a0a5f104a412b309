"""The changes between two model folders in, totals and means with confidence intervals out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.types import ModelScore
from training.evaluation.intervals import Interval, bootstrap
from training.monitor.compare import Change, Comparison

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The prompts that change from one model to another.

    Attributes:
        old: The old folder's choice.
        new: The new folder's choice.
        n: Number of prompts.
    """

    old: str
    new: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The expected quality and cost of the old and the new choices, as means over prompts.

    Attributes:
        n: Number of prompts with a known score of both choices.
        old_quality: Mean expected score of the old choices, in [0, 1].
        new_quality: Mean expected score of the new choices, in [0, 1].
        quality_gain: New quality minus old quality, paired by prompt.
        old_cost_usd: Mean USD per prompt of the old choices. None if no prompt has both costs.
        new_cost_usd: Mean USD per prompt of the new choices. None if no prompt has both costs.
        extra_cost_usd: New cost minus old cost in USD, paired by prompt. None if no prompt has both costs.
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
    """The totals of a comparison. Repeated prompts count each time, except in `distinct`.

    Attributes:
        n: Number of prompts compared.
        distinct: Number of different prompts among them.
        seed: Seed of the bootstrap.
        refused_by_old: Number of prompts left out because no model of the old folder may take them.
        refused_by_new: Number of prompts left out because no model of the new folder may take them. Both may count a prompt.
        added: Models that only the new folder has.
        removed: Models that only the old folder has.
        moved: Share of prompts whose model changes.
        moves: The changes from one model to another, the most frequent first.
        retasked: Share of prompts whose task changes.
        gone: Number of prompts whose old choice is not in the new folder. Its score there is unknown.
        barred: Number of prompts whose old choice is in the new folder, but may not be chosen there.
        by_new: Both choices by the scores of the new folder. None if it knows no score of an old choice.
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


def summarize(comparison: Comparison, *, seed: int = 0) -> Difference:
    """Sum up a comparison. Intervals are from the percentile bootstrap over prompts.

    Args:
        comparison: The result of `compare`.
        seed: Seed of the bootstrap.
    """
    changes, old_models, new_models = comparison.changes, comparison.old_models, comparison.new_models
    # Every array over prompts is repeated by these counts, so that the bootstrap draws single log entries.
    times = np.array([change.times for change in changes])
    n = int(times.sum())
    known = [(change.old_by_new, change) for change in changes if change.old_by_new is not None]
    gone = sum(change.times for change in changes if change.old.model not in new_models)
    return Difference(
        n=n,
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
        # An old choice without a score in the new folder is either gone or barred.
        barred=n - sum(change.times for _, change in known) - gone,
        by_new=_expect(known, seed=seed) if known else None,
        by_own=_expect([(change.old, change) for change in changes], seed=seed),
    )


def count_moves(changes: Iterable[Change]) -> list[Move]:
    """Count the prompts that change from one model to another. The most frequent move comes first, ties by name."""
    counts: Counter[tuple[str, str]] = Counter()
    for change in changes:
        if change.moved:
            counts[change.old.model, change.new.model] += change.times
    return [Move(old=a, new=b, n=n) for (a, b), n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def _mean(values: NDArray[np.float64], *, seed: int) -> Interval:
    return bootstrap(lambda sample: float(values[sample].mean()), len(values), seed=seed)


def _expect(pairs: Sequence[tuple[ModelScore, Change]], *, seed: int) -> Outlook:
    """Return the means of old and new choices over prompts.

    Args:
        pairs: For each different prompt a score of its old choice, and its change with the score of its new choice.
        seed: Seed of the bootstrap.
    """
    times = np.array([change.times for _, change in pairs])
    quality = np.repeat([[old.quality, change.new.quality] for old, change in pairs], times, axis=0)
    costs = np.array([[old.cost_usd, change.new.cost_usd] for old, change in pairs], np.float64)  # None becomes NaN
    cost = np.repeat(costs, times, axis=0)
    # The difference is paired, so a prompt counts only if both of its costs are known.
    cost = cost[~np.isnan(cost).any(axis=1)]
    old_usd, new_usd = cost.mean(axis=0).tolist() if len(cost) else (None, None)
    return Outlook(
        n=len(quality),
        old_quality=float(quality[:, 0].mean()),
        new_quality=float(quality[:, 1].mean()),
        quality_gain=_mean(quality[:, 1] - quality[:, 0], seed=seed),
        old_cost_usd=old_usd,
        new_cost_usd=new_usd,
        extra_cost_usd=_mean(cost[:, 1] - cost[:, 0], seed=seed) if len(cost) else None,
    )
