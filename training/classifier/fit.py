"""Feature blocks and tasks in, a fitted and calibrated task classifier out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.classify.classifier import CONTINUES, softmax, split_continues
from router.classify.heads import Heads
from training.classifier.calibrate import choose_unsure_threshold, fit_mixture, fit_temperature, spread_continues
from training.classifier.engine import Engine, LocalEngine
from training.classifier.features import FeatureBlocks
from training.classifier.folds import Split, draw_folds, fold_outliers
from training.classifier.linear import PARTS, Part, mix_heads
from training.classifier.outliers import random_labels
from training.classifier.parts import fit_parts
from training.progress import Watch, unwatched

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedClassifier:
    """A fitted classifier, and its predictions for prompts that it was not fitted on.

    Attributes:
        labels: The labels, in the order of the heads' columns. `CONTINUES` may be among them.
        tasks: The labels without `CONTINUES`.
        heads: The mixed weights of both parts.
        cs: The inverse strength of regularisation of each part, chosen by cross-validation.
        mixture: The weight of each part's logits. The weights sum to one.
        temperature: Divisor of the mixed logits.
        threshold: Confidence below which a prediction counts as unsure.
        held_out: Indices of the rows that were held out in turn, ascending. They have a task, and the encoder was not tuned
            on them. If there are very many such rows, these are some of them.
        parts: Held-out logits of each part, shape (len(held_out), tasks).
        probabilities: Held-out calibrated probabilities, as the router gives them, shape (len(held_out), tasks).
        follow_ups: Held-out probabilities of `CONTINUES`: first of the rows that have this label, then of the rows that have
            a task. The first array is empty if there are no such rows.
        folds: The fold in which each training prompt was held out, shape (n,). −1 if it never was.
    """

    labels: tuple[str, ...]
    tasks: tuple[str, ...]
    heads: Heads
    cs: Mapping[Part, float]
    mixture: Mapping[Part, float]
    temperature: float
    threshold: float
    held_out: NDArray[np.int64]
    parts: Mapping[Part, NDArray[np.float64]]
    probabilities: NDArray[np.float64]
    follow_ups: tuple[NDArray[np.float64], NDArray[np.float64]]
    folds: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The prompts, then the outliers, as rows of one training set; see `Split` for `used` and `folds`."""

    features: FeatureBlocks
    targets: NDArray[np.int64]
    used: NDArray[np.bool_]
    folds: NDArray[np.int64]


def fit_classifier(
    features: FeatureBlocks,
    tasks: Sequence[str],
    groups: Sequence[str],
    *,
    seen: NDArray[np.bool_] | None = None,
    outliers: FeatureBlocks | None = None,
    seed: int = 0,
    jobs: int = -1,
    engine: Engine | None = None,
    watch: Watch = unwatched,
) -> FittedClassifier:
    """Fit one part on embeddings and one on words. Choose strengths, weights and temperature by held-out log-loss.

    Each part is fitted alone, and then the parts are weighed (stacking; Wolpert, 1992, Neural Networks 5:241-259). In a
    joint fit, the part that separates the training prompts best leaves nothing for the other part to learn. With a tuned
    encoder that part is the embedding.

    Args:
        features: Features of n prompts.
        tasks: Label of each prompt. Each label occurs at least `FOLDS` times.
        groups: Group of each prompt. A group is never split between training and test.
        seen: Whether the encoder was tuned on a prompt, shape (n,). Such prompts are used to fit, but they are never held
            out, unless too few others are left. If all are such prompts, both parts weigh the same.
        outliers: Features of texts without a request. The parts, the temperature and the threshold are fitted so that the
            classifier is unsure of such texts.
        seed: Seed of the folds and of the outliers' labels.
        jobs: Number of processes. -1: one for each processor.
        engine: Fits the logistic regressions. None: `jobs` processes of this machine do.
        watch: Wraps the fits of the cross-validation as they finish.
    """
    labels = tuple(sorted(set(tasks)))
    prompt_targets = np.array([labels.index(task) for task in tasks])
    split = draw_folds(prompt_targets, groups, seen, seed=seed)
    rows = _add_outliers(features, prompt_targets, split, outliers, len(labels), seed=seed)
    engine = engine or LocalEngine(jobs)
    fits = fit_parts(rows.features, rows.targets, rows.used, rows.folds, len(labels), engine=engine, watch=watch)
    logits = {part: fit.logits for part, fit in fits.items()}
    held_out_targets = rows.targets[rows.folds >= 0]
    if seen is not None and seen.all():
        # The weights cannot be measured. Descriptions of one task share words, so words would look better than they are.
        mixture = dict.fromkeys(PARTS, 1 / len(PARTS))
        temperature = fit_temperature(np.mean([logits[part] for part in PARTS], axis=0), held_out_targets)
    else:
        mixture, temperature = fit_mixture(logits, held_out_targets)
    mixed = softmax(np.sum([mixture[part] * logits[part] for part in PARTS], axis=0) / temperature)

    # The held-out rows are n prompts and then some outliers. Only prompts that have a task are reported.
    n = len(split.held_out)
    columns = np.array([i for i, label in enumerate(labels) if label != CONTINUES])
    targets = prompt_targets[split.held_out]
    has_task = np.isin(targets, columns)
    probabilities, outlier_probabilities = np.split(spread_continues(labels, mixed), [n])
    continues = split_continues(labels, mixed[:n])[1]
    right = columns[probabilities.argmax(axis=1)] == targets
    return FittedClassifier(
        labels=labels,
        tasks=tuple(labels[i] for i in columns),
        heads=mix_heads({part: fit.heads for part, fit in fits.items()}, mixture),
        cs={part: fit.c for part, fit in fits.items()},
        mixture=mixture,
        temperature=temperature,
        threshold=choose_unsure_threshold(
            probabilities[has_task].max(axis=1),
            right[has_task],
            outlier_probabilities.max(axis=1),
            continues[has_task],
        ),
        held_out=split.held_out[has_task],
        parts={part: logits[part][:n][has_task][:, columns] for part in PARTS},
        probabilities=probabilities[has_task],
        follow_ups=(continues[~has_task], continues[has_task]),
        folds=np.where(np.isin(prompt_targets, columns), split.folds, -1),
    )


def _add_outliers(
    features: FeatureBlocks,
    targets: NDArray[np.int64],
    split: Split,
    outliers: FeatureBlocks | None,
    n_labels: int,
    *,
    seed: int,
) -> _Rows:
    """Append the outliers to the prompts, each with a random label and a fold of its own."""
    if outliers is None:
        return _Rows(features=features, targets=targets, used=split.used, folds=split.folds)
    n = outliers.embedding.shape[0]
    # Random labels cannot be learned, so the classifier becomes unsure of texts like these.
    return _Rows(
        features=features.concat(outliers),
        targets=np.concatenate([targets, np.array(random_labels(n, n_labels, seed=seed), np.int64)]),
        used=np.concatenate([split.used, np.ones(n, np.bool_)]),
        folds=np.concatenate([split.folds, fold_outliers(n, split)]),
    )
