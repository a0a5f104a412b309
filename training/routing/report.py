"""A routing evaluation, written down: for the command line, as JSON, Markdown, pictures and one page to pass on."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from training.routing.curves import SHARES
from training.routing.tables import (
    GLOSSARY,
    Table,
    explain,
    explain_pair,
    per_1000,
    tabulate_costs,
    tabulate_models,
    tabulate_regret,
    tabulate_routers,
    tabulate_settings,
    tabulate_verdict,
    tell,
    tell_interval,
    tell_lead,
    tell_measurement,
)

if TYPE_CHECKING:
    from training.routing.evaluation import RouterQuality, RoutingEvaluation

_COLUMNS = 120
_NAME = 22


def write_routing(folder: Path, evaluation: RoutingEvaluation, *, notes: Sequence[str] = ()) -> list[Path]:
    """Write `routing.json`, `.md`, `.html` and pictures into a folder, made where it is missing; return their paths.

    Args:
        folder: Where to.
        evaluation: What to tell.
        notes: Further sentences on how it was measured, such as which prompts the router had seen before.

    Raises:
        ImportError: If matplotlib, the extra `plots`, is not installed; nothing is written then.
    """
    from training.routing.page import to_html
    from training.routing.plots import draw_all

    figures = draw_all(evaluation)
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
    """Return every figure; null for what is unknown, and for an end of an interval that has no bound."""
    return json.dumps(_bounded({**asdict(evaluation), "notes": list(notes)}), indent=1, ensure_ascii=False, allow_nan=False)


def _bounded(value: object) -> object:
    """Replace what JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): _bounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_bounded(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_markdown(evaluation: RoutingEvaluation, *, notes: Sequence[str] = ()) -> str:
    """Return the verdict, what it means, the figures as tables, and how they were measured."""
    tables = (tabulate_costs, tabulate_settings, tabulate_verdict, tabulate_routers, tabulate_regret, tabulate_models)
    lines = [f"# {_literal(evaluation.verdict.sentence)}", ""]
    for paragraph in explain(evaluation):
        lines += [_literal(paragraph), ""]
    lines += ["![What quality costs](routing-curve.png)", ""]
    for table in (tabulate(evaluation) for tabulate in tables):
        lines += _mark_table(table) if table.rows else []
    for title, items in (
        ("Two models only", explain_pair(evaluation)),
        ("How it was measured", tell_measurement(evaluation, notes)),
        ("Terms", [f"{term}: {meaning}" for term, meaning in GLOSSARY.items()]),
    ):
        lines += [f"## {title}", "", *(f"- {_literal(item)}" for item in items), ""] if items else []
    return "\n".join(lines)


def _mark_table(table: Table) -> list[str]:
    rows = [f"| {' | '.join(map(_literal, cells))} |" for cells in (table.head, *table.rows)]
    rule = "|---" + "|---:" * (len(table.head) - 1) + "|"
    return [f"## {_literal(table.title)}", "", _literal(table.note), "", rows[0], rule, *rows[1:], ""]


def _literal(text: str) -> str:
    """Keep names from being read as markup."""
    return escape(text, quote=False).replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("`", "\\`")


def to_text(evaluation: RoutingEvaluation, *, notes: Sequence[str] = ()) -> list[str]:
    """Return lines of at most 120 columns: the verdict, router and baselines as a table, what the figures stand on."""
    head = ("", "AIQ", *(f"USD at {100 * share:.0f} %" for share in SHARES), "lead of the router")
    rows = [_tell_router(router, evaluation) for router in evaluation.routers]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    best = next(model for model in evaluation.models if model.name == evaluation.best)
    told = [
        "USD per 1,000 prompts at so much of the best single model's quality. AIQ: quality averaged over the span of cost.",
        f"{best.name} alone: quality {tell_interval(best.quality)}, {tell(per_1000(best.cost_usd))} USD. "
        f"n = {evaluation.n:,}, left out {evaluation.left_out:,}, seed {evaluation.seed}; intervals: 95 %.",
        *notes,
    ]
    return [
        *textwrap.wrap(evaluation.verdict.sentence, _COLUMNS),
        "",
        *(_align(row, widths) for row in (head, *rows)),
        "",
        *(line for sentence in told for line in textwrap.wrap(sentence, _COLUMNS)),
    ]


def _tell_router(router: RouterQuality, evaluation: RoutingEvaluation) -> tuple[str, ...]:
    lead = evaluation.differences.get(router.name)
    costs = (router.cost_at[share] for share in SHARES)
    name = router.name if len(router.name) <= _NAME else router.name[: _NAME - 1] + "…"
    return (
        name,
        tell_interval(router.aiq),
        *(tell(per_1000(cost.value)) if cost else "never" for cost in costs),
        tell_lead(lead) if lead else "",
    )


def _align(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()
