"""The baselines of a router: single models, chance, task means, similar prompts, ridge regression, and the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from training.quality.outcomes import Outcomes
from training.verdict.sweep import Sweep, sweep_prices

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

# Expected quality and expected cost in USD of each model on each prompt to be routed, both of shape (n, m).
Expected = tuple["NDArray[np.float64]", "NDArray[np.float64]"]
# Learns from the first outcomes and predicts the second ones. Of the second ones it reads prompts and tasks only.
Fit = Callable[[Outcomes, Outcomes], Expected]

ORACLE = "oracle"
_NEIGHBOURS = 40


def by_task_table(train: Outcomes, test: Outcomes) -> Expected:
    """Expect the mean of each model on the prompts of the same task, as the benchmark names it.

    Fall back to the model's mean on all its prompts if it was not measured on the task, or if the task is unknown.
    """
    return _task_means(train.score, train, test), _task_means(train.cost_usd, train, test)


def _task_means(values: NDArray[np.float64], train: Outcomes, test: Outcomes) -> NDArray[np.float64]:
    overall = _means(values)
    tasks = np.array(train.tasks)
    table = {task: _means(values[tasks == task], overall) for task in set(train.tasks)}
    return np.array([table.get(task, overall) for task in test.tasks]).reshape(-1, values.shape[1])


def _means(values: NDArray[np.float64], fallback: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return the mean of each column over its known values.

    Args:
        values: Shape (n, m), NaN if unknown.
        fallback: Means of columns without a known value, shape (m,). None: the mean of all columns, or 0 if all are unknown.
    """
    known = ~np.isnan(values)
    counts, sums = known.sum(axis=0), np.where(known, values, 0).sum(axis=0)
    if fallback is None:
        fallback = np.full(values.shape[1], sums.sum() / max(counts.sum(), 1))
    return np.where(counts > 0, sums / np.maximum(counts, 1), fallback)


def by_neighbours(train: Outcomes, test: Outcomes) -> Expected:
    """Expect the mean of each model on the 40 training prompts with the most similar words.

    Similarity is the cosine of TF-IDF vectors of words and word pairs. Fall back to the model's mean on all its prompts if
    it was measured on none of the 40, or if no word occurs in two prompts.
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
    """Return means over the known values of each row's neighbours.

    Args:
        graph: Shape (n_test, n_train), 1 for a neighbour.
        values: Shape (n_train, m), NaN if unknown.
    """
    known = ~np.isnan(values)
    # Unknown values must not count as 0, so sums and counts are both taken over the known ones.
    counts, sums = graph @ known.astype(float), graph @ np.where(known, values, 0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), _means(values))


def by_ridge(train: Outcomes, test: Outcomes) -> Expected:
    """Expect the predictions of ridge regressions (strength 1) on TF-IDF of words and word pairs.

    Each model has one regression for its score and one for its cost. Fall back to means as in `by_neighbours` if no word
    occurs in two prompts, or if a model was not measured.
    """
    words = _weigh_words(train, test)
    if words is None:
        return _overall(train, test)
    # A straight line may predict costs below 0.
    return _regress(*words, train.score), np.maximum(_regress(*words, train.cost_usd), 0)


def _regress(known: sparse.csr_matrix, asked: sparse.csr_matrix, values: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.linear_model import Ridge

    expected = np.tile(_means(values), (asked.shape[0], 1))
    for column, measured in enumerate(~np.isnan(values.T)):
        # Each model is fitted to the prompts on which it was measured. Benchmarks often have gaps.
        if measured.any():
            expected[:, column] = Ridge(1.0).fit(known[measured], values[measured, column]).predict(asked)
    return expected


def _weigh_words(train: Outcomes, test: Outcomes) -> tuple[sparse.csr_matrix, sparse.csr_matrix] | None:
    """Return the TF-IDF matrices of both, or None if no word occurs in two training prompts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    try:
        return vectorizer.fit_transform(train.prompts), vectorizer.transform(test.prompts)
    except ValueError:  # scikit-learn raises it for an empty vocabulary and for fewer than two prompts
        return None


def _overall(train: Outcomes, test: Outcomes) -> Expected:
    """Expect the mean of each model on all its prompts."""
    n = len(test.prompts)
    return np.tile(_means(train.score), (n, 1)), np.tile(_means(train.cost_usd), (n, 1))


def cross_fit(fit: Fit, outcomes: Outcomes, folds: NDArray[np.int64]) -> Expected:
    """Return what a fit to the other folds expects of each prompt.

    Args:
        fit: Learns and predicts.
        outcomes: All prompts.
        folds: Fold of each prompt, shape (n,).
    """
    quality, cost_usd = np.empty_like(outcomes.score), np.empty_like(outcomes.cost_usd)
    for fold in np.unique(folds):
        held_out = folds == fold
        quality[held_out], cost_usd[held_out] = fit(outcomes.take(~held_out), outcomes.take(held_out))
    return quality, cost_usd


def zero_router(outcomes: Outcomes) -> Sweep:
    """Send all prompts to one model, with one setting for each model.

    The hull of these settings is the zero router: it mixes two models at random (RouterBench, arXiv 2403.12031).
    """
    # Settings go from the cheapest to the most expensive, as in every sweep.
    order = np.lexsort((_means(outcomes.score), _means(outcomes.cost_usd)))
    return Sweep(name="zero router", choices=np.tile(order[:, None], (1, len(outcomes.prompts))))


def round_robin(outcomes: Outcomes) -> Sweep:
    """Send each prompt to the next model in turn."""
    # A single setting: this baseline cannot be set to save more or less.
    turns = np.arange(len(outcomes.prompts)) % len(outcomes.models)
    return Sweep(name="round robin", choices=turns[None])


def at_random(outcomes: Outcomes, *, seed: int) -> Sweep:
    """Send each prompt to a random model, all with equal chance."""
    drawn = np.random.default_rng(seed).integers(0, len(outcomes.models), len(outcomes.prompts))
    return Sweep(name="random", choices=drawn[None])


def oracle(outcomes: Outcomes) -> Sweep:
    """Choose by the true scores and costs, which no router can reach. Unknown scores and costs count as 0."""
    return sweep_prices(ORACLE, np.nan_to_num(outcomes.score), np.nan_to_num(outcomes.cost_usd))


def sweep_baselines(train: Outcomes, test: Outcomes, *, seed: int) -> list[Sweep]:
    """Return the choices of all baselines for the prompts of `test`; those that learn learn from `train`."""
    return _sweep_all(lambda fit: fit(train, test), test, seed=seed)


def cross_fit_baselines(outcomes: Outcomes, folds: NDArray[np.int64], *, seed: int) -> list[Sweep]:
    """Return the choices of all baselines for all prompts; those that learn are cross-fitted over the folds."""
    return _sweep_all(lambda fit: cross_fit(fit, outcomes, folds), outcomes, seed=seed)


def _sweep_all(expect: Callable[[Fit], Expected], test: Outcomes, *, seed: int) -> list[Sweep]:
    # The names are shown in reports and used as keys of `RoutingEvaluation.differences`.
    fits = {"task table": by_task_table, "kNN-40": by_neighbours, "ridge": by_ridge}
    learned = [sweep_prices(name, *expect(fit)) for name, fit in fits.items()]
    return [zero_router(test), *learned, round_robin(test), at_random(test, seed=seed), oracle(test)]
