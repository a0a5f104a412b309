"""A file of models and a price list in, the prices that differ out, and the file with the new ones."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from router.types import PRICES
from training.data.price_list import PACKAGE, Listed, PriceList
from training.data.problems import SHOWN_CHARS
from training.data.table import DatasetError, open_table

# Names the model in the price list. Nothing is matched by its name alone.
PRICE_ID = "price_id"
_NEEDED = ("model", PRICE_ID, "input_usd_per_mtok", "output_usd_per_mtok", "as_of", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A price that differs.

    Attributes:
        model: Name of the model.
        column: Name of the price.
        old: The price in the file. Empty: there was none.
        new: The price in the list.
    """

    model: str
    column: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A file of models beside a price list.

    Attributes:
        header: Columns of the file, with those that its new prices need.
        separator: What separates its fields.
        rows: The rows with the new prices.
        changes: The prices that differ, in the order of the file.
        found: Models that the list knows.
        kept: Models that it does not know, each with the reason. Their rows stay as they are.
        notes: What a reader should know about the new prices.
    """

    header: tuple[str, ...]
    separator: str
    rows: Sequence[Mapping[str, str]]
    changes: Sequence[Change]
    found: Sequence[str]
    kept: Mapping[str, str]
    notes: Sequence[str]


def compare_prices(file: Path, prices: PriceList) -> Comparison:
    """Return what a price list would change in a file of models.

    A row names its model in the list itself, in the column `price_id`. A price that the list lacks stays as it is. A row
    that the list knows gets its date and its name as source.

    Args:
        file: CSV file with the columns `model`, `price_id`, `as_of`, `source` and those of the prices.
        prices: The price list.

    Raises:
        DatasetError: If the file cannot be read, or a price in it is no number.
    """
    with open_table(file, required=lambda _: _NEEDED) as table:
        header, separator = table.header, table.separator
        rows = [(number, dict(zip(header, fields, strict=True))) for number, fields in table.rows]
    changes: list[Change] = []
    found: list[str] = []
    kept: dict[str, str] = {}
    notes: list[str] = []
    for number, row in rows:
        model, name = row["model"], row[PRICE_ID].strip()
        listed = prices.find(name) if name else None
        if listed is None:
            kept[model] = _explain_kept(prices, model, name)
            continue
        found.append(model)
        notes += _describe(model, listed)
        own = _find_changes(f"{file} row {number}", row, listed)
        changes += own
        row.update({change.column: change.new for change in own})
        row |= {"as_of": prices.as_of.isoformat(), "source": f"{PACKAGE} {prices.version}, {name}"}
    changed = {change.column for change in changes}
    return Comparison(
        header=_add_columns(header, [column for column in PRICES if column in changed]),
        separator=separator,
        rows=[row for _, row in rows],
        changes=changes,
        found=found,
        kept=kept,
        notes=notes,
    )


def write_models(file: Path, comparison: Comparison) -> None:
    """Write the file of models anew, as a whole or not at all.

    Raises:
        DatasetError: If it cannot be written.
    """
    beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(
                stream, comparison.header, delimiter=comparison.separator, lineterminator="\n", restval=""
            )
            writer.writeheader()
            writer.writerows(comparison.rows)
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DatasetError(f"{file} cannot be written: {error.strerror}; check the permissions of its folder") from error


def _find_changes(place: str, row: Mapping[str, str], listed: Listed) -> list[Change]:
    changes = []
    for column, price in listed.usd_per_mtok.items():
        old = row.get(column, "").strip()
        if not old or _read_price(place, column, old) != price:
            changes.append(Change(model=row["model"], column=column, old=old, new=f"{price.normalize():f}"))
    return changes


def _read_price(place: str, column: str, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise DatasetError(
            f"{place}: {column} must be a number, got {text[:SHOWN_CHARS]!r}; correct it (a dot before decimals)"
        ) from error


def _explain_kept(prices: PriceList, model: str, name: str) -> str:
    if name:
        return f"{PACKAGE} has no {name}"
    suggested = prices.suggest(model.partition("@")[0])
    return f"no {PRICE_ID}" + (f"; perhaps {' or '.join(suggested)}" if suggested else "")


def _describe(model: str, listed: Listed) -> list[str]:
    notes = []
    if listed.dearer_above is not None:
        notes.append(f"{model} costs more for prompts above {listed.dearer_above:,} tokens; that of shorter ones counts")
    if listed.varies_by_time:
        notes.append(f"the price of {model} depends on the time of day; that of 12:00 UTC counts")
    return notes


def _add_columns(header: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """Return the header with the missing columns after the last price."""
    at = max(i for i, name in enumerate(header) if name in PRICES) + 1
    return (*header[:at], *(column for column in columns if column not in header), *header[at:])
