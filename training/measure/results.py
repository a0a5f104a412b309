"""Graded answers in, a benchmark file out that grows row by row and survives a kill."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

from router.errors import InputError
from training.data.table import MAX_FIELD_CHARS
from training.measure.item import Grade
from training.measure.plan import GRADING_COLUMNS
from training.measure.store import Answer

# How an answer was made and graded, then the figures.
HOW = ("grader", "judge", "parameters")
_FIGURES = ("score", "cost_usd", "input_tokens", "output_tokens", "latency_s", "finish_reason", "judge_agreed")
_PAIR = ("prompt", "model")

Row = dict[str, str]


class ResultsFile:
    """The results of a plan: a benchmark file in the long layout, with the columns of the plan beside the figures.

    Rows of other pairs, which an earlier plan wrote, stay. Rows of the same pair that were graded in another way are
    removed: the plan says how a pair is graded now.

    Args:
        path: The file. It is created if needed.
        header: The columns of the plan.
        wanted: The rows of the plan as `identify` names them.
        facts: The columns that describe each model, by its name.

    Attributes:
        rows: The rows of the plan that have a result, as text by column.
        replaced: Number of rows that were removed.

    Raises:
        InputError: If the file is something else or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        header: Sequence[str],
        wanted: Collection[tuple[str, ...]],
        facts: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._facts = facts
        # The facts of a model must agree in all rows, and prices change between two runs.
        known = [{**row, **facts.get(row["model"], {})} for row in _read(path)]
        pairs = {identity[: len(_PAIR)] for identity in wanted}
        kept = [row for row in known if (found := identify(row)) in wanted or found[: len(_PAIR)] not in pairs]
        self.rows: list[Row] = [row for row in kept if identify(row) in wanted]
        self._done = set(map(identify, self.rows))
        self.replaced = len(known) - len(kept)
        names = [*header, *HOW, *_FIGURES, *(name for row in [*facts.values(), *known[:1]] for name in row)]
        self._columns = tuple(dict.fromkeys(names))
        try:
            # Also without a change: what a kill left of the last row must go.
            fresh = path.with_name(f".{path.name}.tmp")
            fresh.write_text(_format([self._columns, *(self._order(row) for row in kept)]), encoding="utf-8", newline="")
            fresh.replace(path)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            raise InputError(
                f"{path} cannot be written: {error.strerror or error}; name a file in another folder"
            ) from error

    def has(self, row: Mapping[str, str]) -> bool:
        """Return whether a row of the plan had a result when the file was opened."""
        return identify(row) in self._done

    def add(self, row: Row, answer: Answer, grade: Grade) -> None:
        """Write a result.

        Args:
            row: The row of the plan by column, with the columns of `HOW`.
            answer: The answer.
            grade: Its grade.
        """
        figures = (
            grade.score, answer.cost_usd, answer.input_tokens, answer.output_tokens, round(answer.latency_s, 3),
            answer.finish_reason, None if grade.agreed is None else int(grade.agreed),
        )  # fmt: skip
        texts = {name: "" if value is None else str(value) for name, value in zip(_FIGURES, figures, strict=True)}
        self.rows.append({**row, **texts, **self._facts.get(row["model"], {})})
        # One write, so that a kill leaves whole rows. A row in part, after a loss of power, is removed by the next run.
        os.write(self._file, _format([self._order(self.rows[-1])]).encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _order(self, row: Mapping[str, str]) -> list[str]:
        return [row.get(name, "") for name in self._columns]


def identify(row: Mapping[str, str]) -> tuple[str, ...]:
    """Return what makes a row the same measurement as another one: the pair first, then how it is graded.

    Args:
        row: The row by column, with the columns of `HOW`.
    """
    return tuple(row.get(name, "") for name in (*_PAIR, *dict.fromkeys([*HOW, *GRADING_COLUMNS])))


def _read(path: Path) -> list[Row]:
    """Return the whole rows of a file of results. Empty if there is no file.

    Raises:
        InputError: If it is something else.
    """
    try:
        text = _cut_torn(path.read_bytes()).decode()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as results: {error}; name a new file") from error
    previous = csv.field_size_limit(MAX_FIELD_CHARS)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InputError(f"{path} is no file of results ({error}); name a new file") from error
    finally:
        csv.field_size_limit(previous)
    missing = [name for name in (*_PAIR, *HOW, *_FIGURES) if rows and name not in rows[0]]
    if missing or any(None in row or None in row.values() for row in rows):
        raise InputError(f"{path} is no file of results: the columns {missing} are missing; name a new file")
    return rows


def _cut_torn(content: bytes) -> bytes:
    """Return a CSV file without a last row that was written only in part."""
    # Outside quotes their number is even, because quotes inside of a field are doubled.
    end, quotes, start = 0, 0, 0
    while (line_end := content.find(b"\n", start)) >= 0:
        quotes += content.count(b'"', start, line_end)
        start = line_end + 1
        end = start if quotes % 2 == 0 else end
    return content[:end]


def _format(rows: Sequence[Sequence[str]]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
