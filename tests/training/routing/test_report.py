import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from tests.training.tables import make_outcomes, two_trades
from training.evaluate import Interval
from training.outcomes import Outcomes, split_groups
from training.routing.evaluation import Dial, RoutingEvaluation, evaluate_routing, trace_dial
from training.routing.page import to_html
from training.routing.plots import draw_all, plot_curve
from training.routing.report import to_json, to_markdown, to_text, write_routing
from training.routing.routers import by_task_table, cross_fit, cross_fit_dials
from training.routing.tables import tell, tell_interval, tell_share

HOSTILE = ("<script>alert(1)</script>", "a|b`*_$x$", "<img src=x onerror=y>")
PICTURES = {"curve", "differences", "regret", "dials"}


def evaluate(outcomes: Outcomes) -> RoutingEvaluation:
    folds = split_groups(outcomes, 5, seed=0)
    quality, cost = cross_fit(by_task_table, outcomes, folds)
    dial = trace_dial("router", quality, cost, prices=np.array([100.0, 10.0]))
    named = replace(dial, labels=("", "cheap", "balanced", "quality"))
    floors = Dial(name="quality_floor", choices=dial.choices[1:3], labels=("0.8", "0.9"))
    return evaluate_routing(
        named, quality[:, 1] - quality[:, 0], cross_fit_dials(outcomes, folds, seed=0), outcomes, name="ours.csv", seed=0,
        positions=[floors, replace(floors, name="cost_per_point")],
    )  # fmt: skip


@pytest.fixture(scope="module")
def told() -> RoutingEvaluation:
    return evaluate(replace(two_trades(200), models=HOSTILE))


@pytest.fixture(scope="module")
def unpriced() -> RoutingEvaluation:
    outcomes = two_trades(200)
    return evaluate(make_outcomes(outcomes.score, [math.nan] * 3, tasks=outcomes.tasks))


def test_the_verdict_comes_first_everywhere(told: RoutingEvaluation) -> None:
    plain = told.verdict.sentence
    assert " ".join(to_text(told)).startswith(plain)
    assert plain.startswith("Routing saves 45 % [39, 51] at equal quality")
    assert to_markdown(told).startswith("# Routing saves 45 % [39, 51] at equal quality")
    assert re.search(r"<h1>Routing saves .*?</h1>", to_html(told))


def test_json_holds_every_figure_and_nothing_that_json_lacks(told: RoutingEvaluation) -> None:
    figures = json.loads(to_json(told, notes=["a note"]), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert figures["n"] == 200
    assert [router["name"] for router in figures["routers"]] == [router.name for router in told.routers]
    assert figures["routers"][0]["aiq"] == {
        "value": told.routers[0].aiq.value, "low": told.routers[0].aiq.low, "high": told.routers[0].aiq.high,
    }  # fmt: skip
    assert [point["label"] for point in figures["positions"]["quality_floor"]] == ["0.8", "0.9"]
    assert figures["notes"] == ["a note"]
    assert figures["regret"][0]["task"] in ("coding", "math")


class Page(HTMLParser):
    """Collects the tags of a page, and what they refer to."""

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


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(told: RoutingEvaluation) -> None:
    page = Page(to_html(told))
    assert not {"script", "link", "iframe", "object", "img"} & set(page.tags)
    assert all(reference.startswith("#") for reference in page.references)
    assert page.tags.count("svg") == len(PICTURES)
    assert len(page.ids) == len(set(page.ids))
    targets = {reference[1:] for reference in page.references}
    assert targets <= set(page.ids)
    assert not re.search(r"@import|url\((?!#)", to_html(told))


def test_names_are_never_read_as_markup(told: RoutingEvaluation) -> None:
    page, text = to_html(told), to_markdown(told)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<img" not in page
    assert "<script" not in text
    assert "a\\|b\\`\\*\\_$x$" in text
    heads = {line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("| a\\|b")}
    assert all(count > 2 for count in heads)


def test_the_terminal_gets_lines_that_fit(told: RoutingEvaluation, unpriced: RoutingEvaluation) -> None:
    for evaluation in (told, unpriced):
        lines = to_text(evaluation, notes=["a note " * 30])
        assert max(map(len, lines)) <= 120
    rows = [line.split("  ")[0] for line in to_text(told)]
    assert [name for name in rows if name in {router.name for router in told.routers}] == [r.name for r in told.routers]


def test_everything_is_written_side_by_side(told: RoutingEvaluation, tmp_path: Path) -> None:
    paths = write_routing(tmp_path / "deep" / "out", told)
    assert [path.name for path in paths[:3]] == ["routing.json", "routing.md", "routing.html"]
    assert {path.stem for path in paths[3:]} == {f"routing-{name}" for name in PICTURES}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[3:])
    assert json.loads(paths[0].read_text())["name"] == "ours.csv"


def test_without_costs_quality_is_drawn_alone(unpriced: RoutingEvaluation) -> None:
    figures = draw_all(unpriced)
    assert set(figures) == PICTURES - {"dials"}
    assert "no costs are known" in figures["curve"].axes[0].get_xlabel()
    page = to_html(unpriced)
    assert "What the models cost is not known" in page
    assert "never" in to_markdown(unpriced)


def test_the_curve_shows_every_model_every_preset_and_the_routers(told: RoutingEvaluation) -> None:
    figure = plot_curve(told)
    assert isinstance(figure, Figure)
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.texts if isinstance(text, Annotation)]
    assert set(names) == {*HOSTILE, "cheap", "balanced", "quality"}
    labels = axes.get_legend_handles_labels()[1]
    assert {"router", "zero router", "task table", "kNN-40", "ridge", "best single model"} <= set(labels)
    assert "oracle (out of reach)" in labels


def test_names_on_the_curve_do_not_cover_one_another(told: RoutingEvaluation) -> None:
    figure = plot_curve(told)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_dollar_signs_are_letters(told: RoutingEvaluation) -> None:
    for figure in draw_all(told).values():
        figure.draw_without_rendering()
        assert not any(text.get_parse_math() for text in figure.axes[0].texts)


@pytest.mark.parametrize(
    ("value", "told_so"),
    [
        *((0.75312, "0.753"), (3.3421, "3.34"), (12345.6, "12,300"), (-0.0123, "−0.0123"), (0.0, "0.00")),
        *((math.inf, "∞"), (None, "unknown"), (math.nan, "unknown")),
    ],
)
def test_figures_have_three_digits_and_true_signs(value: float | None, told_so: str) -> None:
    assert tell(value) == told_so


def test_the_ends_of_an_interval_have_the_places_of_its_largest_figure() -> None:
    assert tell_interval(Interval(value=0.0012, low=0.00091, high=math.inf), scale=1000) == "1.20 [0.91, ∞]"
    assert tell_interval(None) == "never"
    assert tell_share(Interval(value=0.456, low=0.394, high=0.521)) == "46 % [39, 52]"
    assert tell_share(Interval(value=-0.004, low=-0.02, high=0.01), signed=True) == "0 % [−2, +1]"
