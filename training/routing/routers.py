"""What a router has to beat: single models, chance, means by task, neighbours and ridge regression on words, the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from training.outcomes import Outcomes
from training.routing.evaluation import Dial, trace_dial

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

# Expected quality and expected cost in USD of each model on each prompt to be routed, both of shape (n, m).
Expected = tuple["NDArray[np.float64]", "NDArray[np.float64]"]
# Learns from the first outcomes, and predicts the second by their prompts (or tasks) alone.
Fit = Callable[[Outcomes, Outcomes], Expected]

_NEIGHBOURS = 40


def by_task_table(train: Outcomes, test: Outcomes) -> Expected:
    """Expect each model's mean on the prompts of the same task, as the benchmark names it.

    A model that is not measured on a task is expected to do as on all its prompts; so is every model on an unknown task.
    """
    return _task_means(train.score, train, test), _task_means(train.cost_usd, train, test)


def _task_means(values: NDArray[np.float64], train: Outcomes, test: Outcomes) -> NDArray[np.float64]:
    overall = _means(values)
    tasks = np.array(train.tasks)
    table = {task: _means(values[tasks == task], overall) for task in set(train.tasks)}
    return np.array([table.get(task, overall) for task in test.tasks]).reshape(-1, values.shape[1])


def _means(values: NDArray[np.float64], otherwise: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return each column's mean over what is known; where nothing is, `otherwise`, or the mean of all columns, or 0."""
    known = ~np.isnan(values)
    counts, sums = known.sum(axis=0), np.where(known, values, 0).sum(axis=0)
    if otherwise is None:
        otherwise = np.full(values.shape[1], sums.sum() / max(counts.sum(), 1))
    return np.where(counts > 0, sums / np.maximum(counts, 1), otherwise)


def by_neighbours(train: Outcomes, test: Outcomes) -> Expected:
    """Expect each model's mean on the 40 training prompts of the nearest words: TF-IDF of words and pairs, cosine.

    Where a model is measured on none of them, or no word occurs in two prompts, its mean on all its prompts.
    """
    from sklearn.neighbors import NearestNeighbors

    words = _weigh_words(train, test)
    if words is None:
        return _overall(train, test)
    known, asked = words
    nearest = NearestNeighbors(n_neighbors=min(_NEIGHBOURS, len(train.prompts)), metric="cosine").fit(known)
    graph = nearest.kneighbors_graph(asked)
    return _neighbour_means(graph, train.score), _neighbour_means(graph, train.cost_usd)


def _neighbour_means(graph: sparse.csr_matrix, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means over what is known of each row's neighbours; graph: shape (n_test, n_train), 1 for a neighbour."""
    known = ~np.isnan(values)
    counts, sums = graph @ known.astype(float), graph @ np.where(known, values, 0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), _means(values))


def by_ridge(train: Outcomes, test: Outcomes) -> Expected:
    """Expect what ridge regressions (strength 1) on TF-IDF of words and pairs say, one for each model's score and cost.

    Where no word occurs in two prompts, or a model is not measured, the mean as in `by_neighbours`.
    """
    words = _weigh_words(train, test)
    if words is None:
        return _overall(train, test)
    return _regress(*words, train.score), np.maximum(_regress(*words, train.cost_usd), 0)


def _regress(known: sparse.csr_matrix, asked: sparse.csr_matrix, values: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.linear_model import Ridge

    expected = np.tile(_means(values), (asked.shape[0], 1))
    for column, measured in enumerate(~np.isnan(values.T)):
        if measured.any():
            expected[:, column] = Ridge(1.0).fit(known[measured], values[measured, column]).predict(asked)
    return expected


def _weigh_words(train: Outcomes, test: Outcomes) -> tuple[sparse.csr_matrix, sparse.csr_matrix] | None:
    """Return TF-IDF of both; None where no word occurs in two training prompts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    try:
        return vectorizer.fit_transform(train.prompts), vectorizer.transform(test.prompts)
    except ValueError:  # an empty vocabulary, or fewer than two prompts
        return None


def _overall(train: Outcomes, test: Outcomes) -> Expected:
    n = len(test.prompts)
    return np.tile(_means(train.score), (n, 1)), np.tile(_means(train.cost_usd), (n, 1))


def cross_fit(fit: Fit, outcomes: Outcomes, folds: NDArray[np.int64]) -> Expected:
    """Return what is expected of each prompt by a fit to the other folds; folds: shape (n,)."""
    quality, cost_usd = np.empty_like(outcomes.score), np.empty_like(outcomes.cost_usd)
    for fold in np.unique(folds):
        held_out = folds == fold
        quality[held_out], cost_usd[held_out] = fit(outcomes.take(~held_out), outcomes.take(held_out))
    return quality, cost_usd


def zero_router(outcomes: Outcomes) -> Dial:
    """Send every prompt to one model: a setting for each; mixing two at random gives their hull (arXiv 2403.12031)."""
    order = np.lexsort((_means(outcomes.score), _means(outcomes.cost_usd)))
    return Dial(name="zero router", choices=np.tile(order[:, None], (1, len(outcomes.prompts))))


def round_robin(outcomes: Outcomes) -> Dial:
    """Send each prompt to the next model in turn."""
    turns = np.arange(len(outcomes.prompts)) % len(outcomes.models)
    return Dial(name="round robin", choices=turns[None])


def at_random(outcomes: Outcomes, *, seed: int) -> Dial:
    """Send each prompt to any model with equal chance."""
    drawn = np.random.default_rng(seed).integers(0, len(outcomes.models), len(outcomes.prompts))
    return Dial(name="random", choices=drawn[None])


def oracle(outcomes: Outcomes) -> Dial:
    """Choose by the true scores and costs: what no router reaches. What is not measured counts as 0."""
    return trace_dial("oracle", np.nan_to_num(outcomes.score), np.nan_to_num(outcomes.cost_usd))


def baseline_dials(train: Outcomes, test: Outcomes, *, seed: int) -> list[Dial]:
    """Return what a router is compared with on `test`: those that learn do so on `train`."""
    return _gather(lambda fit: fit(train, test), test, seed=seed)


def cross_fit_dials(outcomes: Outcomes, folds: NDArray[np.int64], *, seed: int) -> list[Dial]:
    """Return what a router is compared with on all prompts: those that learn do so on the folds a prompt is not in."""
    return _gather(lambda fit: cross_fit(fit, outcomes, folds), outcomes, seed=seed)


def _gather(expect: Callable[[Fit], Expected], test: Outcomes, *, seed: int) -> list[Dial]:
    fits = {"task table": by_task_table, "kNN-40": by_neighbours, "ridge": by_ridge}
    learnt = [trace_dial(name, *expect(fit)) for name, fit in fits.items()]
    return [zero_router(test), *learnt, round_robin(test), at_random(test, seed=seed), oracle(test)]
