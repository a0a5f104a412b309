"""Mean scores by model, task and benchmark in, the same as arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.quality.traits import Traits

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The mean score of one model on one task in one benchmark.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        benchmark: Name of the benchmark.
        mean: Mean score, in [0, 1].
        n: Number of prompts. A prompt whose task is only predicted counts with its probability.
        gain: How many times as much as prompts drawn at random these tell. More than 1 if other models answered the same
            ones and also others.
    """

    model: str
    task: str
    benchmark: str
    mean: float
    n: float
    gain: float = 1.0

    @property
    def variance(self) -> float:
        """Squared standard error of the mean: p(1 − p) / (n · gain) with p = (n·mean + 1)/(n + 2).

        This is the largest variance that scores in [0, 1] with this mean can have (Bhatia and Davis, 2000). Laplace's
        correction of p keeps a perfect score from being certain.
        """
        p = (self.n * self.mean + 1) / (self.n + 2)
        return p * (1 - p) / (self.n * self.gain)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellArrays:
    """Cells as arrays. A column is one benchmark of one task.

    Attributes:
        traits: What is known about each model besides its scores.
        tasks: Names of all tasks.
        columns: Task and benchmark of each column.
        task: Task of each column, as an index, shape (columns,).
        model: Model of each cell, as an index into `traits.models`, shape (cells,).
        column: Column of each cell, shape (cells,).
        mean: Mean score of each cell, shape (cells,).
        variance: Its squared standard error, shape (cells,).
    """

    traits: Traits
    tasks: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    task: NDArray[np.int64]
    model: NDArray[np.int64]
    column: NDArray[np.int64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]

    @classmethod
    def of(cls, cells: Sequence[Cell], tasks: Sequence[str], traits: Traits) -> CellArrays:
        """Return cells as arrays. Their order does not matter.

        Args:
            cells: The cells.
            tasks: All tasks.
            traits: The models.
        """
        ordered = sorted(cells, key=lambda cell: (cell.model, cell.task, cell.benchmark))
        columns = tuple(sorted({(cell.task, cell.benchmark) for cell in ordered}))
        of_model = {name: i for i, name in enumerate(traits.models)}
        of_column = {column: i for i, column in enumerate(columns)}
        of_task = {name: i for i, name in enumerate(tasks)}
        return cls(
            traits=traits,
            tasks=tuple(tasks),
            columns=columns,
            task=np.array([of_task[task] for task, _ in columns], np.int64),
            model=np.array([of_model[cell.model] for cell in ordered], np.int64),
            column=np.array([of_column[cell.task, cell.benchmark] for cell in ordered], np.int64),
            mean=np.array([cell.mean for cell in ordered], np.float64),
            variance=np.array([cell.variance for cell in ordered], np.float64),
        )
