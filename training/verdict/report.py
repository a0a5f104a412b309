"""Write a routing evaluation: as text for the terminal, and as JSON, Markdown, HTML and pictures."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from training.verdict.curves import SHARES
from training.verdict.explain import describe_measurement, explain, explain_pair
from training.verdict.format import NEVER, format_figure, format_interval, format_lead, format_percent, per_1000
from training.verdict.glossary import GLOSSARY
from training.verdict.tables import (
    ReportTable,
    tabulate_costs,
    tabulate_models,
    tabulate_regret,
    tabulate_routers,
    tabulate_settings,
    tabulate_verdict,
)

if TYPE_CHECKING:
    from training.verdict.evaluation import RouterQuality, RoutingEvaluation

_COLUMNS = 120
# Longer names would push the table beyond 120 columns.
_NAME = 22


def write_routing(folder: Path, evaluation: RoutingEvaluation, *, notes: Sequence[str] = ()) -> list[Path]:
    """Write `routing.json`, `.md`, `.html` and pictures; return their paths.

    Args:
        folder: Folder to write to. It is created if it is missing.
        evaluation: The figures.
        notes: Further sentences on how they were measured, such as which prompts the router had seen before.

    Raises:
        ImportError: If matplotlib (extra `plots`) is not installed. Nothing is written then.
    """
    # Imported here: the other formats need no matplotlib.
    from training.verdict.page import to_html
    from training.verdict.plots import draw_all

    figures = draw_all(evaluation)
    # Everything is made before the first file is written: an error leaves no half of a report.
    page = to_html(evaluation, notes=notes)
    texts = {"json": to_json(evaluation, notes=notes) + "\n", "md": to_markdown(evaluation, notes=notes), "html": page}
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for ending, text in texts.items():
        paths.append(folder / f"routing.{ending}")
        paths[-1].write_text(text, encoding="utf-8")
    for name, figure in figures.items():
        paths.append(folder / f"routing-{name}.png")
        figure.savefig(paths[-1], dpi=110)
    return paths


def to_json(evaluation: RoutingEvaluation, *, notes: Sequence[str] = ()) -> str:
    """Return every figure as JSON, with null for unknown figures and for infinite ends of intervals."""
    figures = _without_infinity({**asdict(evaluation), "notes": list(notes)})
    return json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False)


def _without_infinity(value: object) -> object:
    """Replace NaN and infinity, which JSON cannot express, by None."""
    if isinstance(value, Mapping):
        return {str(key): _without_infinity(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_infinity(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_markdown(evaluation: RoutingEvaluation, *, notes: Sequence[str] = ()) -> str:
    """Return the verdict, its meaning, all tables, and how the figures were measured, as Markdown."""
    tables = (tabulate_costs, tabulate_settings, tabulate_verdict, tabulate_routers, tabulate_regret, tabulate_models)
    lines = [f"# {_literal(evaluation.verdict.sentence)}", ""]
    for paragraph in explain(evaluation):
        lines += [_literal(paragraph), ""]
    lines += ["![Quality and cost](routing-curve.png)", ""]
    for table in (tabulate(evaluation) for tabulate in tables):
        lines += _format_table(table) if table.rows else []
    for title, items in (
        ("Two models only", explain_pair(evaluation)),
        ("How it was measured", describe_measurement(evaluation, notes)),
        ("Terms", [f"{term}: {meaning}" for term, meaning in GLOSSARY.items()]),
    ):
        lines += [f"## {title}", "", *(f"- {_literal(item)}" for item in items), ""] if items else []
    return "\n".join(lines)


def _format_table(table: ReportTable) -> list[str]:
    rows = [f"| {' | '.join(map(_literal, cells))} |" for cells in (table.head, *table.rows)]
    rule = "|---" + "|---:" * (len(table.head) - 1) + "|"
    return [f"## {_literal(table.title)}", "", _literal(table.note), "", rows[0], rule, *rows[1:], ""]


def _literal(text: str) -> str:
    """Return text in which names of models and files are not read as markup."""
    return escape(text, quote=False).replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("`", "\\`")


def to_text(evaluation: RoutingEvaluation, *, notes: Sequence[str] = ()) -> list[str]:
    """Return lines of at most 120 columns for the terminal: the verdict, a table of router and baselines, and notes."""
    head = ("", "AIQ", *(f"USD at {format_percent(share)}" for share in SHARES), "lead of the router")
    rows = [_format_router(router, evaluation) for router in evaluation.routers]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    best = next(model for model in evaluation.models if model.name == evaluation.best)
    sentences = [
        "AIQ: quality averaged over the span of cost. "
        "USD: cost of 1,000 prompts at that share of the best single model's quality.",
        f"{best.name} alone: quality {format_interval(best.quality)}, {format_figure(per_1000(best.cost_usd))} USD. "
        f"n = {evaluation.n:,}, left out {evaluation.left_out:,}, seed {evaluation.seed}; intervals: 95 %.",
        *notes,
    ]
    return [
        *textwrap.wrap(evaluation.verdict.sentence, _COLUMNS),
        "",
        *(_align(row, widths) for row in (head, *rows)),
        "",
        *(line for sentence in sentences for line in textwrap.wrap(sentence, _COLUMNS)),
    ]


def _format_router(router: RouterQuality, evaluation: RoutingEvaluation) -> tuple[str, ...]:
    lead = evaluation.differences.get(router.name)
    costs = (router.cost_at[share] for share in SHARES)
    name = router.name if len(router.name) <= _NAME else router.name[: _NAME - 1] + "…"
    return (
        name,
        format_interval(router.aiq),
        *(format_figure(per_1000(cost.value)) if cost else NEVER for cost in costs),
        format_lead(lead) if lead else "",
    )


def _align(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()
