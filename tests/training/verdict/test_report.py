import json
from pathlib import Path

import pytest

from training.verdict.evaluation import RoutingEvaluation
from training.verdict.report import to_json, to_markdown, to_text, write_routing

PICTURES = {"curve", "differences", "regret", "dials"}


def test_the_verdict_comes_first(evaluation: RoutingEvaluation) -> None:
    sentence = evaluation.verdict.sentence
    assert sentence.startswith("Routing saves 45 % [39, 51] at equal quality")
    assert " ".join(to_text(evaluation)).startswith(sentence)
    assert to_markdown(evaluation).startswith("# Routing saves 45 % [39, 51] at equal quality")


def test_json_has_every_figure_and_no_infinity(evaluation: RoutingEvaluation) -> None:
    figures = json.loads(
        to_json(evaluation, notes=["a note"]), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )
    assert figures["n"] == 200
    assert [router["name"] for router in figures["routers"]] == [router.name for router in evaluation.routers]
    aiq = evaluation.routers[0].aiq
    assert figures["routers"][0]["aiq"] == {"value": aiq.value, "low": aiq.low, "high": aiq.high}
    assert [point["label"] for point in figures["positions"]["quality_floor"]] == ["0.8", "0.9"]
    assert figures["notes"] == ["a note"]
    assert figures["regret"][0]["task"] in ("coding", "math")


def test_names_in_markdown_are_never_read_as_markup(evaluation: RoutingEvaluation) -> None:
    text = to_markdown(evaluation)
    assert "<script" not in text
    assert "a\\|b\\`\\*\\_$x$" in text
    columns = {line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("| a\\|b")}
    assert all(count > 2 for count in columns)


def test_lines_for_the_terminal_have_at_most_120_columns(evaluation: RoutingEvaluation, unpriced: RoutingEvaluation) -> None:
    for each in (evaluation, unpriced):
        assert max(map(len, to_text(each, notes=["a note " * 30]))) <= 120
    routers = [router.name for router in evaluation.routers]
    names = [line.split("  ")[0] for line in to_text(evaluation)]
    assert [name for name in names if name in routers] == routers


def test_all_formats_are_written_to_one_folder(evaluation: RoutingEvaluation, tmp_path: Path) -> None:
    paths = write_routing(tmp_path / "deep" / "out", evaluation)
    assert [path.name for path in paths[:3]] == ["routing.json", "routing.md", "routing.html"]
    assert {path.stem for path in paths[3:]} == {f"routing-{name}" for name in PICTURES}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[3:])
    assert json.loads(paths[0].read_text())["name"] == "ours.csv"


def test_without_costs_markdown_says_never(unpriced: RoutingEvaluation) -> None:
    assert "never" in to_markdown(unpriced)
