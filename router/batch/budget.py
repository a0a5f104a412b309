"""The steps of all blocks come in, what one budget for all of them buys goes out: the same as `allocate` buys.

The steps lie on the disk, one file per block. The driver reads one block at a time. It holds one byte per row at most, and
some hundred thousand steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from router.batch.shares import PICK, BlockSums, Share, read_steps
from router.score.allocation import ROUNDING, check_budget
from router.score.core_search import CORE, improve_core
from router.score.hull import Steps, climb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.batch.blocks import Block
    from router.batch.job import OutFolder

# Slopes that are tried in one pass over all blocks.
_TRIED = 256
# One of so many slopes is looked at to divide the steps, and so many of these make one window of steps.
_SAMPLED, _WINDOW = 64, 4096


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget for all blocks of a batch.

    Args:
        out: The folder with the steps.
        blocks: The blocks, in the order of their numbers.
        budget_usd: Upper limit of the summed expected cost.
    """

    out: OutFolder
    blocks: Sequence[Block]
    budget_usd: float

    def find_share(self) -> Share:
        """Return what the budget buys, before the core is searched.

        Raises:
            InputError: If the budget is not a number or below the cost of the cheapest models.
        """
        sums = [
            msgspec.json.decode(self.out.file("scored", block.number, ".json").read_bytes(), type=BlockSums)
            for block in self.blocks
        ]
        left_usd = self._room_usd(math.fsum(part.least_usd for part in sums))
        found = self._find_critical_slope(left_usd)
        if found is None:
            return Share(slope=0.0, is_final=True)
        slope, left_usd = found
        share, left_usd = self._take_tied(slope, left_usd)
        least_step_usd = min(part.least_step_usd for part in sums if part.least_step_usd is not None)
        return replace(share, extras=self._spend_rest(share, left_usd, least_step_usd))

    def search_core(self, share: Share) -> Share:
        """Return the final share. The workers have written the core of each block."""
        found = []
        spent = []
        for block in self.blocks:
            with np.load(self.out.file("core", block.number, ".npz"), allow_pickle=False) as core:
                spent.append(float(core["spent_usd"]))
                found += [
                    (loss, block.number, row, choice, quality, cost_usd)
                    for loss, row, choice, quality, cost_usd in zip(
                        core["loss"].tolist(),
                        core["row"].tolist(),
                        core["choice"].tolist(),
                        core["quality"],
                        core["cost_usd"],
                        strict=True,
                    )
                ]
            found = sorted(found, key=lambda prompt: prompt[:3])[:CORE]
        found = found[::-1]  # the clearest prompts first, as `find_core` returns them
        quality, cost_usd = np.array([prompt[4] for prompt in found]), np.array([prompt[5] for prompt in found])
        choices = np.array([prompt[3] for prompt in found], np.int64)
        core_usd = float(cost_usd[np.arange(len(found)), choices].sum())
        room_usd = self.budget_usd * (1 + ROUNDING) - (math.fsum(spent) - core_usd)
        improved = improve_core(quality, cost_usd, choices, slope=share.slope, room_usd=room_usd)
        picks = np.empty(len(found), PICK)
        picks["block"], picks["row"] = [prompt[1] for prompt in found], [prompt[2] for prompt in found]
        picks["model"] = improved
        return replace(share, core=picks, is_final=True)

    def _room_usd(self, least_usd: float) -> float:
        """Return the money for steps."""
        return check_budget(self.budget_usd, least_usd) * (1 + ROUNDING) - least_usd

    def _find_critical_slope(self, left_usd: float) -> tuple[float, float] | None:
        """Return the slope of the first step that does not fit, and the money that is left before the steps of this slope.

        None if all steps fit. Numbers above zero have the order of their bits, so the search divides these.
        """
        low, high = 0, _to_bits(max((float(steps["slope"][0]) for steps in self._read() if len(steps)), default=0.0))
        if self._sum_steeper(np.zeros(1))[0] <= left_usd:
            return None
        spent = 0.0
        while high - low > 1:
            tried = np.unique(np.array([low + (high - low) * i // _TRIED for i in range(1, _TRIED)], np.int64))
            tried = tried[(tried > low) & (tried < high)]
            sums = self._sum_steeper(tried.view(np.float64))
            fits = int((sums > left_usd).sum())  # the sums fall, so these are the first ones
            if fits < len(tried):
                high, spent = int(tried[fits]), float(sums[fits])
            low = int(tried[fits - 1]) if fits else low
        return float(np.array(high, np.int64).view(np.float64)), left_usd - spent

    def _sum_steeper(self, slopes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the summed cost of all steps that are steeper than each slope, of the same shape."""
        total = np.zeros(len(slopes))
        for steps in self._read():
            total += np.append(0.0, np.cumsum(steps["cost_usd"]))[np.searchsorted(-steps["slope"], -slopes)]
        return total

    def _take_tied(self, slope: float, left_usd: float) -> tuple[Share, float]:
        """Return the place of the first step of this slope that does not fit, and the money that is left before it."""
        tied: dict[int, list[int]] = {}
        for block, steps in zip(self.blocks, self._read(), strict=True):
            for depth in np.unique(steps["depth"][steps["slope"] == slope]).tolist():
                tied.setdefault(depth, []).append(block.number)
        for depth in sorted(tied):
            for number in tied[depth]:
                steps = read_steps(self.out, number)
                steps = steps[(steps["slope"] == slope) & (steps["depth"] == depth)]
                spent = np.cumsum(steps["cost_usd"])
                fit = int(np.searchsorted(spent, left_usd, side="right"))
                left_usd -= float(spent[fit - 1]) if fit else 0.0
                if fit < len(steps):
                    return Share(slope=slope, depth=depth, block=number, row=int(steps["row"][fit])), left_usd
        # Two orders of the same sum may round to both sides of what is left.
        return Share(slope=slope, depth=max(tied) + 1), left_usd

    def _spend_rest(self, share: Share, left_usd: float, least_step_usd: float) -> NDArray[np.void]:
        """Return the later steps that still fit, of type `PICK`, as `climb` takes them.

        Args:
            share: All steps before its place are bought.
            left_usd: Money that is left.
            least_step_usd: Cost of the cheapest of all steps. The search ends when less is left.
        """
        ahead = [share.count_before(steps, block.number) for block, steps in zip(self.blocks, self._read(), strict=True)]
        barred = [np.zeros(block.rows, np.bool_) for block in self.blocks]
        taken = [np.empty(0, PICK)]
        for slope in self._divide(ahead):
            if left_usd < least_step_usd:
                break
            window = []
            for i, steps in enumerate(self._read()):
                end = int(np.searchsorted(-steps["slope"], -slope))
                window.append(_drop_too_dear(steps[ahead[i] : end], barred[i], left_usd))
                ahead[i] = max(ahead[i], end)
            picks, spent_usd = _climb_blocks(window, self.blocks, barred, left_usd)
            left_usd -= spent_usd
            taken.append(picks)
        return np.concatenate(taken)

    def _divide(self, ahead: Sequence[int]) -> list[float]:
        """Return falling slopes that divide the steps ahead into windows. Below the last one there is no step."""
        sampled = [np.array(steps["slope"][start::_SAMPLED]) for start, steps in zip(ahead, self._read(), strict=True)]
        slopes = np.sort(np.concatenate(sampled))[::-1][_WINDOW::_WINDOW]
        return [*np.unique(slopes)[::-1].tolist(), 0.0]

    def _read(self) -> Iterator[NDArray[np.void]]:
        return (read_steps(self.out, block.number) for block in self.blocks)


def _drop_too_dear(steps: NDArray[np.void], barred: NDArray[np.bool_], left_usd: float) -> NDArray[np.void]:
    """Return the steps that may still be bought, and bar the rows of those that are too dear.

    A row with a step that is too dear cannot take its later steps.
    """
    dear = np.flatnonzero(steps["cost_usd"] > left_usd)
    barred_from = np.where(barred, 0, len(steps))
    np.minimum.at(barred_from, steps["row"][dear], dear)
    kept: NDArray[np.void] = steps[np.arange(len(steps)) < barred_from[steps["row"]]]
    barred[steps["row"][dear]] = True
    return kept


def _climb_blocks(
    window: Sequence[NDArray[np.void]], blocks: Sequence[Block], barred: Sequence[NDArray[np.bool_]], left_usd: float
) -> tuple[NDArray[np.void], float]:
    """Return the steps of a window that are bought, of type `PICK`, and their summed cost.

    The rows of the others are barred.
    """
    steps = np.concatenate(window)
    place = np.repeat(np.arange(len(blocks)), [len(part) for part in window])
    order = np.lexsort((steps["row"], place, steps["depth"], -steps["slope"]))
    steps, place = steps[order], place[order]
    keys = np.unique(place * (1 << 32) + steps["row"], return_inverse=True)[1]
    taken = climb(
        Steps(
            prompt=keys,
            model=steps["model"],
            cost_usd=steps["cost_usd"],
            quality=steps["quality"],
            slope=steps["slope"],
        ),
        left_usd,
    )
    for i in np.unique(place[~taken]).tolist():
        barred[i][steps["row"][~taken & (place == i)]] = True
    picks = np.empty(int(taken.sum()), PICK)
    picks["block"] = [blocks[i].number for i in place[taken].tolist()]
    picks["row"], picks["model"] = steps["row"][taken], steps["model"][taken]
    return picks, math.fsum(steps["cost_usd"][taken].tolist())


def _to_bits(value: float) -> int:
    return int(np.array(value, np.float64).view(np.int64))
