"""How good a task classifier is: accuracy, F1, calibration, risk and coverage, with intervals, beside baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.keywords import KeywordRules
from router.types import TaskPrediction
from training.datasets import LabelledPrompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
_BINS = 15
_COVERAGES = 20


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuality:
    """How well one task is told.

    Attributes:
        task: Its name.
        n: Prompts of it.
        precision: Share of the guesses of it that are right; 0 where it is never guessed.
        recall: Share of its prompts that are told.
        f1: Harmonic mean of both.
    """

    task: str
    n: int
    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Some of the predictions: how many, how sure they were on average, which share is right."""

    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What can be said of a router's predictions of n labelled prompts.

    Attributes:
        n: How many.
        seed: Of the bootstrap.
        qualities: The router's first, then each baseline's.
        top2: Share whose task is among the two likeliest.
        tasks: Each task that occurs, most frequent first.
        guessable: The columns of the confusion matrix: every task, then what was not told at all.
        confusion: Prompts of each of `tasks` (rows) by what was guessed (columns).
        calibration_error: Expected calibration error over 15 equal-width bins.
        calibration: Those of the bins that are not empty, by confidence.
        risk_coverage: The surest 5 %, 10 % … 100 % of the predictions (El-Yaniv and Wiener, 2010, JMLR 11:1605-1641);
            `confidence` is that of the least sure among them.
        deciders: By what settled the task: `first tier`, `full tier` of the classifier, `keywords`, `default` (unsure).
    """

    n: int
    seed: int
    qualities: Sequence[Quality]
    top2: Interval
    tasks: Sequence[TaskQuality]
    guessable: Sequence[str]
    confusion: Sequence[Sequence[int]]
    calibration_error: Interval
    calibration: Sequence[Share]
    risk_coverage: Sequence[Share]
    deciders: Mapping[str, Share]


def evaluate(
    predictions: Sequence[TaskPrediction],
    rows: Sequence[LabelledPrompt],
    *,
    baselines: Mapping[str, Sequence[str | None]] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare a router's predictions, and baselines' guesses by name, with the labels; both in the order of the rows."""
    guesses = [prediction.task for prediction in predictions]
    named = {"router": guesses, **(baselines or {})}
    right = np.array([guess == row.task for guess, row in zip(guesses, rows, strict=True)])
    near = np.array([row.task in _likeliest(p, 2) for p, row in zip(predictions, rows, strict=True)])
    confidence = np.array([prediction.confidence for prediction in predictions])
    told = np.array([_name_decider(prediction) for prediction in predictions])
    tasks = tasks_by_size(rows)
    guessable = [*tasks, *sorted({guess for guess in guesses if guess is not None} - set(tasks)), "none"]
    matrix = np.zeros((len(tasks), len(guessable)), np.int64)
    for row, guess in zip(rows, guesses, strict=True):
        matrix[tasks.index(row.task), guessable.index(guess or "none")] += 1
    return Evaluation(
        n=len(rows),
        seed=seed,
        qualities=[judge(name, guess, rows, seed=seed) for name, guess in named.items()],
        top2=bootstrap(lambda sample: float(near[sample].mean()), len(rows), seed=seed),
        tasks=by_task(guesses, rows, seed=seed),
        guessable=guessable,
        confusion=matrix.tolist(),
        calibration_error=bootstrap(
            lambda sample: calibration_error(confidence[sample], right[sample]), len(rows), seed=seed
        ),
        calibration=[_share(confidence, right, bin_) for bin_ in _bins(confidence)],
        risk_coverage=_trace_risk(confidence, right),
        deciders={
            source: _share(confidence, right, np.flatnonzero(told == source)) for source in sorted(set(told.tolist()))
        },
    )


def _name_decider(prediction: TaskPrediction) -> str:
    return f"{prediction.tier} tier" if prediction.source == "classifier" else prediction.source


def _likeliest(prediction: TaskPrediction, n: int) -> list[str]:
    """Return the task told and those that come next; nothing where none was told."""
    if prediction.task is None:
        return []
    probabilities = prediction.probabilities
    return sorted(probabilities, key=lambda task: (task != prediction.task, -probabilities[task]))[:n]


def tasks_by_size(rows: Sequence[LabelledPrompt]) -> list[str]:
    """Return the tasks that occur, most frequent first."""
    return [task for task, _ in Counter(row.task for row in rows).most_common()]


def _bins(confidence: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Return the rows of each equal-width bin that is not empty."""
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    return [np.flatnonzero(bins == b) for b in np.unique(bins)]


def _share(confidence: NDArray[np.float64], right: NDArray[np.bool_], rows: NDArray[np.int64]) -> Share:
    return Share(n=len(rows), confidence=float(confidence[rows].mean()), accuracy=float(right[rows].mean()))


def _trace_risk(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Share]:
    order = np.argsort(-confidence, kind="stable")
    sizes = np.unique(np.ceil(np.arange(1, _COVERAGES + 1) / _COVERAGES * len(order)).astype(np.int64))
    return [
        Share(n=n, confidence=float(confidence[order[n - 1]]), accuracy=float(right[order[:n]].mean()))
        for n in sizes.tolist()
    ]


def judge(name: str, predicted: Sequence[str | None], rows: Sequence[LabelledPrompt], *, seed: int = 0) -> Quality:
    """Compare predictions with labels; intervals by the percentile bootstrap over prompts (1,000 resamples).

    >>> rows = [LabelledPrompt(prompt=text, task=task) for text, task in (("a", "math"), ("b", "qa"))]
    >>> judge("mine", ["math", "math"], rows).accuracy.value
    0.5
    """
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
    """Return a statistic of all n rows with its 95 % percentile interval (Efron and Tibshirani, 1993, section 13.3).

    >>> scores = np.array([1, 0, 1, 1])
    >>> bootstrap(lambda sample: float(scores[sample].mean()), len(scores), seed=0).value
    0.75
    """
    return _bootstrap_each(lambda sample: np.array([statistic(sample)]), n, seed=seed)[0]


def _bootstrap_each(statistics: Callable[[NDArray[np.int64]], NDArray[np.float64]], n: int, *, seed: int) -> list[Interval]:
    rng = np.random.default_rng(seed)
    values = statistics(np.arange(n))
    lows, highs = np.percentile([statistics(rng.integers(0, n, n)) for _ in range(RESAMPLES)], [2.5, 97.5], axis=0)
    return [
        Interval(value=value, low=low, high=high)
        for value, low, high in zip(values.tolist(), lows.tolist(), highs.tolist(), strict=True)
    ]


def f1_scores(truth: NDArray[np.int64], guess: NDArray[np.int64], n_tasks: int) -> NDArray[np.float64]:
    """Return 2·TP / (2·TP + FP + FN) of each task that occurs in `truth`; guesses outside [0, n_tasks) count as wrong.

    >>> f1_scores(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).round(2).tolist()
    [0.67, 0.67]
    """
    actual, guessed, hits = _counts(truth, guess, n_tasks)
    return np.asarray((2 * hits / np.maximum(actual + guessed, 1))[actual > 0], np.float64)


def _counts(truth: NDArray[np.int64], guess: NDArray[np.int64], n_tasks: int) -> tuple[NDArray[np.int64], ...]:
    """Return how often each task is right, is guessed, and is both."""
    return tuple(np.bincount(rows, minlength=n_tasks)[:n_tasks] for rows in (truth, guess, truth[truth == guess]))


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over 15 equal-width bins (Guo et al., 2017, equation 3).

    >>> calibration_error(np.array([0.9, 0.9]), np.array([True, False]))
    0.4
    """
    gaps = [abs(confidence[rows].mean() - right[rows].mean()) * len(rows) for rows in _bins(confidence)]
    return float(sum(gaps) / len(confidence))


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
        LogisticRegression(C=10, solver="newton-cg"),  # the optimum lbfgs would reach, in an eighth of the time
    )
    try:
        model.fit([row.prompt for row in train], [row.task for row in train])
    except ValueError:  # no word occurs twice, or there is one task only
        return predict_majority(train, rows)
    return [str(task) for task in model.predict([row.prompt for row in rows])]


def by_task(predicted: Sequence[str | None], rows: Sequence[LabelledPrompt], *, seed: int = 0) -> list[TaskQuality]:
    """Judge each task that occurs, most frequent first; intervals as those of `judge`."""
    tasks = tasks_by_size(rows)
    truth = np.array([tasks.index(row.task) for row in rows])
    guess = np.array([tasks.index(p) if p in tasks else len(tasks) for p in predicted])

    def figures(sample: NDArray[np.int64]) -> NDArray[np.float64]:
        actual, guessed, hits = _counts(truth[sample], guess[sample], len(tasks))
        parts = (hits / np.maximum(guessed, 1), hits / np.maximum(actual, 1), 2 * hits / np.maximum(actual + guessed, 1))
        return np.concatenate(parts)

    intervals = _bootstrap_each(figures, len(rows), seed=seed)
    sizes = np.bincount(truth, minlength=len(tasks)).tolist()
    return [
        TaskQuality(task=task, n=n, precision=precision, recall=recall, f1=f1)
        for task, n, precision, recall, f1 in zip(
            tasks, sizes, *(intervals[i * len(tasks) : (i + 1) * len(tasks)] for i in range(3)), strict=True
        )
    ]


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
