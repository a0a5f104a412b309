"""Benchmark rows in, the same rows with each measurement once out, with notes on the repeated ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from training.data.problems import count_more
from training.data.results import MEASURES, Results

if TYPE_CHECKING:
    from numpy.typing import NDArray


def merge_repeated(results: Results, numbers: Sequence[int]) -> tuple[Results, list[str]]:
    """Return rows in which no measurement counts twice, in the order of first appearance, and notes for the reader.

    - Rows of one model on one prompt become one row: the mean of their known figures, with n = 1.
    - Aggregates with the same model, task, benchmark, score and n become one row, with the same n, if n is 2 or more.
      Equal rows without n may be scores of different prompts whose names stand in a column that is not read.
    - Other aggregates of one model, task and benchmark stay, because they may be different measurements.

    Args:
        results: The rows.
        numbers: Number of each row in the file.
    """
    number = np.asarray(numbers, np.int64)
    aggregate = results.prompt < 0
    # Several scores of one prompt are one cell. Of aggregates only equal ones are.
    score, n = (np.where(aggregate, np.nan_to_num(values, nan=-1), 0) for values in (results.score, results.n))
    # A number of its own keeps a row apart from all others.
    apart = np.where(aggregate & ~(results.n > 1), np.arange(len(aggregate)), -1)
    cell, first = _group(results.model, results.task, results.benchmark, results.prompt, score, n, apart)
    notes = _describe_repeated(results, number, cell, first)
    if notes:
        means: dict[str, Any] = {name: _mean_by(cell, getattr(results, name), len(first)) for name in MEASURES}
        results, number = replace(results.take(first), **means), number[first]
    return results, [*notes, *_describe_aggregates(results, number)]


def _describe_repeated(
    results: Results, number: NDArray[np.int64], cell: NDArray[np.int64], first: NDArray[np.int64]
) -> list[str]:
    """Return a note on rows that repeat an earlier one, and a note on prompts with several scores of one model.

    Args:
        results: The rows.
        number: Number of each row in the file.
        cell: Cell of each row.
        first: First row of each cell.
    """
    later = np.flatnonzero(first[cell] != np.arange(len(cell)))
    earlier = first[cell[later]]
    same = results.score[later] == results.score[earlier]
    notes = []
    if same.any():
        row, repeated = number[later[same][0]], number[earlier[same][0]]
        notes.append(
            f"{same.sum()} repeated rows, the first is row {row}, which repeats row {repeated}; "
            "they count as one row; remove them"
        )
    if not same.all():
        rule = "a model must have one score for a prompt"
        pair = _contrast(rule, results, number, earlier[~same], later[~same])
        notes.append(f"{pair}; their mean counts as one score; remove the wrong rows")
    return notes


def _describe_aggregates(results: Results, number: NDArray[np.int64]) -> list[str]:
    """Return a note if a model has several aggregates on one task of one benchmark."""
    rows = np.flatnonzero(results.prompt < 0)
    cell, first = _group(results.model[rows], results.task[rows], results.benchmark[rows])
    later = np.flatnonzero(first[cell] != np.arange(len(cell)))
    if not len(later):
        return []
    rule = "a model must have one aggregate for a task and a benchmark"
    return [
        _contrast(rule, results, number, rows[first[cell[later]]], rows[later])
        + "; all count; name their benchmarks if these differ, or remove the wrong rows"
    ]


def _contrast(
    rule: str, results: Results, number: NDArray[np.int64], earlier: NDArray[np.int64], later: NDArray[np.int64]
) -> str:
    """Return a rule with the first pair of rows that breaks it, and the number of other pairs."""
    one, other = int(earlier[0]), int(later[0])
    return (
        f"{rule}, got {results.score[one]:g} in row {number[one]} and {results.score[other]:g} in row {number[other]} "
        f"for {results.models[results.model[one]]}{count_more(len(later) - 1, 'such rows')}"
    )


def _group(*keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group of each row, numbered in the order of first appearance, and the first row of each group.

    Args:
        keys: Arrays of shape (rows,). Rows of a group are equal in all of them.
    """
    # Stable, so the first row of each group comes first.
    order = np.lexsort(keys[::-1])
    starts = np.ones(len(order), np.bool_)
    starts[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    firsts = order[starts]
    rank = np.empty(len(firsts), np.int64)
    rank[np.argsort(firsts)] = np.arange(len(firsts))
    group = np.empty(len(order), np.int64)
    group[order] = rank[np.cumsum(starts) - 1]
    return group, np.sort(firsts)


def _mean_by(cell: NDArray[np.int64], values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the mean of the known values of each cell, NaN for a cell without any."""
    known = np.flatnonzero(~np.isnan(values))
    count = np.bincount(cell[known], minlength=size)
    total = np.bincount(cell[known], values[known], minlength=size)
    return np.asarray(np.divide(total, count, out=np.full(size, np.nan), where=count > 0), np.float64)
