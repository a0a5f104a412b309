"""One regression per fold in, the best precisions and held-out predictions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from joblib import Parallel, delayed

from training.quality.multitask import Regression, fit_weights, fit_weights_path, predict_shifts

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Candidate precisions of the priors of the shared weights and of the deviations. Strong ones come first, because each fit
# starts from the one before and weights grow as precision falls.
_SHARED = (100.0, 30.0, 10.0, 3.0)
_OWN = (300.0, 100.0, 30.0, 10.0, 3.0)
# Precisions are chosen on at most this many prompts, which is enough and bounds the time.
_MAX_SEARCHED = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedRegression:
    """The same n prompts, once per fold, because the folds differ in their design and offsets.

    Neither the design nor the offsets of a fold use the scores or tasks of the prompts held out in it.

    Attributes:
        rows: Design of each fold, each of shape (n, d).
        problems: Targets and offsets of each fold.
        folds: Fold in which each prompt is held out, shape (n,).
    """

    rows: Sequence[NDArray[np.float32]]
    problems: Sequence[Regression]
    folds: NDArray[np.int64]

    def measure_gains(self, shifts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how much the shifts lower the loss of each prompt, mean over models, shape (n,).

        Args:
            shifts: Held-out shifts of the offsets, shape (n, m).
        """
        gains = np.empty(len(self.folds))
        for fold, problem in enumerate(self.problems):
            held_out = self.folds == fold
            part = problem.take(held_out)
            gains[held_out] = np.nanmean(part.losses(0.0) - part.losses(shifts[held_out]), axis=1)
        return gains

    def find_residuals(self, shifts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return target − offset − shift, each with the offset of the fold that held the prompt out, shape (n, m).

        Args:
            shifts: Held-out shifts of the offsets, shape (n, m).
        """
        residuals = np.full_like(shifts, np.nan)
        for fold, problem in enumerate(self.problems):
            held_out = self.folds == fold
            residuals[held_out] = problem.target[held_out] - problem.offset[held_out] - shifts[held_out]
        return residuals


def choose_precisions(regression: FoldedRegression, *, seed: int, jobs: int) -> tuple[float, float]:
    """Return the precisions (shared, own) with the lowest held-out loss.

    The shared precision is chosen first, without deviations, and then the other one. Ties go to the stronger precision.

    Args:
        regression: The regression of each fold.
        seed: Seed of the prompts that are searched.
        jobs: Number of processes. -1: all processors.
    """
    n = len(regression.folds)
    searched = np.isin(np.arange(n), np.random.default_rng(seed).permutation(n)[:_MAX_SEARCHED])
    losses = _sum_losses(regression, searched, [(shared, np.inf) for shared in _SHARED], jobs)
    shared = _SHARED[int(np.argmin(losses))]
    pairs = [(shared, own) for own in _OWN]
    return pairs[int(np.argmin(_sum_losses(regression, searched, pairs, jobs)))]


def predict_held_out(regression: FoldedRegression, precisions: tuple[float, float], *, jobs: int) -> NDArray[np.float64]:
    """Return the shifts of each prompt, predicted by weights fitted on the other folds, shape (n, m).

    Args:
        regression: The regression of each fold.
        precisions: Precisions of the shared weights and of the deviations.
        jobs: Number of processes. -1: all processors.
    """
    folds = regression.folds
    weights = Parallel(n_jobs=jobs)(
        delayed(fit_weights)(rows[folds != fold], problem.take(folds != fold), *precisions)
        for fold, (rows, problem) in enumerate(zip(regression.rows, regression.problems, strict=True))
    )
    shifts = np.empty_like(regression.problems[0].offset)
    for fold, fitted in enumerate(weights):
        shifts[folds == fold] = predict_shifts(regression.rows[fold][folds == fold], fitted)
    return shifts


def estimate_smearing(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correction of each model from the mean of logarithms to the logarithm of the mean, shape (m,).

    The smearing estimate (Duan, 1983, JASA 78:605-610). A model without residuals gets 0.

    Args:
        residuals: Held-out residuals of logarithms, shape (n, m). NaN if unknown.
    """
    known = ~np.isnan(residuals)
    means = np.where(known, np.exp(residuals), 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.asarray(np.log(np.where(known.any(axis=0), means, 1.0)))


def _sum_losses(
    regression: FoldedRegression, searched: NDArray[np.bool_], pairs: Sequence[tuple[float, float]], jobs: int
) -> NDArray[np.float64]:
    """Return the held-out loss of each pair of precisions, summed over the searched prompts."""
    folds = regression.folds
    losses = Parallel(n_jobs=jobs)(
        delayed(_score_path)(rows, problem, searched & (folds != fold), searched & (folds == fold), pairs)
        for fold, (rows, problem) in enumerate(zip(regression.rows, regression.problems, strict=True))
    )
    return np.asarray(np.sum(losses, axis=0))


def _score_path(
    rows: NDArray[np.float32],
    problem: Regression,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    pairs: Sequence[tuple[float, float]],
) -> list[float]:
    """Return the loss on the test prompts for each pair of precisions, fitted on the training prompts."""
    held_out, path = problem.take(test), fit_weights_path(rows[train], problem.take(train), pairs)
    return [float(np.nansum(held_out.losses(predict_shifts(rows[test], weights)))) for weights in path]
