"""Show a routing evaluation as one HTML page for readers who know no paper about routing.

The page has no script and loads nothing, so it can be mailed and opened anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from training.verdict.explain import describe_measurement, explain, explain_pair
from training.verdict.glossary import GLOSSARY
from training.verdict.svg import COLOURS, to_svg
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
    from matplotlib.figure import Figure

    from training.verdict.evaluation import RoutingEvaluation

_CAPTIONS = {
    "curve": "Quality and cost. Higher is better, and farther left is cheaper. The thick blue line is the router. Dots are "
    "models used alone. The star is the best of them.",
    "differences": "The router's lead in AIQ over each baseline, with its interval. If a line touches 0, the router may not "
    "be better.",
    "dials": "Quality and cost for several values of each option of the router. Each panel shows one option in blue and the "
    "others in grey. Grey dots are single models.",
    "regret": "Score that a perfect choice of model would still add, by task. Shorter is better.",
}
_STYLE = """
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.05rem/1.55 system-ui, sans-serif; }
main { max-width: 58rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: clamp(1.6rem, 4.5vw, 2.5rem); line-height: 1.2; margin: 0 0 .8rem; padding-left: .9rem;
  border-left: .4rem solid var(--accent); overflow-wrap: anywhere; }
h1.stay { border-color: var(--worse); }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .5rem; }
p, li, dd { max-width: 44rem; overflow-wrap: break-word; }
.about, .note, figcaption { color: var(--ink); opacity: .78; font-size: .95rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .95rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .9rem .4rem 0; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child { text-align: left; }
thead th { border-bottom: 2px solid var(--faint); }
tbody th { font-weight: normal; }
tr.own th, tr.own td { font-weight: 650; color: var(--accent); }
figure { margin: 1.6rem 0; }
svg { display: block; width: 100%; min-width: 40rem; height: auto; }
summary { cursor: pointer; font-weight: 650; margin-top: 2.6rem; }
dt { font-weight: 650; margin-top: .8rem; }
dd { margin: 0; }
@media print { main { max-width: none; padding: 0; } h2, h1 { break-after: avoid; }
  figure, table, dt { break-inside: avoid; }
  .scroll { overflow: visible; } svg { min-width: 0; } table { font-size: .8rem; }
  details::details-content { content-visibility: visible; display: block; height: auto; } }
"""


def to_html(evaluation: RoutingEvaluation, *, notes: Sequence[str] = ()) -> str:
    """Return the page: verdict, meaning, pictures as inline SVG, tables, terms, and method.

    Args:
        evaluation: The figures.
        notes: Further sentences on how they were measured.

    Raises:
        ImportError: If matplotlib (extra `plots`) is not installed.
    """
    from training.verdict.plots import draw_all

    pictures = {name: _show_picture(name, figure) for name, figure in draw_all(evaluation).items()}
    about = f"{evaluation.name}: {evaluation.n:,} prompts, {len(evaluation.models)} models"
    # The heading gets another colour if the verdict is not to route.
    stay = "" if evaluation.verdict.route else ' class="stay"'
    tables = (tabulate_costs, tabulate_settings, tabulate_verdict)
    parts = [
        f"<h1{stay}>{escape(evaluation.verdict.sentence)}</h1>",
        f'<p class="about">{escape(about)}</p>',
        "<h2>What it means</h2>",
        *(f"<p>{escape(paragraph)}</p>" for paragraph in explain(evaluation)),
        pictures.get("curve", ""),
        pictures.get("dials", ""),
        *(_show_table(tabulate(evaluation)) for tabulate in tables),
        _show_table(tabulate_routers(evaluation)),
        pictures.get("differences", ""),
        _show_table(tabulate_regret(evaluation)),
        pictures.get("regret", ""),
        _list_items("Two models only", explain_pair(evaluation)),
        _show_table(tabulate_models(evaluation)),
        _list_items("How it was measured", describe_measurement(evaluation, notes)),
        _show_glossary(GLOSSARY),
    ]
    return _lay_out(evaluation.name, parts)


def _lay_out(name: str, parts: Iterable[str]) -> str:
    """Return the document around its parts."""
    light = " ".join(f"--{colour}: {value};" for colour, value, _ in COLOURS)
    dark = " ".join(f"--{colour}: {value};" for colour, _, value in COLOURS)
    style = f":root {{ color-scheme: light dark; {light} }}\n"
    style += f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}{_STYLE}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Routing: {escape(name)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _show_table(table: ReportTable) -> str:
    if not table.rows:
        return ""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    body = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for name, *cells in table.rows
    )
    return (
        f'<h2>{escape(table.title)}</h2>\n<p class="note">{escape(table.note)}</p>\n'
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
    )


def _list_items(title: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    return f"<h2>{escape(title)}</h2>\n<ul>\n" + "\n".join(f"<li>{escape(item)}</li>" for item in items) + "\n</ul>"


def _show_glossary(terms: Mapping[str, str]) -> str:
    entries = "\n".join(f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in terms.items())
    # Closed by default: most readers know the words, and the style sheet opens it for printing.
    return f"<details>\n<summary>What the words mean</summary>\n<dl>\n{entries}\n</dl>\n</details>"


def _show_picture(name: str, figure: Figure) -> str:
    caption = _CAPTIONS[name]
    svg = to_svg(figure, name, label=caption)
    return f'<figure>\n<div class="scroll">{svg}</div>\n<figcaption>{escape(caption)}</figcaption>\n</figure>'
