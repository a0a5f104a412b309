"""Feature blocks and folds in, each part's strength of regularisation and held-out logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from joblib import Parallel, delayed

from router.classify.classifier import softmax
from training.classifier.calibrate import fit_temperature, log_loss
from training.classifier.features import FeatureBlocks
from training.classifier.folds import FOLDS
from training.classifier.linear import CS, PARTS, Part, predict_path

if TYPE_CHECKING:
    from numpy.typing import NDArray


def choose_strengths(
    features: FeatureBlocks,
    targets: NDArray[np.int64],
    used: NDArray[np.bool_],
    folds: NDArray[np.int64],
    n_labels: int,
    *,
    jobs: int,
) -> tuple[dict[Part, float], dict[Part, NDArray[np.float64]]]:
    """Choose the C of each part by cross-validation. Return it with the logits of each held-out row.

    Args:
        features: Features of n rows.
        targets: Number of each row's label, shape (n,).
        used: Whether a row takes part in the cross-validation, shape (n,).
        folds: The fold in which each row is held out, shape (n,). −1 if it never is.
        n_labels: Number of labels.
        jobs: Number of processes. -1: one for each processor.

    Returns:
        The C of each part, and the logits of each part, shape (held-out rows, labels), in the order of the rows.
    """
    # One list of jobs for both parts and all folds keeps every process busy until the end.
    paths = Parallel(n_jobs=jobs)(
        delayed(predict_path)(
            features.take(np.flatnonzero(used & (folds != fold))),
            targets[used & (folds != fold)],
            features.take(np.flatnonzero(folds == fold)),
            n_labels,
            part,
        )
        for part in PARTS
        for fold in range(FOLDS)
    )
    cs, logits = {}, {}
    rows = np.flatnonzero(folds >= 0)
    # `paths` has the folds of the first part, then those of the second.
    for place, part in enumerate(PARTS):
        path = np.empty((len(CS[part]), len(rows), n_labels))
        for fold in range(FOLDS):
            path[:, folds[rows] == fold] = paths[place * FOLDS + fold]
        cs[part], logits[part] = _choose_c(part, path, targets[rows])
    return cs, logits


def _choose_c(part: Part, path: NDArray[np.float64], targets: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Return the C with the least log-loss, and its logits.

    Each C is compared at its best temperature, because calibration follows anyway.
    """
    losses = [log_loss(softmax(logits / fit_temperature(logits, targets)), targets) for logits in path]
    best = int(np.argmin(losses))
    return CS[part][best], path[best]
