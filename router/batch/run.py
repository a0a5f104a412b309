"""A batch comes in, its output folder goes out, complete. A batch that was killed goes on where it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from router.batch.blocks import Block, check_columns, cut_files, find_files, find_format
from router.batch.budget import Budget
from router.batch.decided import PromptDecider, Totals
from router.batch.engines import Engine, Step
from router.batch.job import Job, OutFolder, stamp, write_json
from router.batch.shares import Share
from router.batch.worker import load_router
from router.errors import InputError
from router.model_folder.load import find_model_folder
from router.model_folder.reader import FolderReader
from router.options import RouteOptions


class Progress(Protocol):
    """Is told what is done."""

    def begin(self, step: str, *, rows: int, done: int) -> None:
        """Begin a step over this number of rows, of which some are done already."""
        ...

    def add(self, rows: int) -> None:
        """Count more rows as done."""
        ...


class Silent:
    """The progress that shows nothing."""

    def begin(self, step: str, *, rows: int, done: int) -> None:
        """Do nothing."""

    def add(self, rows: int) -> None:
        """Do nothing."""


def make_job(
    pattern: str,
    out: Path,
    *,
    column: str = "prompt",
    prefix: str = "",
    block_rows: int = 5000,
    options: RouteOptions | None = None,
    budget_usd: float | None = None,
    batch_prices: bool = False,
    strategy: str | None = None,
    model: Path | None = None,
    config: Path | None = None,
) -> Job:
    """Return a batch, after a look at its input and its router.

    Args:
        pattern: A file, a folder with files, or a pattern such as `in/*.csv`.
        out: The output folder.
        column: Column of the prompts. Texts in a column named `messages` are chat messages in JSON.
        prefix: Start of the names of the added columns.
        block_rows: Rows of a block, above 0.
        options: The options of every decision. None: the defaults of the router.
        budget_usd: Upper limit of the summed expected cost. None: no limit.
        batch_prices: Whether the costs are those of the providers' batch APIs, to which the rows will be sent.
        strategy: Name of the strategy. None: `contextual`, or that of the configuration.
        model: The model folder. None: that of the configuration, or `$LLM_ROUTER_MODEL`, or the shipped one.
        config: A configuration file, which describes the router. None: the router is that of the model folder.

    Raises:
        InputError: If the input has no such column, or the options do not fit together.
        ModelFolderError: If the model folder cannot be loaded.
    """
    if block_rows < 1:
        raise InputError(f"--block-rows must be 1 or more, got {block_rows}")
    if config is not None and (model is not None or strategy is not None):
        raise InputError("a configuration names its model folder and its strategy itself; leave out --model and --strategy")
    files = find_files(pattern)
    check_columns(find_format(files), files, column, prefix)
    folder, config_sha256 = model or find_model_folder(), ""
    if config is not None:
        folder, config_sha256 = _read_config(config)
    job = Job(
        files=stamp(files),
        out=str(out.resolve()),
        column=column,
        prefix=prefix,
        block_rows=block_rows,
        options=_make_plain((options or RouteOptions()).given()),
        budget_usd=budget_usd,
        batch_prices=batch_prices,
        strategy=strategy,
        model=str(folder.resolve()),
        model_sha256=FolderReader(folder, sha256=None).sha256,
        config=None if config is None else str(config.resolve()),
        config_sha256=config_sha256,
    )
    PromptDecider(load_router(job), RouteOptions.of(job.options))  # raises what every worker would raise
    return job


def run_batch(job: Job, make_engine: Callable[[], Any], progress: Progress | None = None) -> Totals:
    """Do everything that is left of a batch, and return the sums over all rows.

    Args:
        job: The batch.
        make_engine: Returns a context manager with the engine. It is not called if nothing is left.
        progress: Is told what is done.

    Raises:
        InputError: If the output folder belongs to another batch, or the budget is too small.
    """
    files = [Path(path) for path, _, _ in job.files]
    form = find_format(files)
    out = OutFolder(Path(job.out), form.suffix)
    out.open(job)
    if out.totals().exists():
        return msgspec.json.decode(out.totals().read_bytes(), type=Totals)
    blocks = list(cut_files(form, files, job.block_rows))
    with make_engine() as engine:
        _finish(job, out, blocks, engine, progress or Silent())
    totals = out.read_totals(blocks)
    for kind in ("scored", "steps", "core"):
        shutil.rmtree(out.memory / kind)
    write_json(out.totals(), totals.to_dict())
    return totals


def _finish(job: Job, out: OutFolder, blocks: Sequence[Block], engine: Engine, progress: Progress) -> None:
    def do(step: Step, place: Callable[[int], Path]) -> None:
        left = out.missing(blocks, place)
        rows = sum(block.rows for block in blocks)
        progress.begin(step, rows=rows, done=rows - sum(block.rows for block in left))
        for block in engine.run(step, left):
            progress.add(block.rows)

    if job.budget_usd is None:
        do("decide", out.part)
        return
    if not (out.memory / "share.npz").exists():
        do("score", lambda number: out.file("scored", number, ".json"))
        Budget(out, blocks, job.budget_usd).find_share().write(out)
    share = Share.read(out)
    if not share.is_final:
        do("find_core", lambda number: out.file("core", number, ".npz"))
        share = Budget(out, blocks, job.budget_usd).search_core(share)
        share.write(out)
    do("spend", out.part)


def _read_config(config: Path) -> tuple[Path, str]:
    """Return the model folder of a configuration, and the hash of its file."""
    import hashlib

    from router.config.read import read_config

    folder = read_config(config).model_folder or find_model_folder()
    return folder, hashlib.sha256(config.read_bytes()).hexdigest()


def _make_plain(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as JSON has them, so that those of a resumed batch can be compared."""
    return {name: sorted(value) if name in ("allowed", "needs") else value for name, value in options.items()}
