import re
from html.parser import HTMLParser

from training.verdict.evaluation import RoutingEvaluation
from training.verdict.page import to_html


class Page(HTMLParser):
    """Collects the tags of a page, their ids, and the addresses that they refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.references += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")
        ]
        self.ids += [given["id"] or ""] if "id" in given else []


def test_the_verdict_is_the_heading(evaluation: RoutingEvaluation) -> None:
    assert re.search(r"<h1>Routing saves .*?</h1>", to_html(evaluation))


def test_the_page_loads_nothing_and_has_no_script(evaluation: RoutingEvaluation) -> None:
    html = to_html(evaluation)
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "img"} & set(page.tags)
    assert all(reference.startswith("#") for reference in page.references)
    assert not re.search(r"@import|url\((?!#)", html)


def test_the_four_pictures_have_different_ids(evaluation: RoutingEvaluation) -> None:
    page = Page(to_html(evaluation))
    assert page.tags.count("svg") == 4
    assert len(page.ids) == len(set(page.ids))
    assert {reference[1:] for reference in page.references} <= set(page.ids)


def test_names_are_never_read_as_markup(evaluation: RoutingEvaluation) -> None:
    page = to_html(evaluation)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<img" not in page


def test_without_costs_the_page_compares_quality_only(unpriced: RoutingEvaluation) -> None:
    assert "Costs are not known, so this page compares quality only." in to_html(unpriced)
