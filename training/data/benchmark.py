"""A CSV file of benchmark results in, `BenchmarkSet` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training.data.facts import ModelFacts
from training.data.latency import describe_latencies
from training.data.layouts import is_wide, list_required, long_rows, name_benchmark_column, wide_rows
from training.data.names import describe_spellings
from training.data.prompts import TASKS
from training.data.repeats import merge_repeated
from training.data.results import Results
from training.data.sheet import Sheet
from training.data.table import DatasetError, Problems, hash_file, open_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSet:
    """A file of benchmark results.

    Attributes:
        results: The rows. Rows that repeat a measurement are one row.
        facts: The facts of each model, in the order of first appearance. Models without a result come last.
        sha256: Hash of the file.
        notes: Sentences for the reader about repeated rows, and about names, prices and latencies that look wrong.
    """

    results: Results
    facts: Mapping[str, ModelFacts]
    sha256: str
    notes: tuple[str, ...] = ()


def read_benchmark(path: Path, *, tasks: Sequence[str] | None = TASKS) -> BenchmarkSet:
    """Read a long or a wide table, as described in `data/README.md`. The header decides which one it is.

    The file is read as a stream. The rows and the prompts of a large table are in temporary files, so memory does not grow
    with them.

    Args:
        path: A CSV file, as for `read_prompts`. A file with semicolons may have commas before decimals.
        tasks: The tasks that a row may name. None: any task.

    Raises:
        DatasetError: If the file cannot be read or has no result. Also if rows break a rule: it lists them all.
    """
    problems = Problems(path)
    with open_table(path, required=list_required, rename=name_benchmark_column) as table:
        sheet = Sheet(table.header, tasks, problems, decimal_comma=table.separator == ";")
        add = wide_rows(sheet) if is_wide(table.header) else long_rows(sheet)
        for number, texts in table.rows:
            add(number, texts)
    sheet.report_unknown()
    # Wrong rows come first: they may be the reason why there is no result.
    problems.raise_any()
    results, numbers = sheet.columns.finish()
    if not results:
        raise DatasetError(f"{path} must have at least one result below its header, found none; add rows")
    notes = [*_describe_names(results, numbers), *sheet.facts.describe_prices()]
    notes += describe_latencies(results.latency_s, numbers)
    results, repeated = merge_repeated(results, numbers)
    return BenchmarkSet(
        results=results,
        facts=sheet.facts.finish(results.models),
        sha256=hash_file(path),
        notes=tuple(f"{path.name}: {note}" for note in [*notes, *repeated]),
    )


def _describe_names(results: Results, numbers: NDArray[np.int32]) -> list[str]:
    """Return a note for each group of models, tasks or benchmarks whose names differ only in spelling."""
    notes = []
    for what, names, column in (
        ("models", results.models, "model"),
        ("tasks", results.tasks, "task"),
        ("benchmarks", results.benchmarks, "benchmark"),
    ):
        rows = {names[code]: int(numbers[row]) for code, row in results.find_first(column).items() if code >= 0}
        notes += describe_spellings(what, rows)
    return notes
