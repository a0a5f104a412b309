"""Some rows of the design matrices in, their share of a loss, of its gradient and of its curvature out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    # Only for its type, because each actor would wait seconds for scikit-learn.
    from training.classifier.linear import Part

# Rows that are summed at once. A shard is made of whole blocks, so the blocks do not depend on the number of shards.
BLOCK_ROWS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A logistic regression on some rows of all shards, for one or several strengths of regularisation.

    Attributes:
        number: Tells the problem from others on the same shards.
        part: The part of the features.
        weights: Weight of each row of all shards, shape (n,). A row with weight 0 does not take part.
        labels: The labels that occur among the rows that take part, ascending. Two or more.
        unit: Sums are whole multiples of this. See `Shard`.
    """

    number: int
    part: Part
    weights: NDArray[np.float64]
    labels: NDArray[np.int64]
    unit: float

    @property
    def outputs(self) -> int:
        """Number of columns of the weights. Two labels need one, because the other logit is 0 (as in scikit-learn)."""
        return 1 if len(self.labels) == 2 else len(self.labels)  # noqa: PLR2004


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """The rows of one block that take part.

    Attributes:
        matrix: Their features, shape (rows, columns).
        targets: Place of each row's label in `Problem.labels`, shape (rows,).
        weights: Weight of each row, shape (rows,).
    """

    matrix: NDArray[np.float32] | sparse.csr_matrix
    targets: NDArray[np.int64]
    weights: NDArray[np.float64]


class Shard:
    """Rows that stay where they are, while weights come and sums go.

    Every sum of a block is rounded to a whole multiple of `Problem.unit`. Sums of whole numbers are exact. So the total
    depends neither on the order of the additions nor on how the blocks are divided among shards.

    Args:
        matrices: The rows of the design matrix of each part, float32, dense or sparse.
        targets: Number of each row's label, shape (rows,).
        start: Number of the first row, a multiple of `BLOCK_ROWS`.
    """

    def __init__(
        self, matrices: Mapping[Part, NDArray[np.float32] | sparse.csr_matrix], targets: NDArray[np.int64], start: int
    ) -> None:
        self._matrices, self._targets, self._start = matrices, targets, start
        self._number, self._blocks = -1, list[_Block]()
        self._point: NDArray[np.float64] | None = None
        self._probabilities: list[NDArray[np.float64]] = []

    def evaluate(self, problem: Problem, point: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the gradient of the weighted log-loss, and then the log-loss itself, shape (len(point) + 1,).

        Args:
            problem: The logistic regression.
            point: Weights of the columns and then the intercepts, shape (columns + 1, outputs), flat.
        """
        sums = np.zeros(len(point) + 1, np.int64)
        probabilities = []
        for block in self._open(problem):
            logits = _pad(_apply(block, point), problem)
            highest = logits.max(axis=1, keepdims=True)
            exponentials = np.exp(logits - highest)
            total = exponentials.sum(axis=1, keepdims=True)
            rows = np.arange(len(logits))
            losses = np.log(total[:, 0]) + highest[:, 0] - logits[rows, block.targets]
            probabilities.append(exponentials / total)
            excess = probabilities[-1].copy()
            excess[rows, block.targets] -= 1
            sums[:-1] += _round(_collect(block, excess, problem), problem)
            sums[-1:] += _round(block.weights @ losses[:, None], problem)
        self._point, self._probabilities = point, probabilities
        return sums

    def multiply(self, problem: Problem, point: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the product of the Hessian of the weighted log-loss with a direction, shape (len(point),).

        Args:
            problem: The logistic regression.
            point: Where the Hessian is taken, as for `evaluate`.
            direction: A vector of length one.
        """
        blocks = self._open(problem)
        # An actor that was started again has forgotten the probabilities.
        if self._point is None or not np.array_equal(self._point, point):
            self.evaluate(problem, point)
        sums = np.zeros(len(point), np.int64)
        for block, probabilities in zip(blocks, self._probabilities, strict=True):
            change = _pad(_apply(block, direction), problem)
            slope = probabilities * (change - (probabilities * change).sum(axis=1, keepdims=True))
            sums += _round(_collect(block, slope, problem), problem)
        return sums

    def _open(self, problem: Problem) -> Sequence[_Block]:
        """Return the blocks of a problem. They are kept until another problem comes."""
        if problem.number != self._number:
            weights = problem.weights[self._start : self._start + len(self._targets)]
            places = np.searchsorted(problem.labels, self._targets)
            self._blocks = []
            for start in range(0, len(weights), BLOCK_ROWS):
                rows = start + np.flatnonzero(weights[start : start + BLOCK_ROWS])
                self._blocks.append(
                    _Block(matrix=self._matrices[problem.part][rows], targets=places[rows], weights=weights[rows])
                )
            self._number, self._point = problem.number, None
        return self._blocks


def _apply(block: _Block, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logits of a block's rows, shape (rows, outputs)."""
    weights = point.reshape(block.matrix.shape[1] + 1, -1)
    return np.asarray(block.matrix @ weights[:-1] + weights[-1], np.float64)


def _pad(outputs: NDArray[np.float64], problem: Problem) -> NDArray[np.float64]:
    """Return one column for each label. Of two labels, the first has 0."""
    lacking = len(problem.labels) - problem.outputs
    return np.pad(outputs, ((0, 0), (lacking, 0))) if lacking else outputs


def _collect(block: _Block, slopes: NDArray[np.float64], problem: Problem) -> NDArray[np.float64]:
    """Return the weighted sum of features × slopes, and that of the slopes, flat like the point."""
    weighted = (slopes * block.weights[:, None])[:, -problem.outputs :]
    return np.vstack([block.matrix.T @ weighted, weighted.sum(axis=0)]).ravel()


def _round(values: NDArray[np.float64], problem: Problem) -> NDArray[Any]:
    return np.rint(values / problem.unit).astype(np.int64)
