"""Rows in, an HTML table for notebooks out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.types import ModelProfile


def make_table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. Every text is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def make_model_table(caption: str, profiles: Iterable[ModelProfile]) -> str:
    """Return a table of models with their prices and context windows. An unknown figure is empty."""
    header = ("model", "provider", "USD per million input tokens", "output tokens", "context window")
    rows = [
        (p.name, p.provider, *map(_format, (p.input_usd_per_mtok, p.output_usd_per_mtok, p.context_window)))
        for p in profiles
    ]
    return make_table(caption, header, rows)


def _format(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"
