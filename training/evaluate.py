"""How good a task classifier is: accuracy, macro-F1, calibration, with intervals, beside baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.keywords import KeywordRules
from training.datasets import LabelledPrompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
_BINS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good some predictions are.

    Attributes:
        name: Whose predictions.
        n: How many.
        accuracy: Share that is the label.
        lenient: Share that is the label or another task that could be defended; None where the data name none.
        macro_f1: Mean F1 over the tasks that occur.
    """

    name: str
    n: int
    accuracy: Interval
    lenient: Interval | None
    macro_f1: Interval


def judge(name: str, predicted: Sequence[str | None], rows: Sequence[LabelledPrompt], *, seed: int = 0) -> Quality:
    """Compare predictions with labels; intervals by the percentile bootstrap over prompts (1,000 resamples)."""
    right = np.array([guess == row.task for guess, row in zip(predicted, rows, strict=True)])
    defended = np.array([guess == row.task or guess in row.also for guess, row in zip(predicted, rows, strict=True)])
    tasks = sorted({row.task for row in rows})
    truth = np.array([tasks.index(row.task) for row in rows])
    guess = np.array([tasks.index(p) if p in tasks else len(tasks) for p in predicted])

    def macro_f1(sample: NDArray[np.int64]) -> float:
        return float(np.mean(f1_scores(truth[sample], guess[sample], len(tasks))))

    return Quality(
        name=name,
        n=len(rows),
        accuracy=bootstrap(lambda sample: float(right[sample].mean()), len(rows), seed=seed),
        lenient=bootstrap(lambda sample: float(defended[sample].mean()), len(rows), seed=seed)
        if any(row.also for row in rows)
        else None,
        macro_f1=bootstrap(macro_f1, len(rows), seed=seed),
    )


def bootstrap(statistic: Callable[[NDArray[np.int64]], float], n: int, *, seed: int) -> Interval:
    """Return a statistic of all n rows with its 95 % percentile interval (Efron and Tibshirani, 1993, section 13.3)."""
    rng = np.random.default_rng(seed)
    resampled = [statistic(rng.integers(0, n, n)) for _ in range(RESAMPLES)]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(value=statistic(np.arange(n)), low=float(low), high=float(high))


def f1_scores(truth: NDArray[np.int64], guess: NDArray[np.int64], n_tasks: int) -> NDArray[np.float64]:
    """Return 2·TP / (2·TP + FP + FN) of each task that occurs in `truth`; guesses outside [0, n_tasks) count as wrong."""
    actual = np.bincount(truth, minlength=n_tasks)[:n_tasks]
    guessed = np.bincount(guess, minlength=n_tasks)[:n_tasks]
    hits = np.bincount(truth[truth == guess], minlength=n_tasks)[:n_tasks]
    occurs = actual > 0
    return np.asarray((2 * hits / np.maximum(actual + guessed, 1))[occurs], np.float64)


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over 15 equal-width bins (Guo et al., 2017, equation 3)."""
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gaps = [
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in range(_BINS)
        if (bins == b).any()
    ]
    return float(sum(gaps))


def predict_majority(train: Sequence[LabelledPrompt], rows: Sequence[LabelledPrompt]) -> list[str]:
    """Predict the training prompts' most frequent task, always."""
    return [Counter(row.task for row in train).most_common(1)[0][0]] * len(rows)


def predict_by_keywords(rules: KeywordRules, train: Sequence[LabelledPrompt], rows: Sequence[LabelledPrompt]) -> list[str]:
    """Predict by keyword rules alone; the most frequent task where none fits."""
    majority = predict_majority(train, rows)
    return [match[0] if (match := rules.match(row.prompt)) else other for row, other in zip(rows, majority, strict=True)]


def predict_by_tfidf(train: Sequence[LabelledPrompt], rows: Sequence[LabelledPrompt]) -> list[str]:
    """Predict by TF-IDF of words and word pairs under a logistic regression: the baseline everybody can build."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, token_pattern=r"(?u)\b\w+\b"),  # noqa: S106
        LogisticRegression(C=10, max_iter=1000),
    )
    try:
        model.fit([row.prompt for row in train], [row.task for row in train])
    except ValueError:  # no word occurs twice, or there is one task only
        return predict_majority(train, rows)
    return [str(task) for task in model.predict([row.prompt for row in rows])]


def by_task(predicted: Sequence[str | None], rows: Sequence[LabelledPrompt]) -> dict[str, tuple[int, float, float]]:
    """Return n, precision and recall of each task that occurs, most frequent first."""
    guessed = Counter(predicted)
    hits = Counter(row.task for guess, row in zip(predicted, rows, strict=True) if guess == row.task)
    return {
        task: (n, hits[task] / guessed[task] if guessed[task] else 0.0, hits[task] / n)
        for task, n in Counter(row.task for row in rows).most_common()
    }


def cross_validated(
    predict: Callable[[Sequence[LabelledPrompt], Sequence[LabelledPrompt]], Sequence[str]],
    rows: Sequence[LabelledPrompt],
    folds: NDArray[np.int64],
) -> list[str]:
    """Return a baseline's predictions of the rows that are held out, in their order; a fold of −1 never is."""
    predicted = [""] * len(rows)
    for fold in np.unique(folds[folds >= 0]):
        held_out = np.flatnonzero(folds == fold).tolist()
        kept = np.flatnonzero(folds != fold).tolist()
        guesses = predict([rows[i] for i in kept], [rows[i] for i in held_out])
        for i, guess in zip(held_out, guesses, strict=True):
            predicted[i] = guess
    return [predicted[i] for i in np.flatnonzero(folds >= 0)]


def to_metrics(prefix: str, quality: Quality) -> Mapping[str, float]:
    """Return the figures by the names they have in a manifest."""
    return {f"{prefix} accuracy": quality.accuracy.value, f"{prefix} macro-F1": quality.macro_f1.value}
