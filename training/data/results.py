"""Benchmark rows in, columns of numbers out. Columns are small, and a file may have millions of rows."""

from __future__ import annotations

import math
import mmap
import tempfile
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, overload

import numpy as np

from router.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The columns that hold an index into a tuple of names or texts, in the order of `Columns.codes`.
CODES = ("model", "task", "benchmark", "prompt")
# The columns that hold a figure, in the order of `Columns.measures`.
MEASURES = ("score", "n", "cost_usd", "input_tokens", "output_tokens", "latency_s")

# Rows that wait in memory for the temporary files. Smaller tables never leave memory.
SPILLED_ROWS = 500_000


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
    prompts: tuple[str, ...]
    groups: tuple[str, ...]
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
        columns = Columns()
        for row in rows:
            known = (row.n, row.cost_usd, row.input_tokens, row.output_tokens, row.latency_s)
            numbers = [math.nan if value is None else value for value in known]
            prompt = columns.encode_prompt(row.prompt, row.group)
            columns.add(row.model, row.task, row.benchmark, prompt, (row.score, *numbers))
        return columns.finish()

    def take(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Results:
        """Return some of the rows.

        All names and texts stay, even if no row uses them any more. So the codes keep their meaning.

        Args:
            rows: An index or a mask over the rows. An index also gives the order.
        """
        names = {name: getattr(self, name) for name in ("models", "tasks", "benchmarks", "prompts", "groups")}
        return Results(**names, **{name: getattr(self, name)[rows] for name in (*CODES, *MEASURES)})

    def rename_tasks(self, names: Mapping[str, str]) -> Results:
        """Return the rows under other names of tasks. Rows of a task that has no name are left out.

        A row may get several names. Then it is there several times.

        Args:
            names: By the new name of a task: its name here.
        """
        rows, codes = [np.flatnonzero(self.task < 0)], [np.full(int((self.task < 0).sum()), -1, np.int32)]
        for code, old in enumerate(names.values()):
            found = np.flatnonzero(self.task == self.tasks.index(old)) if old in self.tasks else np.empty(0, np.int64)
            rows.append(found)
            codes.append(np.full(len(found), code, np.int32))
        return replace(self.take(np.concatenate(rows)), tasks=tuple(names), task=np.concatenate(codes))

    def __len__(self) -> int:
        return len(self.score)

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> Results: ...

    def __getitem__(self, index: int | slice) -> Result | Results:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
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

    After every `SPILLED_ROWS` rows, they go to temporary files. The columns of a large table are then read from these, and
    the operating system keeps in memory what is used.

    Attributes:
        models: Code of each model name.
        tasks: Code of each task name.
        benchmarks: Code of each benchmark name.
        prompts: Code of each prompt text.
        groups: The group of each prompt, by its code. Empty: no row named one yet.
        codes: The fields `CODES` of the rows that are in no file yet, row after row.
        measures: The fields `MEASURES` of these rows, row after row.
    """

    models: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    benchmarks: dict[str, int] = field(default_factory=dict)
    prompts: dict[str, int] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    # An array needs 4 or 8 bytes per value. A list would also keep a Python object of 24 or more bytes.
    codes: array[int] = field(default_factory=lambda: array("i"))
    measures: array[float] = field(default_factory=lambda: array("d"))
    _files: list[IO[bytes]] = field(default_factory=list)

    def encode_prompt(self, prompt: str, group: str) -> int:
        """Return the code of a prompt, which is new if the prompt is new. Return −1 for an empty prompt.

        Args:
            prompt: The text. Empty for an aggregate.
            group: Its group. Empty if the row names none: any other row of the prompt may name it.

        Raises:
            InputError: If the prompt already has another group.
        """
        if not prompt:
            return -1
        code = self.prompts.setdefault(prompt, len(self.groups))
        # `groups` has one item per known prompt, so this code belongs to a new prompt.
        if code == len(self.groups):
            self.groups.append(group)
        elif group and not self.groups[code]:
            self.groups[code] = group
        elif group and group != self.groups[code]:
            raise InputError(
                f"group of one prompt must be the same in all its rows, got {self.groups[code]!r} and {group!r}; correct one"
            )
        return code

    def add(self, model: str, task: str, benchmark: str, prompt: int, measures: Iterable[float]) -> None:
        """Append a row.

        Args:
            model: The model's name.
            task: The task. Empty if the row names none.
            benchmark: The benchmark's name.
            prompt: The prompt's code from `encode_prompt`.
            measures: Figures in the order of `MEASURES`. NaN if unknown.
        """
        codes = (
            self.models.setdefault(model, len(self.models)),
            self.tasks.setdefault(task, len(self.tasks)) if task else -1,
            self.benchmarks.setdefault(benchmark, len(self.benchmarks)),
            prompt,
        )
        self.codes.extend(codes)
        self.measures.extend(measures)
        if len(self.codes) >= SPILLED_ROWS * len(CODES):
            self._spill()

    def finish(self) -> Results:
        """Return the rows as arrays. No row can be added after that."""
        if self._files:
            self._spill()
            arrays = [_map(file, column.dtype) for file, column in zip(self._files, self._split(), strict=True)]
        else:
            arrays = self._split()
        model, task, benchmark, prompt, score, n, cost_usd, input_tokens, output_tokens, latency_s = arrays
        return Results(
            models=tuple(self.models),
            tasks=tuple(self.tasks),
            benchmarks=tuple(self.benchmarks),
            prompts=tuple(self.prompts),
            groups=tuple(self.groups),
            model=model,
            task=task,
            benchmark=benchmark,
            prompt=prompt,
            score=score,
            n=n,
            cost_usd=cost_usd,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            latency_s=latency_s,
        )

    def _split(self) -> list[NDArray[Any]]:
        """Return each column of the rows that are in no file yet."""
        codes = np.asarray(self.codes, np.int32).reshape(-1, len(CODES))
        measures = np.asarray(self.measures, np.float64).reshape(-1, len(MEASURES))
        # Transposed views are strided, so each column is copied into memory of its own for speed.
        return [*np.ascontiguousarray(codes.T), *np.ascontiguousarray(measures.T)]

    def _spill(self) -> None:
        """Append these rows to the files, one for each column."""
        columns = self._split()
        # The system deletes such a file when nothing has it open or mapped.
        self._files = self._files or [tempfile.TemporaryFile() for _ in columns]  # noqa: SIM115 - open until the last row
        for file, column in zip(self._files, columns, strict=True):
            file.write(column.tobytes())
        self.codes, self.measures = array("i"), array("d")


def _map(file: IO[bytes], kind: np.dtype[Any]) -> NDArray[Any]:
    """Close a file and return its content as an array, which is read when it is used."""
    with file:
        file.flush()
        # Not np.memmap: joblib would give its other processes the name of the file, which has none.
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), kind)
