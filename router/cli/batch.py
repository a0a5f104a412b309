"""`llm-router batch`: files with prompts in, the same rows with their decisions out."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.cli.folder import model_option
from router.cli.options import make_options, route_options
from router.errors import InputError

if TYPE_CHECKING:
    from router.batch.decided import Totals

_STEPS = {"decide": "deciding", "score": "scoring", "find_core": "searching the core", "spend": "writing"}
_SHOWN = 8


class _Bar:
    """A progress bar with rows per second and the time that is left. It is silent without a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def begin(self, step: str, *, rows: int, done: int) -> None:
        """Show a new bar."""
        from tqdm import tqdm

        self.close()
        self._bar = tqdm(desc=_STEPS[step], total=rows, initial=done, unit="row", unit_scale=True, disable=None)

    def add(self, rows: int) -> None:
        """Count more rows."""
        self._bar.update(rows)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()


@click.command("batch")
@click.option("--in", "pattern", required=True, metavar="PATH", help="File, folder or pattern: .parquet, .jsonl or .csv.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder, or that of the batch to resume.")
@click.option("--column", default="prompt", show_default=True, help="Column of the prompts; messages: JSON of a chat.")
@click.option("--prefix", default="", help="Start of the names of the added columns.")
@click.option("--budget-usd", type=float, help="Limit for the expected cost of all rows together; replaces the dial.")
@click.option("--batch-prices", is_flag=True, help="Count the lower prices of the providers' batch APIs.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Where it runs.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes or actors; default: one per processor here.")
@click.option("--address", help="Address of a running Ray cluster; auto finds the one of this machine.")
@click.option("--block-rows", type=click.IntRange(min=1), default=5000, show_default=True, help="Rows of one part.")
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file that describes the router.")
@model_option
@click.option("--strategy", help="contextual (default), model-aware, consistent-hash or weighted-key.")
@route_options
def batch(
    *,
    pattern: str,
    out: Path,
    column: str,
    prefix: str,
    budget_usd: float | None,
    batch_prices: bool,
    engine: str,
    workers: int | None,
    address: str | None,
    block_rows: int,
    config: Path | None,
    model: Path | None,
    strategy: str | None,
    **keywords: Any,
) -> None:
    """Decide for millions of prompts in files. The same command again goes on after a kill."""
    try:
        import tqdm  # noqa: F401 - asked for before the work begins
    except ImportError as error:
        raise InputError(f"a batch needs {error.name!r}; pip install 'contextual-llm-router[batch]'") from error
    from router.batch.engines import LocalEngine, RayEngine
    from router.batch.run import make_job, run_batch

    if address is not None and engine != "ray":
        raise InputError(f"--address is that of a Ray cluster, got --engine {engine}; set --engine ray, too")
    job = make_job(
        pattern,
        out,
        column=column,
        prefix=prefix,
        block_rows=block_rows,
        options=make_options(keywords),
        budget_usd=budget_usd,
        batch_prices=batch_prices,
        strategy=strategy,
        model=model,
        config=config,
    )
    count = workers or os.cpu_count() or 1
    bar = _Bar()
    try:
        totals = run_batch(
            job, partial(RayEngine, job, count, address) if engine == "ray" else partial(LocalEngine, job, count), bar
        )
    finally:
        bar.close()
    click.echo(_describe(totals, out))


def _describe(totals: Totals, out: Path) -> str:
    cost = "unknown" if totals.cost_usd is None else f"{totals.cost_usd:.6g} USD"
    lines = [
        f"{out}: {totals.rows} rows, {totals.errors} of them without a decision (see the column error)",
        f"expected cost {cost}, mean expected quality {totals.mean_quality:.4f}",
    ]
    for title, counts in (("task", totals.tasks), ("model", totals.models)):
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        width = max([len(title), *(len(name) for name, _ in ordered[:_SHOWN])])
        lines += ["", f"{title:{width}}  {'rows':>12}", *(f"{name:{width}}  {n:>12}" for name, n in ordered[:_SHOWN])]
        lines += [f"... and {len(ordered) - _SHOWN} more"] if len(ordered) > _SHOWN else []
    return "\n".join(lines)
