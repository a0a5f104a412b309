"""Two samples of prompts in, the statistic and p-value of their difference out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Without drift, about 1 % of new prompts are novel.
_NOVEL_QUANTILE = 0.99
# Equal statistics may differ in the last digits, because their terms are added in another order.
_ROUNDING = 1e-12


def compare_embeddings(
    then: NDArray[np.float32], now: NDArray[np.float32], *, rng: np.random.Generator, permutations: int
) -> tuple[float, float]:
    """Return the squared maximum mean discrepancy of two samples and its p-value.

    The estimate is unbiased (Gretton et al., 2012, JMLR 13:723-773, lemma 6). The kernel is exp(−d² / 2σ²). Here σ is the
    median distance of all pairs (section 8).

    The p-value comes from random permutations of the rows between the samples (Phipson and Smyth, 2010, section 3). If b of
    p permuted statistics are at least as large, it is (1 + b) / (1 + p). So the level holds for samples of any size.

    Args:
        then: Embeddings of the first sample, shape (m, dim), each of length one.
        now: Embeddings of the second sample, shape (n, dim), each of length one.
        rng: Draws the permutations.
        permutations: Number of permutations.
    """
    rows = np.concatenate([then, now]).astype(np.float64)
    m, n = len(then), len(now)
    # For vectors of length one, d² = 2 − 2 cosine. Rounding may make it slightly negative.
    squares = np.maximum(2 - 2 * rows @ rows.T, 0.0)
    median = float(np.median(squares[np.triu_indices(len(rows), 1)]))
    kernel = np.exp(-squares / (2 * median or 1.0))  # σ is 0 if most rows are equal
    np.fill_diagonal(kernel, 0.0)  # the unbiased estimate leaves out pairs of a row with itself
    # Marks the rows of the first sample. Row 0 of the marks is the true split, the others are permutations of it.
    first = np.zeros((permutations + 1, len(rows)))
    first[:, :m] = 1.0
    first[1:] = rng.permuted(first[1:], axis=1)
    # Kernel sums of all splits at once: within the first sample, within the second, and between them.
    within_first = np.einsum("pi,pi->p", first @ kernel, first)
    touching_first, total = first @ kernel.sum(axis=1), float(kernel.sum())
    between = touching_first - within_first
    within_second = total - 2 * touching_first + within_first
    mmd = within_first / (m * (m - 1)) + within_second / (n * (n - 1)) - 2 * between / (m * n)
    return float(mmd[0]), _permutation_p_value(mmd)


def compare_counts(
    then: NDArray[np.int64], now: NDArray[np.int64], *, rng: np.random.Generator, permutations: int
) -> tuple[float, float]:
    """Return Pearson's chi-square of two rows of counts and its p-value.

    The p-value comes from random permutations of the prompts between the rows. They hold also for counts that are too small
    for the chi-square distribution (Agresti, 2013, Categorical Data Analysis, section 16.5).

    Args:
        then: Prompts of each task in the first sample, shape (tasks,).
        now: Prompts of each task in the second sample, shape (tasks,).
        rng: Draws the permutations.
        permutations: Number of permutations.
    """
    total = then + now
    occurs = total > 0  # a task without prompts has an expected count of 0, which must not be a divisor
    total, then = total[occurs], then[occurs]
    # The counts of a random split follow this distribution, so there is no need to permute single prompts.
    drawn = rng.multivariate_hypergeometric(total, int(then.sum()), size=permutations)
    tables = np.concatenate([then[None], drawn])
    share = then.sum() / total.sum()
    # The two cells of a task differ from their expected counts by the same amount, so both are in one term.
    statistics = ((tables - share * total) ** 2 / (total * share * (1 - share))).sum(axis=1)
    return float(statistics[0]), _permutation_p_value(statistics)


def adjust(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the same order.

    The method controls the false discovery rate (Benjamini and Hochberg, 1995, JRSS B 57:289).

    >>> adjust([0.01, 0.04, 0.5])
    [0.03, 0.06, 0.5]
    """
    values = np.array(p_values)
    order = np.argsort(-values)
    ranks = len(values) - np.arange(len(values))
    adjusted = np.empty(len(values))
    # The running minimum from the largest p-value down keeps the order of the adjusted values.
    adjusted[order] = np.minimum.accumulate(np.minimum(values[order] * len(values) / ranks, 1.0))
    return [float(value) for value in adjusted]


def nearest_distances(rows: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the distance of each row to the nearest row of the reference, shape (n,). The distance is 1 − cosine.

    Args:
        rows: Embeddings, shape (n, dim), each of length one.
        reference: Embeddings, shape (k, dim), each of length one.
    """
    return np.asarray(1 - (rows @ reference.T).max(axis=1), np.float64)


def find_novel_distance(reference: NDArray[np.float32]) -> float:
    """Return the distance above which a prompt is novel. The distance is 1 − cosine.

    It is the 99 % quantile of the distances between each row of the reference and the nearest other row.

    Args:
        reference: Embeddings, shape (k, dim), each of length one.
    """
    cosines = reference @ reference.T
    np.fill_diagonal(cosines, -np.inf)  # a row is not its own neighbour
    return float(np.quantile(1 - cosines.max(axis=1), _NOVEL_QUANTILE, method="higher"))


def _permutation_p_value(statistics: NDArray[np.float64]) -> float:
    """Return the share of statistics that are at least as large as the first one, which is the observed one."""
    return float((statistics >= statistics[0] - _ROUNDING).mean())
