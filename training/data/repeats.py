"""Benchmark rows in, the same rows with each measurement once out, with notes on the repeated ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from training.data import columns
from training.data.columns import join, split_rows
from training.data.problems import count_more
from training.data.results import MEASURES, Results

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows are sorted by buckets: that many consecutive prompts share one, and aggregates are spread over that many others.
_PROMPTS_OF_BUCKET, _AGGREGATE_BUCKETS = 64, 1024


def merge_repeated(results: Results, numbers: NDArray[np.int32]) -> tuple[Results, list[str]]:
    """Return rows in which no measurement counts twice, in the order of first appearance, and notes for the reader.

    - Rows of one model on one prompt become one row: the mean of their known figures, with n = 1.
    - Aggregates with the same model, task, benchmark, score and n become one row, with the same n, if n is 2 or more.
      Equal rows without n may be scores of different prompts whose names stand in a column that is not read.
    - Other aggregates of one model, task and benchmark stay, because they may be different measurements.

    Args:
        results: The rows.
        numbers: Number of each row in the file.
    """
    same, different = _Pairs(results, numbers), _Pairs(results, numbers)
    kept = join(np.ones(rows.stop - rows.start, np.bool_) for rows in split_rows(len(results)))
    means: dict[str, Any] = {}
    for rows in _split_by_cell(results):
        part = results.take(rows)
        cell, first = _group_cells(part)
        later = np.flatnonzero(first[cell] != np.arange(len(cell)))
        if not len(later):
            continue
        earlier = first[cell[later]]
        equal = part.score[later] == part.score[earlier]
        same.add(rows[earlier[equal]], rows[later[equal]])
        different.add(rows[earlier[~equal]], rows[later[~equal]])
        kept[rows[later]] = False
        means = means or {name: join(getattr(chunk, name) for chunk in results.chunks()) for name in MEASURES}
        for name, column in means.items():
            column[rows[first]] = _mean_by(cell, getattr(part, name), len(first))
    notes = [*_describe_repeated(same, different), *_describe_aggregates(results, numbers, kept)]
    if means:
        merged = replace(results, **means)
        results = Results.concat(merged.take(rows).take(kept[rows]) for rows in split_rows(len(results)))
    return results, notes


@dataclass(slots=True)
class _Pairs:
    """Pairs of rows that break a rule. The first one and the number of pairs are kept.

    Attributes:
        results: The rows.
        numbers: Number of each row in the file.
        count: Number of pairs.
        first: The later row and the earlier row of the first pair. Of no use without any pair.
    """

    results: Results
    numbers: NDArray[np.int32]
    count: int = 0
    first: tuple[int, int] = (sys.maxsize, 0)

    def add(self, earlier: NDArray[np.int64], later: NDArray[np.int64]) -> None:
        """Add pairs of rows, in the order of the later ones."""
        self.count += len(later)
        if len(later):
            self.first = min(self.first, (int(later[0]), int(earlier[0])))

    def contrast(self, rule: str) -> str:
        """Return a rule with the first pair of rows that breaks it, and the number of other pairs."""
        results, numbers, (other, one) = self.results, self.numbers, self.first
        return (
            f"{rule}, got {results.score[one]:g} in row {numbers[one]} and {results.score[other]:g} in row {numbers[other]} "
            f"for {results.models[results.model[one]]}{count_more(self.count - 1, 'such rows')}"
        )


def _describe_repeated(same: _Pairs, different: _Pairs) -> list[str]:
    """Return a note on rows that repeat an earlier one, and a note on prompts with several scores of one model."""
    notes = []
    if same.count:
        row, repeated = (same.numbers[row] for row in same.first)
        notes.append(
            f"{same.count} repeated rows, the first is row {row}, which repeats row {repeated}; "
            "they count as one row; remove them"
        )
    if different.count:
        pair = different.contrast("a model must have one score for a prompt")
        notes.append(f"{pair}; their mean counts as one score; remove the wrong rows")
    return notes


def _describe_aggregates(results: Results, numbers: NDArray[np.int32], kept: NDArray[np.bool_]) -> list[str]:
    """Return a note if a model has several aggregates on one task of one benchmark.

    Args:
        results: The rows.
        numbers: Number of each row in the file.
        kept: Which rows repeat no earlier one, shape (rows,).
    """
    several = _Pairs(results, numbers)
    seen: dict[tuple[int, ...], int] = {}
    for chunk in split_rows(len(results)):
        rows = chunk.start + np.flatnonzero((results.prompt[chunk] < 0) & kept[chunk])
        part = results.take(rows)
        cell, first = _group(part.model, part.task, part.benchmark)
        keys = zip(*(codes[first].tolist() for codes in (part.model, part.task, part.benchmark)), strict=True)
        earliest = np.array(
            [seen.setdefault(key, row) for key, row in zip(keys, rows[first].tolist(), strict=True)], np.int64
        )
        later = np.flatnonzero(earliest[cell] != rows)
        several.add(earliest[cell[later]], rows[later])
    if not several.count:
        return []
    pair = several.contrast("a model must have one aggregate for a task and a benchmark")
    return [f"{pair}; all count; name their benchmarks if these differ, or remove the wrong rows"]


def _split_by_cell(results: Results) -> Iterator[NDArray[np.int64]]:
    """Yield the rows that may repeat others, in parts of about `CHUNK_ROWS`, each in order. Equal rows are in one part.

    Prompts are numbered as they appear. So rows of a part are close to each other in the file, which is fast to read.
    """
    size = len(results.prompts) // _PROMPTS_OF_BUCKET + 1 + _AGGREGATE_BUCKETS
    counts = np.zeros(size, np.int64)
    for chunk in results.chunks():
        np.add.at(counts, _find_buckets(chunk, size)[1], 1)
    part_of_bucket = (np.cumsum(counts) - counts) // columns.CHUNK_ROWS
    ends = np.cumsum(np.bincount(part_of_bucket, counts)).astype(np.int64)
    order = join(np.zeros(rows.stop - rows.start, np.int64) for rows in split_rows(int(ends[-1])))
    # Where the next row of each part goes.
    free = np.concatenate([[0], ends[:-1]])
    for chunk, rows in zip(results.chunks(), split_rows(len(results)), strict=True):
        found, bucket = _find_buckets(chunk, size)
        by_part = np.argsort(part_of_bucket[bucket], kind="stable")
        part = part_of_bucket[bucket[by_part]]
        rank = np.arange(len(part)) - np.searchsorted(part, part)
        order[free[part] + rank] = rows.start + found[by_part]
        free += np.bincount(part, minlength=len(free))
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        yield order[start:end].copy()


def _find_buckets(rows: Results, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that may repeat others, and the bucket of each, in [0, size). Equal rows have the same bucket."""
    found = np.flatnonzero((rows.prompt >= 0) | (rows.n > 1))
    rows = rows.take(found)
    # Any function of the row would do. This one also spreads scores of few digits.
    spread = np.modf(np.pi * (rows.score + rows.n + rows.model + rows.task))[0] * _AGGREGATE_BUCKETS
    bucket = np.where(rows.prompt >= 0, rows.prompt // _PROMPTS_OF_BUCKET, size - 1 - spread.astype(np.int64))
    return found, bucket


def _group_cells(rows: Results) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cell of each row, numbered in the order of first appearance, and the first row of each cell."""
    # Several scores of one prompt are one cell. Of aggregates only equal ones are.
    score, n = (np.where(rows.prompt < 0, values, 0) for values in (rows.score, rows.n))
    return _group(rows.model, rows.task, rows.benchmark, rows.prompt, score, n)


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
