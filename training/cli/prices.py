"""`llm-router-train prices`: a file of models in, the prices that have changed since out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.errors import InputError

if TYPE_CHECKING:
    from training.data.catalogue import Change, Comparison


@click.command("prices")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--write", is_flag=True, help="Change FILE. Without it, only the differences are shown.")
def prices_command(file: Path, *, write: bool) -> None:
    """Compare prices with the package genai-prices.

    FILE is a CSV of models such as data/published/models.csv. Its column price_id names each model as PROVIDER/MODEL, the
    way genai-prices does. Rows that genai-prices does not know stay as they are.
    """
    from training.data.catalogue import compare_prices, write_models
    from training.data.price_list import PACKAGE, PriceList

    today = datetime.now(UTC).date()
    try:
        prices = PriceList(today)
    except ImportError as error:
        raise InputError(
            f"comparing prices needs the package {PACKAGE}; pip install 'contextual-llm-router[prices]'"
        ) from error
    comparison = compare_prices(file, prices)
    age = (today - prices.as_of).days
    click.echo(f"{PACKAGE} {prices.version}: its newest price is of {prices.as_of}, {age} days ago")
    click.echo("\n".join(_describe(comparison)))
    if write:
        write_models(file, comparison)
        click.echo(f"{file}: {len(comparison.changes)} prices written, as of {prices.as_of}")
    else:
        click.echo(f"{file} is unchanged; --write changes it")


def _describe(comparison: Comparison) -> Iterator[str]:
    if comparison.changes:
        yield from _list_changes(comparison.changes)
    new = sum(not change.old for change in comparison.changes)
    yield (
        f"{len(comparison.found)} of {len(comparison.rows)} models compared: "
        f"{len(comparison.changes) - new} prices differ, {new} are new"
    )
    yield from (f"kept {model}: {reason}" for model, reason in comparison.kept.items())
    yield from (f"note: {note}" for note in comparison.notes)


def _list_changes(changes: Sequence[Change]) -> Iterator[str]:
    model = max(len("model"), *(len(change.model) for change in changes))
    column = max(len("price"), *(len(change.column) for change in changes))
    yield f"{'model':{model}}  {'price':{column}}  {'old':>10}  {'new':>10}"
    for change in changes:
        yield f"{change.model:{model}}  {change.column:{column}}  {change.old or '-':>10}  {change.new:>10}"
