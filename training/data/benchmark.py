"""A CSV file of benchmark results in, `BenchmarkSet` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.facts import ModelFacts
from training.data.layouts import Sheet, is_wide, list_required, long_rows, wide_rows
from training.data.prompts import TASKS
from training.data.results import Results
from training.data.table import DatasetError, Problems, hash_file, read_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSet:
    """A file of benchmark results.

    Attributes:
        results: The rows.
        facts: The facts of each model, in the order of first appearance.
        sha256: Hash of the file.
    """

    results: Results
    facts: Mapping[str, ModelFacts]
    sha256: str


def read_benchmark(path: Path, *, tasks: Sequence[str] | None = TASKS) -> BenchmarkSet:
    """Read a long or a wide table, as described in `data/README.md`. The header decides which one it is.

    The file is read as a stream. Memory holds each different prompt once and 64 bytes per row.

    Args:
        path: A CSV file, as for `read_prompts`.
        tasks: The tasks that a row may name. None: any task.

    Raises:
        DatasetError: If the file cannot be read or has no result. Also if rows break a rule: it lists them all.
    """
    problems = Problems(path)
    rows = read_fields(path, required=list_required)
    _, header = next(rows)
    sheet = Sheet(header, tasks, problems)
    add = wide_rows(sheet) if is_wide(header) else long_rows(sheet)
    for number, texts in rows:
        add(number, texts)
    # Wrong rows come first: they may be the reason why there is no result.
    problems.raise_any()
    results = sheet.columns.finish()
    if not results:
        raise DatasetError(f"{path} must have at least one result below its header, found none; add rows")
    return BenchmarkSet(results=results, facts=sheet.facts.finish(results.models), sha256=hash_file(path))
