"""What one block needs of a budget for all blocks, and what it gives: its steps, its core, its choices."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from router.batch.classified import Classified
from router.batch.job import OutFolder, write_file
from router.errors import InputError
from router.score.core_search import find_core
from router.score.hull import find_cheapest, find_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.batch.blocks import Block
    from router.batch.scores import Scores

# A step up the hull of one prompt. `row` is its row in the block, and `depth` counts the steps before it on the hull.
STEP = np.dtype([("slope", "f8"), ("cost_usd", "f8"), ("quality", "f8"), ("row", "i4"), ("depth", "i4"), ("model", "i4")])
# A model that a row gets, whatever the rules say.
PICK = np.dtype([("block", "i8"), ("row", "i4"), ("model", "i4")])


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSums:
    """Sums over one block.

    Attributes:
        prompts: Number of rows that have a decision.
        least_usd: Summed cost of the cheapest model of each prompt.
        least_step_usd: Smallest cost of a step. None if there is no step.
    """

    prompts: int
    least_usd: float
    least_step_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a budget buys: all steps up to a place in their common order, and some single ones after it.

    The order is that of `allocate`: the steepest step first, then the one with fewer steps before it on its hull, then the
    one of the earlier row.

    Attributes:
        slope: Slope of the first step that is not bought. 0 if all are bought.
        depth: Its depth.
        block: Its block.
        row: Its row in the block.
        extras: Steps after it that the rest of the budget buys, in their order, of type `PICK`.
        core: The models of the core, of type `PICK`.
        is_final: Whether the core has been searched.
    """

    slope: float
    depth: int = 0
    block: int = 0
    row: int = 0
    extras: NDArray[np.void] = field(default_factory=lambda: np.empty(0, PICK))
    core: NDArray[np.void] = field(default_factory=lambda: np.empty(0, PICK))
    is_final: bool = False

    def count_before(self, steps: NDArray[np.void], block: int) -> int:
        """Return the number of steps of a block that come before that place. They are its first ones.

        Args:
            steps: The steps of the block, of type `STEP`.
            block: Number of the block.
        """
        first, last = (int(np.searchsorted(-steps["slope"], -self.slope, side=side)) for side in ("left", "right"))
        tied, place = steps[first:last], (self.depth, self.block, self.row)
        return first + sum(
            (depth, block, row) < place for depth, row in zip(tied["depth"].tolist(), tied["row"].tolist(), strict=True)
        )

    def choose(self, block: Block, scores: Scores, out: OutFolder) -> NDArray[np.int64]:
        """Return the model of each row of a block, shape (n,). −1 if no model may be chosen."""
        quality, cost_usd = scores.mask()
        good = scores.usable.any(axis=1)
        choices = np.where(good, find_cheapest(quality, cost_usd), -1)
        steps = read_steps(out, block.number)
        steps = steps[: self.count_before(steps, block.number)]
        choices[steps["row"]] = steps["model"]  # numpy keeps the last of several steps of one row
        for picks in (self.extras, self.core):
            own = picks[picks["block"] == block.number]
            choices[own["row"]] = own["model"]
        return choices

    def write(self, out: OutFolder) -> None:
        """Write it for the workers."""
        place = np.array([self.depth, self.block, self.row, self.is_final], np.int64)
        arrays: dict[str, Any] = {"slope": np.array(self.slope), "place": place, "extras": self.extras, "core": self.core}
        write_file(out.memory / "share.npz", lambda stream: np.savez(stream, **arrays))

    @classmethod
    def read(cls, out: OutFolder) -> Share:
        """Read what `write` wrote."""
        with np.load(out.memory / "share.npz", allow_pickle=False) as found:
            depth, block, row, is_final = found["place"].tolist()
            return cls(
                slope=float(found["slope"]),
                depth=depth,
                block=block,
                row=row,
                extras=found["extras"],
                core=found["core"],
                is_final=bool(is_final),
            )


def find_block_steps(scores: Scores) -> tuple[BlockSums, NDArray[np.void]]:
    """Return the sums of a block, and its steps in their common order, of type `STEP`.

    Raises:
        InputError: If no cost is known for a prompt.
    """
    rows = np.flatnonzero(scores.usable.any(axis=1))
    quality, cost_usd = (values[rows] for values in scores.mask())
    if np.isnan(cost_usd).any():
        raise InputError(
            "budget_usd needs expected costs, got none for any model of a prompt; add prices to the profiles or leave "
            "budget_usd out"
        )
    if not len(rows):
        return BlockSums(prompts=0, least_usd=0.0, least_step_usd=None), np.empty(0, STEP)
    start, steps = find_steps(quality, cost_usd)
    found = np.empty(len(steps.prompt), STEP)
    found["slope"], found["cost_usd"], found["quality"] = steps.slope, steps.cost_usd, steps.quality
    found["row"], found["model"], found["depth"] = rows[steps.prompt], steps.model, _count_before(steps.prompt)
    least_usd = math.fsum(cost_usd[np.arange(len(rows)), start].tolist())
    least_step_usd = float(steps.cost_usd.min()) if len(found) else None
    return BlockSums(prompts=len(rows), least_usd=least_usd, least_step_usd=least_step_usd), found


def describe_core(scores: Scores, choices: NDArray[np.int64], slope: float) -> dict[str, Any]:
    """Return the core of one block as arrays, and the summed cost of all its choices.

    Args:
        scores: The scores of the block.
        choices: The choices so far, shape (n,).
        slope: Price of money: quality per USD.
    """
    rows = np.flatnonzero(choices >= 0)
    quality, cost_usd = (values[rows] for values in scores.mask())
    core, loss = find_core(quality, cost_usd, slope=slope)
    spent = math.fsum(cost_usd[np.arange(len(rows)), choices[rows]].tolist())
    return {
        "row": rows[core],
        "loss": loss,
        "quality": quality[core],
        "cost_usd": cost_usd[core],
        "choice": choices[rows[core]],
        "spent_usd": np.array(spent),
    }


def read_classified(out: OutFolder, block: Block) -> Classified:
    """Return the classification of a block that has been scored."""
    return Classified.load(out.file("scored", block.number, ".npz"))


def read_steps(out: OutFolder, number: int) -> NDArray[np.void]:
    """Return the steps of a block, of type `STEP`. They stay on the disk until they are used."""
    steps: NDArray[np.void] = np.load(out.file("steps", number, ".npy"), mmap_mode="r", allow_pickle=False)
    return steps


def _count_before(prompts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each step the number of steps of the same prompt before it."""
    order = np.argsort(prompts, kind="stable")
    counts = np.bincount(prompts) if len(prompts) else np.empty(0, np.int64)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    before = np.empty(len(prompts), np.int64)
    before[order] = np.arange(len(prompts)) - first
    return before
