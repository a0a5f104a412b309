"""Turn a picture into SVG that stands inside an HTML page and follows its colours."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours as (name, in light mode, in dark mode). Pictures are drawn in the light ones, which become variables of the page.
COLOURS = (
    ("paper", "#ffffff", "#15181c"),
    ("ink", "#222222", "#e8e6e3"),
    ("accent", "#1f77b4", "#6ab7f0"),
    ("faint", "#999999", "#8a8f96"),
    ("grid", "#dddddd", "#343a41"),
    ("worse", "#d55e00", "#ff9550"),
    ("green", "#009e73", "#3fd0a4"),
    ("pink", "#cc79a7", "#e9a3c9"),
    ("orange", "#e69f00", "#f2bd4a"),
    ("sky", "#56b4e9", "#9bd6f7"),
)


def to_svg(figure: Figure, name: str, *, label: str) -> str:
    """Return a picture as an SVG element.

    Text stays text. Colours become variables of the page. Ids get the picture's name as a prefix, so that several pictures
    fit on one page. The same picture always gives the same bytes.

    Args:
        figure: The picture.
        name: Name of the picture, unique on the page.
        label: Description for screen readers.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    # The salt replaces matplotlib's random ids, and the missing date keeps the bytes the same.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    document = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", document[document.index("<svg") :], flags=re.DOTALL)
    opening = re.search(r'viewBox="[^"]*"', svg)
    box = opening.group() if opening else ""
    # The element gets no width and height: the page's style sheet sizes it.
    svg = f'<svg {box} role="img" aria-label="{escape(label)}">' + svg[svg.index(">") + 1 :]
    svg = (
        re.sub(r'\bid="', f'id="{name}-', svg).replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    )
    for colour, value, _ in COLOURS:
        svg = svg.replace(value, f"var(--{colour})")
    # Matplotlib writes black for text whose colour was left at its default.
    return svg.replace("#000000", "var(--ink)").strip()
