"""One block comes in, its files go out. A process or an actor has one worker, with one router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from router.batch.blocks import Block, Rows, find_format
from router.batch.decided import Decided, PromptDecider, Totals
from router.batch.job import Job, OutFolder, write_file, write_json
from router.batch.messages import find_prompts
from router.batch.prices import at_batch_prices
from router.batch.shares import Share, describe_core, find_block_steps, read_classified
from router.core import Router
from router.model_folder.load import load_model_folder
from router.options import RouteOptions


class Worker:
    """Does the blocks of a batch.

    Every step can be repeated: a block whose file is there is skipped. So a block that was under way when a machine was
    lost is done again, and no other.

    Args:
        job: The batch.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._format = find_format([Path(path) for path, _, _ in job.files])
        self._out = OutFolder(Path(job.out), self._format.suffix)
        self._decider = PromptDecider(load_router(job), RouteOptions.of(job.options))
        self._share: Share | None = None

    def decide(self, block: Block) -> None:
        """Decide the prompts of a block and write them."""
        if not self._out.part(block.number).exists():
            rows = self._format.read(block)
            self._write(block, rows, self._decider.decide(self._find_prompts(rows)))

    def score(self, block: Block) -> None:
        """Write what a budget needs of a block: its classification, and the steps up the hulls of its prompts."""
        place = self._out.file("scored", block.number, ".json")
        if place.exists():
            return
        classified, scores = self._decider.classify(self._find_prompts(self._format.read(block)))
        sums, steps = find_block_steps(scores)
        write_file(self._out.file("scored", block.number, ".npz"), classified.save)
        write_file(self._out.file("steps", block.number, ".npy"), lambda stream: np.save(stream, steps))
        write_json(place, asdict(sums))

    def find_core(self, block: Block) -> None:
        """Write the prompts of a block that the shadow price hardly decides."""
        place = self._out.file("core", block.number, ".npz")
        if not place.exists():
            scores = self._decider.score(read_classified(self._out, block))
            choices = self._read_share().choose(block, scores, self._out)
            arrays = describe_core(scores, choices, self._read_share().slope)
            write_file(place, lambda stream: np.savez(stream, **arrays))

    def spend(self, block: Block) -> None:
        """Write the prompts of a block with the models that the budget buys."""
        if not self._out.part(block.number).exists():
            classified = read_classified(self._out, block)
            scores = self._decider.score(classified)
            choices = self._read_share().choose(block, scores, self._out)
            self._write(block, self._format.read(block), self._decider.describe(classified, scores, choices))

    def _read_share(self) -> Share:
        """Return what the budget buys. It is read once, because it does not change."""
        if self._share is None or not self._share.is_final:
            self._share = Share.read(self._out)
        return self._share

    def _find_prompts(self, rows: Rows) -> Sequence[object]:
        return find_prompts(rows.values(self._job.column), self._job.column)

    def _write(self, block: Block, rows: Rows, decided: Decided) -> None:
        # The sums first: whoever finds the part finds them, too.
        write_json(self._out.file("done", block.number, ".json"), Totals.of(decided).to_dict())
        added = decided.add_prefix(self._job.prefix)
        write_file(self._out.part(block.number), lambda stream: rows.write(stream, added))


def load_router(job: Job) -> Router:
    """Return the router of a batch.

    Raises:
        ModelFolderError: If the model folder is missing, damaged or another one than at the beginning.
        ConfigError: If the configuration breaks a rule.
    """
    folder = load_model_folder(Path(job.model), sha256=job.model_sha256)
    if job.batch_prices:
        folder = replace(folder, profiles=at_batch_prices(folder.profiles))
    if job.config is None:
        return Router.from_model_folder(folder, strategy=job.strategy or "contextual")
    from router.config.make import Unconnected, make_router
    from router.config.read import read_config

    return make_router(Router, read_config(Path(job.config)), connect=Unconnected, folder=folder)
