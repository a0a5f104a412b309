"""Mean scores of models that answered different prompts in, the same compared on equal prompts out.

A model that happened to get easy prompts looks strong. If other models answered the same prompts, they show how easy these
are. A score of model m on prompt i is

    μ_m + σ_m · (√ρ · u_i + √(1 − ρ) · e_im)

where u_i says how easy the prompt is for all models alike, σ_m² = p(1 − p) is the variance of the model's scores, and ρ is
the correlation between two models. Generalised least squares gives the means with the least variance (Aitken, 1936). If all
models answered the same prompts, these are the plain means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.quality.cells import Cell
from training.quality.outcomes import Outcomes
from training.quality.overlap import measure_correlation

if TYPE_CHECKING:
    from numpy.typing import NDArray

# With a correlation of 1, a single answer of a new model would say what it scores everywhere.
_MOST_CORRELATED = 0.95


class _Comparison(NamedTuple):
    """What equal prompts change in a cell: the shift of its mean, and how many times as much each prompt tells."""

    shift: float
    gain: float


def compare_on_same_prompts(
    cells: Sequence[Cell], outcomes: Outcomes, shares: NDArray[np.float64], tasks: Sequence[str]
) -> list[Cell]:
    """Return cells whose means are compared on the same prompts.

    Args:
        cells: The cells.
        outcomes: Scores by prompt. Cells without any are returned as they are.
        shares: How much each prompt counts for each task, shape (prompts, tasks).
        tasks: The tasks.
    """
    column = np.unique(
        [f"{task}\n{name}" for task, name in zip(outcomes.tasks, outcomes.benchmarks, strict=True)], return_inverse=True
    )[1]
    correlation = measure_correlation(outcomes.score, column)
    if not correlation:
        return list(cells)
    found = dict(_compare_all(outcomes, shares, tasks, min(correlation, _MOST_CORRELATED)))
    plain = _Comparison(0.0, 1.0)
    compared = ((cell, found.get((cell.model, cell.task, cell.benchmark), plain)) for cell in cells)
    return [replace(cell, mean=min(max(cell.mean + by.shift, 0.0), 1.0), gain=by.gain) for cell, by in compared]


def _compare_all(
    outcomes: Outcomes, shares: NDArray[np.float64], tasks: Sequence[str], correlation: float
) -> Iterator[tuple[tuple[str, str, str], _Comparison]]:
    """Yield model, task and benchmark of each cell that changes, and its comparison."""
    benchmarks = np.array(outcomes.benchmarks)
    for benchmark in dict.fromkeys(outcomes.benchmarks):
        rows = np.flatnonzero(benchmarks == benchmark)
        for t, task in enumerate(tasks):
            counted = rows[shares[rows, t] > 0]
            known = ~np.isnan(outcomes.score[counted])
            models = np.flatnonzero(known.any(axis=0))
            if known[:, models].all():
                continue
            score = outcomes.score[np.ix_(counted, models)]
            compared = _compare(score, shares[counted, t], correlation)
            yield from (((outcomes.models[m], task, benchmark), by) for m, by in zip(models.tolist(), compared, strict=True))


def _compare(score: NDArray[np.float64], weight: NDArray[np.float64], correlation: float) -> list[_Comparison]:
    """Return the comparison of each model of one column.

    Args:
        score: Scores, shape (prompts, models). NaN if not measured.
        weight: How much each prompt counts, shape (prompts,).
        correlation: Correlation between two models, in (0, 1).
    """
    known = (~np.isnan(score)).astype(np.float64)
    n = weight @ known
    plain = weight @ np.nan_to_num(score) / n
    p = (n * plain + 1) / (n + 2)  # as in `Cell.variance`
    deviation = np.sqrt(p * (1 - p))
    scaled = np.nan_to_num(score) / deviation
    # The inverse of the covariance of k scores of one prompt is (I − c·11ᵀ) / (1 − ρ) with c = ρ / (1 − ρ + kρ).
    shared = weight * correlation / (1 - correlation + correlation * known.sum(axis=1))
    precision = np.diag(n) - known.T @ (shared[:, None] * known)
    told = weight @ scaled - known.T @ (shared * scaled.sum(axis=1))
    inverse = np.linalg.inv(precision)
    shift = deviation * (inverse @ told) - plain
    gain = 1 / (inverse.diagonal() * (1 - correlation) * n)
    return [_Comparison(*pair) for pair in zip(shift.tolist(), gain.tolist(), strict=True)]
