"""Training prompts and test prompts in, predictions of simple baselines out: majority, keyword rules, TF-IDF.

A task classifier should beat all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from router.classify.keywords import KeywordRules
from training.data.prompts import LabelledPrompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Learns from the first prompts and predicts the task of the second ones.
Baseline = Callable[[Sequence[LabelledPrompt], Sequence[LabelledPrompt]], Sequence[str]]


def task_baselines(rules: KeywordRules) -> dict[str, Baseline]:
    """Return the baselines by name, the strongest first. The names become metric names in the manifest."""
    return {
        "TF-IDF + LR": predict_by_tfidf,
        "keyword rules": partial(predict_by_keywords, rules),
        "majority": predict_majority,
    }


def predict_majority(train: Sequence[LabelledPrompt], rows: Sequence[LabelledPrompt]) -> list[str]:
    """Predict the most frequent task of the training prompts for every row."""
    return [Counter(row.task for row in train).most_common(1)[0][0]] * len(rows)


def predict_by_keywords(rules: KeywordRules, train: Sequence[LabelledPrompt], rows: Sequence[LabelledPrompt]) -> list[str]:
    """Predict by keyword rules alone, and the most frequent task if no rule matches."""
    majority = predict_majority(train, rows)
    return [match[0] if (match := rules.match(row.prompt)) else other for row, other in zip(rows, majority, strict=True)]


def predict_by_tfidf(train: Sequence[LabelledPrompt], rows: Sequence[LabelledPrompt]) -> list[str]:
    """Predict by a logistic regression on TF-IDF of words and word pairs, the usual baseline for text."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        # Unlike scikit-learn's default, the pattern keeps words of one letter.
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, token_pattern=r"(?u)\b\w+\b"),  # noqa: S106
        # newton-cg reaches the same optimum as lbfgs in an eighth of the time.
        LogisticRegression(C=10, solver="newton-cg"),
    )
    try:
        model.fit([row.prompt for row in train], [row.task for row in train])
    except ValueError:  # no word occurs twice, or there is only one task
        return predict_majority(train, rows)
    return [str(task) for task in model.predict([row.prompt for row in rows])]


def cross_validated(predict: Baseline, rows: Sequence[LabelledPrompt], folds: NDArray[np.int64]) -> list[str]:
    """Return a baseline's predictions for the rows that are held out, in their order.

    Args:
        predict: The baseline.
        rows: Labelled prompts.
        folds: Fold of each row. A row with fold −1 is only trained on, never held out.
    """
    predictions = [""] * len(rows)
    for fold in np.unique(folds[folds >= 0]):
        held_out = np.flatnonzero(folds == fold).tolist()
        kept = np.flatnonzero(folds != fold).tolist()
        tasks = predict([rows[i] for i in kept], [rows[i] for i in held_out])
        for i, task in zip(held_out, tasks, strict=True):
            predictions[i] = task
    return [predictions[i] for i in np.flatnonzero(folds >= 0)]
