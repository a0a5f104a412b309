"""Today's prompts and a reference in, the measures of drift between them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import fisher_exact

from training.monitor.reference import Reference
from training.monitor.traffic import Traffic
from training.monitor.two_samples import adjust, compare_counts, compare_embeddings, find_novel_distance, nearest_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERMUTATIONS = 1000
ALPHA = 0.05

# In a large log even tiny changes are significant. Labelling is worth its cost only above one of these thresholds.
UNSURE_RISE = 0.05
TASK_GROWTH = 2.0
NOVEL_SHARE = 0.05  # about 0.01 is expected without drift, by the definition of novel


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareChange:
    """A share of the prompts, in the reference and today.

    Attributes:
        name: Name of the share: `unsure` or a task.
        then: Share in the reference, in [0, 1].
        now: Share today, in [0, 1].
        p_value: Probability of so large a difference without drift. For tasks it is adjusted for their number.
    """

    name: str
    then: float
    now: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The differences between today's prompts and the reference.

    Attributes:
        n: Number of today's prompts.
        n_reference: Number of prompts behind the task shares of the reference.
        n_embeddings: Number of embeddings in the reference.
        seed: Seed of the permutations.
        permutations: Number of permutations.
        mmd: Squared maximum mean discrepancy of the embeddings, unbiased. Without drift it is around 0 and may be negative.
        p_value: Probability of so large an `mmd` without drift.
        unsure: Share of prompts on which the classifier is unsure.
        tasks: Share of each task, by rising p-value. Equal ones come by falling share today.
        chi_square: Pearson's statistic over all tasks.
        tasks_p_value: Probability of so large a `chi_square` without drift.
        novel: Share of today's prompts that are farther from the reference than `novel_distance`.
        novel_distance: The distance within which 99 % of the reference have a neighbour in it. The distance is 1 − cosine.
    """

    n: int
    n_reference: int
    n_embeddings: int
    seed: int
    permutations: int
    mmd: float
    p_value: float
    unsure: ShareChange
    tasks: Sequence[ShareChange]
    chi_square: float
    tasks_p_value: float
    novel: float
    novel_distance: float

    @property
    def is_significant(self) -> bool:
        """Whether the embeddings differ by more than chance explains, at the level of 5 %."""
        return self.p_value < ALPHA

    @property
    def unsure_rose(self) -> bool:
        """Whether the share of unsure prompts rose by more than 5 points, and significantly."""
        return self.unsure.now - self.unsure.then > UNSURE_RISE and self.unsure.p_value < ALPHA

    @property
    def grown_tasks(self) -> list[str]:
        """The tasks whose share at least doubled, and significantly."""
        # now > then is needed for a task that is missing in both: 0 ≥ 2 × 0.
        return [t.name for t in self.tasks if t.now > t.then and t.now >= TASK_GROWTH * t.then and t.p_value < ALPHA]

    @property
    def is_novel(self) -> bool:
        """Whether more than 5 % of the prompts are novel."""
        return self.novel > NOVEL_SHARE

    @property
    def relabel(self) -> bool:
        """Whether to label some of today's prompts and train again.

        The drift must be significant. Also, the unsure share rose, a task doubled, or too many prompts are novel.
        """
        return self.is_significant and (self.unsure_rose or bool(self.grown_tasks) or self.is_novel)


def measure_drift(today: Traffic, reference: Reference, *, seed: int = 0, permutations: int = PERMUTATIONS) -> Drift:
    """Compare today's prompts with a reference.

    Args:
        today: Prompts that all have a task of their own.
        reference: The reference.
        seed: Seed of the permutations.
        permutations: Number of permutations. The smallest possible p-value is 1 / (permutations + 1).
    """
    rng = np.random.default_rng(seed)
    mmd, p_value = compare_embeddings(reference.embeddings, today.embeddings, rng=rng, permutations=permutations)
    counts = today.count_tasks()
    chi_square, tasks_p_value = compare_counts(reference.counts, counts, rng=rng, permutations=permutations)
    novel_distance = find_novel_distance(reference.embeddings)
    distances = nearest_distances(today.embeddings, reference.embeddings)
    n_unsure = int(today.unsure().sum())
    return Drift(
        n=len(today),
        n_reference=int(reference.counts.sum()),
        n_embeddings=len(reference.embeddings),
        seed=seed,
        permutations=permutations,
        mmd=mmd,
        p_value=p_value,
        unsure=_compare_share("unsure", (reference.n_unsure, reference.n_classified), (n_unsure, len(today))),
        tasks=_compare_tasks(reference, counts),
        chi_square=chi_square,
        tasks_p_value=tasks_p_value,
        novel=float((distances > novel_distance).mean()),
        novel_distance=novel_distance,
    )


def _compare_share(name: str, then: tuple[int, int], now: tuple[int, int]) -> ShareChange:
    """Compare two proportions by Fisher's exact test, which is also valid for small counts.

    Args:
        name: Name of the share.
        then: Hits and number of prompts in the reference.
        now: Hits and number of prompts today.
    """
    table = [[hits, n - hits] for hits, n in (then, now)]
    return ShareChange(name=name, then=then[0] / then[1], now=now[0] / now[1], p_value=float(fisher_exact(table)[1]))


def _compare_tasks(reference: Reference, counts: NDArray[np.int64]) -> list[ShareChange]:
    """Compare the share of each task. The result is ordered as `Drift.tasks`."""
    n_then, n_now = int(reference.counts.sum()), int(counts.sum())
    changes = [
        _compare_share(task, (then, n_then), (now, n_now))
        for task, then, now in zip(reference.tasks, reference.counts.tolist(), counts.tolist(), strict=True)
    ]
    # Of 14 tests at 5 %, one would often be significant by chance.
    adjusted = adjust([change.p_value for change in changes])
    changes = [replace(change, p_value=p_value) for change, p_value in zip(changes, adjusted, strict=True)]
    return sorted(changes, key=lambda change: (change.p_value, -change.now))
