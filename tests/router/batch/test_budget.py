import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import router.batch.budget
from router import InputError
from router.batch.blocks import Block
from router.batch.budget import Budget
from router.batch.job import OutFolder, write_file, write_json
from router.batch.scores import Scores
from router.batch.shares import Share, describe_core, find_block_steps
from router.score.allocation import allocate
from tests.router.score.test_allocation import KINDS, draw, draw_budget


def cut(quality: NDArray[np.float64], cost_usd: NDArray[np.float64], size: int) -> list[Scores]:
    """Cut the scores of all prompts into those of blocks."""
    return [
        Scores(
            quality=quality[start : start + size],
            bound=quality[start : start + size],
            cost_usd=cost_usd[start : start + size],
            latency_s=np.full_like(quality[start : start + size], np.nan),
            usable=np.isfinite(quality[start : start + size]),
        )
        for start in range(0, len(quality), size)
    ]


def allocate_blocks(parts: list[Scores], budget_usd: float, folder: Path) -> tuple[NDArray[np.int64], Share]:
    """Allocate as the steps of a batch do, one block at a time."""
    out = OutFolder(folder, ".csv")
    for kind in ("scored", "steps", "core"):
        (out.memory / kind).mkdir(parents=True)
    blocks = [Block(number=i, path="", start=0, stop=0, rows=len(part.quality)) for i, part in enumerate(parts)]
    for block, part in zip(blocks, parts, strict=True):
        sums, steps = find_block_steps(part)
        write_json(out.file("scored", block.number, ".json"), {name: getattr(sums, name) for name in sums.__slots__})
        write_file(out.file("steps", block.number, ".npy"), lambda stream, steps=steps: np.save(stream, steps))
    budget = Budget(out, blocks, budget_usd)
    budget.find_share().write(out)
    share = Share.read(out)
    if not share.is_final:
        for block, part in zip(blocks, parts, strict=True):
            core = describe_core(part, share.choose(block, part, out), share.slope)
            write_file(out.file("core", block.number, ".npz"), lambda stream, core=core: np.savez(stream, **core))
        share = budget.search_core(share)
    return np.concatenate([share.choose(block, part, out) for block, part in zip(blocks, parts, strict=True)]), share


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_given_what_all_prompts_together_are_given(
    kind: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small windows, so that the rest of the money passes through several of them.
    monkeypatch.setattr(router.batch.budget, "_SAMPLED", 3)
    monkeypatch.setattr(router.batch.budget, "_WINDOW", 5)
    rng = np.random.default_rng(seed)
    quality, cost_usd = draw(rng, kind, int(rng.integers(1, 400)), int(rng.integers(1, 9)))
    budget_usd = draw_budget(rng, cost_usd)
    expected = allocate(quality, cost_usd, budget_usd)
    choices, share = allocate_blocks(cut(quality, cost_usd, int(rng.integers(1, 60))), budget_usd, tmp_path)
    assert choices.tolist() == expected.choices.tolist()
    price = 0.01 / share.slope if share.slope else math.inf
    assert price == expected.shadow_price_usd_per_point


def test_equal_prompts_are_served_in_their_order(tmp_path: Path) -> None:
    quality, cost_usd = np.tile([0.2, 0.6], (50, 1)), np.tile([1.0, 3.0], (50, 1))
    choices, _ = allocate_blocks(cut(quality, cost_usd, 8), 50 + 2 * 17 + 1.5, tmp_path)
    assert choices.sum() == 17
    assert choices.tolist() == allocate(quality, cost_usd, 50 + 2 * 17 + 1.5).choices.tolist()


def test_rows_without_a_model_take_no_money(tmp_path: Path) -> None:
    quality, cost_usd = draw(np.random.default_rng(1), "independent", 40, 4)
    faulty = np.arange(40) % 7 == 3
    budget_usd = draw_budget(np.random.default_rng(2), cost_usd[~faulty])
    expected = allocate(quality[~faulty], cost_usd[~faulty], budget_usd).choices
    quality[faulty], cost_usd[faulty] = -np.inf, np.inf
    choices, _ = allocate_blocks(cut(quality, cost_usd, 9), budget_usd, tmp_path)
    assert choices[faulty].tolist() == [-1] * int(faulty.sum())
    assert choices[~faulty].tolist() == expected.tolist()


def test_a_budget_below_the_cheapest_models_is_refused_with_the_least(tmp_path: Path) -> None:
    quality, cost_usd = np.array([[0.2, 0.6]] * 3), np.array([[1.0, 3.0]] * 3)
    with pytest.raises(InputError, match="give 3 or more"):
        allocate_blocks(cut(quality, cost_usd, 2), 2.0, tmp_path)
