"""Tasks and groups of prompts in, the fold in which each prompt is held out, out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from training.classifier.outliers import PROMPTS_PER_OUTLIER

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5

# Largest number of prompts times labels in the cross-validation. So many already take minutes.
_MOST_CROSS_VALIDATED = 1_500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How the cross-validation uses n rows.

    Attributes:
        used: Whether a row takes part in the cross-validation, shape (n,).
        held_out: Numbers of the rows that are held out in turn, ascending. They are some of the used rows.
        folds: The fold in which each row is held out, shape (n,). −1 if it never is.
    """

    used: NDArray[np.bool_]
    held_out: NDArray[np.int64]
    folds: NDArray[np.int64]


def draw_folds(targets: NDArray[np.int64], groups: Sequence[str], seen: NDArray[np.bool_] | None, *, seed: int) -> Split:
    """Draw the folds of n labelled prompts: five, or one if at most a fifth of them can be held out.

    Args:
        targets: Number of each prompt's label, shape (n,).
        groups: Group of each prompt. A group stays in one fold.
        seen: Whether the encoder was tuned on a prompt, shape (n,). None: on none.
        seed: Seed of the draw.
    """
    used = draw_cross_validated(targets, groups, seed=seed)
    candidates = np.flatnonzero(used)
    chosen = choose_held_out(
        targets[candidates], [groups[i] for i in candidates.tolist()], None if seen is None else seen[candidates]
    )
    held_out = candidates[chosen]
    folds = np.full(len(targets), -1)
    folds[held_out] = split_folds(targets[held_out], [groups[i] for i in held_out], seed=seed)
    if len(held_out) <= len(candidates) / FOLDS:
        folds = _join_folds(targets, groups, used, folds)
    return Split(used=used, held_out=np.flatnonzero(folds >= 0), folds=folds)


def _join_folds(
    targets: NDArray[np.int64], groups: Sequence[str], used: NDArray[np.bool_], folds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return one fold instead of five: few rows are held out, so all of them can be held out at once.

    Of a label of which more than a fifth is held out, such as a new one, only the first fold stays held out. The other rows
    are needed to learn it. The same holds for whole groups in which such a label occurs.
    """
    held_out = folds >= 0
    n_labels = targets.max() + 1
    n_held_out, n_used = (np.bincount(targets[rows], minlength=n_labels) for rows in (held_out, used))
    scarce = (n_held_out > n_used / FOLDS)[targets] & held_out
    needed = {groups[i] for i in np.flatnonzero(scarce).tolist()}
    in_needed = np.array([group in needed for group in groups], np.bool_)
    return np.where(held_out & (~in_needed | (folds == 0)), 0, -1)


def draw_cross_validated(targets: NDArray[np.int64], groups: Sequence[str], *, seed: int) -> NDArray[np.bool_]:
    """Return which rows take part in the cross-validation, shape (n,).

    All rows do, if there are few enough. Else a part of them is drawn by group, with tasks spread evenly.
    """
    parts = -(-len(targets) * len(np.unique(targets)) // _MOST_CROSS_VALIDATED)
    if parts == 1:
        return np.ones(len(targets), np.bool_)
    return np.asarray(split_folds(targets, groups, seed=seed, n=parts) == 0, np.bool_)


def choose_held_out(targets: NDArray[np.int64], groups: Sequence[str], seen: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Return the numbers of the rows to hold out in turn, ascending.

    Rows that the encoder was tuned on are left out, because it knows their labels. If the other rows are too few to split,
    all rows are held out.
    """
    unseen = np.arange(len(targets)) if seen is None else np.flatnonzero(~seen)
    fewest = min(np.bincount(targets[unseen]).max(initial=0), len({groups[i] for i in unseen.tolist()}))
    return unseen if fewest >= FOLDS else np.arange(len(targets))


def fold_outliers(n: int, split: Split) -> NDArray[np.int64]:
    """Return the fold of each of n outliers, shape (n,). −1 if it is never held out.

    The ratio of held-out outliers to held-out prompts is the same as that of all outliers to all prompts. So the calibration
    sees the mixture that the fit sees.
    """
    rows = np.arange(n)
    n_held_out, n_folds = len(split.held_out), int(split.folds.max()) + 1
    return np.asarray(np.where(rows < n_held_out // PROMPTS_PER_OUTLIER, rows % n_folds, -1), np.int64)


def split_folds(targets: NDArray[np.int64], groups: Sequence[str], *, seed: int, n: int = FOLDS) -> NDArray[np.int64]:
    """Return the fold of each row, in [0, n). Groups stay whole, and each task is spread as evenly as possible."""
    splitter = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    folds = np.empty(len(targets), np.int64)
    with warnings.catch_warnings():
        # A task with fewer rows than folds is fine here: it is missing from some folds.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, rows) in enumerate(splitter.split(targets, targets, np.unique(groups, return_inverse=True)[1])):
            folds[rows] = fold
    return folds
