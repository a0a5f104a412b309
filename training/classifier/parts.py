"""Feature blocks and folds in, each part's strength of regularisation, held-out logits and final fit out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.classify.classifier import softmax
from router.classify.heads import Heads
from training.classifier.calibrate import fit_temperature, log_loss
from training.classifier.engine import Engine, FitJob
from training.classifier.features import FeatureBlocks
from training.classifier.linear import CS, PARTS, Design, Fit, Part, make_design
from training.progress import Watch, unwatched

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPart:
    """One part of the features, fitted.

    Attributes:
        c: Inverse strength of regularisation, chosen on held-out rows.
        logits: Logits of the held-out rows, shape (held-out rows, labels), in the order of the rows.
        heads: The fit on all rows.
    """

    c: float
    logits: NDArray[np.float64]
    heads: Heads


def fit_parts(
    features: FeatureBlocks,
    targets: NDArray[np.int64],
    used: NDArray[np.bool_],
    folds: NDArray[np.int64],
    n_labels: int,
    *,
    engine: Engine,
    watch: Watch = unwatched,
) -> dict[Part, FittedPart]:
    """Fit each part of the features, with the C that has the least log-loss on the held-out rows.

    Args:
        features: Features of n rows.
        targets: Number of each row's label, shape (n,).
        used: Whether a row takes part in the cross-validation, shape (n,).
        folds: The fold in which each row is held out, shape (n,). −1 if it never is.
        n_labels: Number of labels.
        engine: Fits the logistic regressions.
        watch: Wraps the fits as they finish.
    """
    designs = {part: make_design(features, part) for part in PARTS}

    fit = engine.load(designs, targets, n_labels)
    n_folds = int(folds.max()) + 1
    kept = [np.flatnonzero(used & (folds != fold)) for fold in range(n_folds)]
    # One list of jobs for both parts and all folds keeps every process busy until the end.
    todo = [FitJob(part=part, rows=rows, cs=CS[part]) for part in PARTS for rows in kept]
    paths = list(watch(fit(todo), len(todo)))
    cs, logits = {}, {}
    # `paths` has the folds of the first part, then those of the second.
    for place, part in enumerate(PARTS):
        by_c = list(zip(*paths[place * n_folds : (place + 1) * n_folds], strict=True))
        cs[part], logits[part] = _choose_c(designs[part], by_c, folds, targets)
    # The fits of the cross-validation each lack a fold. These are on all rows, including those that are never held out.
    final = list(fit([FitJob(part=part, rows=np.arange(len(targets)), cs=(cs[part],)) for part in PARTS]))
    return {
        part: FittedPart(c=cs[part], logits=logits[part], heads=designs[part].to_heads(best.weights, best.bias))
        for part, (best,) in zip(PARTS, final, strict=True)
    }


def _choose_c(
    design: Design, by_c: Sequence[Sequence[Fit]], folds: NDArray[np.int64], targets: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the C with the least log-loss, and the logits of the held-out rows.

    Each C is compared at its best temperature, because calibration follows anyway.
    """
    rows = np.flatnonzero(folds >= 0)
    losses, path = [], []
    for fits in by_c:
        logits = np.empty((len(rows), fits[0].weights.shape[1]))
        for fold, fit in enumerate(fits):
            logits[folds[rows] == fold] = fit.logits(design.matrix[folds == fold])
        losses.append(log_loss(softmax(logits / fit_temperature(logits, targets[rows])), targets[rows]))
        path.append(logits)
    best = int(np.argmin(losses))
    return CS[design.part][best], path[best]
