"""Benchmark rows in, columns of numbers out. Columns are small, and a file may have millions of rows."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from training.data import columns
from training.data.columns import Column, split_rows
from training.data.prompt_codes import PromptCodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The columns that hold an index into a tuple of names or texts, in the order of `Columns.codes`.
CODES = ("model", "task", "benchmark", "prompt")
# The columns that hold a figure, in the order of `Columns.measures`.
MEASURES = ("score", "n", "cost_usd", "input_tokens", "output_tokens", "latency_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row of a benchmark: one model on one prompt, or one model on one task.

    Attributes:
        model: The model's name.
        score: The score, in [0, 1].
        task: The task. Empty if the classifier has to predict it from `prompt`.
        prompt: The text. Empty for an aggregate over `n` prompts.
        benchmark: The benchmark's name.
        group: Name of the prompts that must stay on one side of a split. Empty: the prompt is alone.
        n: Number of prompts behind the score. It is 1 for a prompt, and None for an aggregate of unknown size.
        cost_usd: USD per prompt. None if unknown.
        input_tokens: Input tokens per prompt. None if unknown.
        output_tokens: Output tokens per prompt. None if unknown.
        latency_s: Seconds per prompt. None if unknown.
    """

    model: str
    score: float
    task: str = ""
    prompt: str = ""
    benchmark: str = ""
    group: str = ""
    n: float | None = None
    cost_usd: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    latency_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Results(Sequence[Result]):
    """The rows of a benchmark as columns. It is a sequence of `Result`.

    The columns and the prompts of a large table are in temporary files. Go through it with `chunks`, and make another one of
    it with `concat`, so that memory does not grow with the number of rows.

    Attributes:
        models: The model names, each once, in the order of first appearance.
        tasks: The task names, likewise.
        benchmarks: The benchmark names, likewise.
        prompts: The prompt texts, likewise.
        groups: The group of each prompt, in the order of `prompts`. Empty: the prompt is alone.
        model: Index into `models`, shape (rows,).
        task: Index into `tasks`, shape (rows,). −1 if the row names no task.
        benchmark: Index into `benchmarks`, shape (rows,).
        prompt: Index into `prompts`, shape (rows,). −1 for an aggregate.
        score: Scores in [0, 1], shape (rows,).
        n: Number of prompts behind each score, shape (rows,). NaN if unknown.
        cost_usd: USD per prompt, shape (rows,). NaN if unknown.
        input_tokens: Input tokens per prompt, shape (rows,). NaN if unknown.
        output_tokens: Output tokens per prompt, shape (rows,). NaN if unknown.
        latency_s: Seconds per prompt, shape (rows,). NaN if unknown.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    benchmarks: tuple[str, ...]
    prompts: Sequence[str]
    groups: Sequence[str]
    model: NDArray[np.int32]
    task: NDArray[np.int32]
    benchmark: NDArray[np.int32]
    prompt: NDArray[np.int32]
    score: NDArray[np.float64]
    n: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    input_tokens: NDArray[np.float64]
    output_tokens: NDArray[np.float64]
    latency_s: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Iterable[Result]) -> Results:
        """Return rows as columns, in the same order.

        Args:
            rows: The rows.

        Raises:
            InputError: If a prompt has two different groups.
        """
        given = Columns()
        for row in rows:
            known = (row.n, row.cost_usd, row.input_tokens, row.output_tokens, row.latency_s)
            numbers = [math.nan if value is None else value for value in known]
            prompt = given.prompts.encode(row.prompt, row.group)
            given.add(row.model, row.task, row.benchmark, prompt, (row.score, *numbers))
        return given.finish()[0]

    @classmethod
    def concat(cls, parts: Iterable[Results]) -> Results:
        """Return tables with the same names and prompts as one table. They are used one at a time.

        Args:
            parts: At least one table.
        """
        joined = {name: Column() for name in (*CODES, *MEASURES)}
        for part in parts:
            for name, column in joined.items():
                column.append(getattr(part, name))
        finished: dict[str, Any] = {name: column.finish() for name, column in joined.items()}
        return replace(part, **finished)

    def chunks(self) -> Iterator[Results]:
        """Yield views of at most `CHUNK_ROWS` rows, which cover all rows in order. There is at least one."""
        return (self.take(rows) for rows in split_rows(len(self)))

    def take(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_] | slice) -> Results:
        """Return some of the rows.

        All names and texts stay, even if no row uses them any more. So the codes keep their meaning.

        Args:
            rows: An index or a mask over the rows, or a slice of them. An index also gives the order.
        """
        return replace(self, **{name: getattr(self, name)[rows] for name in (*CODES, *MEASURES)})

    def find_first(self, name: str) -> dict[int, int]:
        """Return the first row of each code that occurs in a column, in the order of these rows.

        Args:
            name: One of `CODES`.
        """
        found: dict[int, int] = {}
        for rows in split_rows(len(self)):
            codes, first = np.unique(getattr(self, name)[rows], return_index=True)
            for i in np.argsort(first).tolist():
                found.setdefault(int(codes[i]), rows.start + int(first[i]))
        return found

    def rename_tasks(self, names: Mapping[str, str]) -> Results:
        """Return the rows under other names of tasks. Rows of a task that has no name are left out.

        A row may get several names. Then it is there several times.

        Args:
            names: By the new name of a task: its name here.
        """
        kept = [(-1, -1), *((self.tasks.index(old), i) for i, old in enumerate(names.values()) if old in self.tasks)]
        return Results.concat(
            replace(found, tasks=tuple(names), task=np.full(len(found), new, np.int32))
            for old, new in kept
            for found in (part.take(part.task == old) for part in self.chunks())
        )

    def __len__(self) -> int:
        return len(self.score)

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> Results: ...

    def __getitem__(self, index: int | slice) -> Result | Results:
        if isinstance(index, slice):
            return self.take(index)
        task, prompt = int(self.task[index]), int(self.prompt[index])
        numbers = {name: float(getattr(self, name)[index]) for name in MEASURES[1:]}
        return Result(
            model=self.models[self.model[index]],
            score=float(self.score[index]),
            task=self.tasks[task] if task >= 0 else "",
            prompt=self.prompts[prompt] if prompt >= 0 else "",
            benchmark=self.benchmarks[self.benchmark[index]],
            group=self.groups[prompt] if prompt >= 0 else "",
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
        )


@dataclass(slots=True)
class Columns:
    """The columns of `Results` while they grow. No Python object is kept for a row.

    Attributes:
        models: Code of each model name.
        tasks: Code of each task name.
        benchmarks: Code of each benchmark name.
        prompts: Code of each prompt.
    """

    models: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    benchmarks: dict[str, int] = field(default_factory=dict)
    prompts: PromptCodes = field(default_factory=PromptCodes)
    # The fields of the rows that are in no column yet, row after row: `CODES` and the number of the row, and `MEASURES`.
    # An array needs 4 or 8 bytes per value. A list would also keep a Python object of 24 or more bytes.
    _codes: array[int] = field(default_factory=lambda: array("i"))
    _measures: array[float] = field(default_factory=lambda: array("d"))
    _columns: tuple[Column, ...] = field(default_factory=lambda: tuple(Column() for _ in (*CODES, "number", *MEASURES)))

    def add(self, model: str, task: str, benchmark: str, prompt: int, measures: Iterable[float], *, number: int = 0) -> None:
        """Append a row.

        Args:
            model: The model's name.
            task: The task. Empty if the row names none.
            benchmark: The benchmark's name.
            prompt: The prompt's code.
            measures: Figures in the order of `MEASURES`. NaN if unknown.
            number: Number of the row in its file.
        """
        codes = (
            self.models.setdefault(model, len(self.models)),
            self.tasks.setdefault(task, len(self.tasks)) if task else -1,
            self.benchmarks.setdefault(benchmark, len(self.benchmarks)),
            prompt,
            number,
        )
        self._codes.extend(codes)
        self._measures.extend(measures)
        if len(self._codes) >= columns.CHUNK_ROWS * len(codes):
            self._append()

    def finish(self) -> tuple[Results, NDArray[np.int32]]:
        """Return the rows, and the number of each row in its file. No row can be added after that."""
        self._append()
        prompts, groups = self.prompts.finish()
        *codes, number = (column.finish() for column in self._columns[: len(CODES) + 1])
        measures = (column.finish() for column in self._columns[len(CODES) + 1 :])
        results = Results(
            models=tuple(self.models),
            tasks=tuple(self.tasks),
            benchmarks=tuple(self.benchmarks),
            prompts=prompts,
            groups=groups,
            **dict(zip(CODES, codes, strict=True)),
            **dict(zip(MEASURES, measures, strict=True)),
        )
        return results, number

    def _append(self) -> None:
        """Append the waiting rows to the columns."""
        codes = np.asarray(self._codes, np.int32).reshape(-1, len(CODES) + 1)
        measures = np.asarray(self._measures, np.float64).reshape(-1, len(MEASURES))
        # Transposed views are strided, so each column is copied into memory of its own for speed.
        for column, values in zip(self._columns, [*codes.T, *measures.T], strict=True):
            column.append(values.copy())
        self._codes, self._measures = array("i"), array("d")
