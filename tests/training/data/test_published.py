import csv
from pathlib import Path

import pytest

from training.data.benchmark import read_benchmark
from training.data.published import elo_sample_size, expected_score, normalize_figures
from training.data.table import DatasetError

MODELS = (
    "model,provider,input_usd_per_mtok,output_usd_per_mtok,context_window,capabilities,as_of,source\n"
    "a,Acme,1.5,6,128000,tools,2026-11,price list\nr,,,,,,,\n"
)
HEADER = "model,task,benchmark,value,scale,n,ci_low,ci_high,cost_usd,source\n"


def normalize(folder: Path, figures: str, *, reference: str = "r") -> list[dict[str, str]]:
    (folder / "figures.csv").write_text(HEADER + figures)
    (folder / "models.csv").write_text(MODELS)
    out = folder / "out.csv"
    count = normalize_figures(folder / "figures.csv", folder / "models.csv", out, reference=reference)
    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert count == len(rows)
    return rows


@pytest.mark.parametrize(("rating", "expected"), [(1400, 1 / 2), (1800, 10 / 11), (1000, 1 / 11)])
def test_expected_score_by_hand(rating: float, expected: float) -> None:
    assert expected_score(rating, 1400) == pytest.approx(expected)


def test_elo_sample_size_by_hand() -> None:
    # ± 9.8 is a standard error of 5, slope ln(10)/400 · 0.25 = 0.00143912; 0.25 / (5 · 0.00143912)² = 4828.5.
    assert elo_sample_size(1400, 1400, 1390.2, 1409.8) == pytest.approx(4828.5, abs=0.1)
    # ± 19.6 at 10/11 is a standard error of 10: 1 / (10/121 · (10 · 0.00575646)²) = 3651.5.
    assert elo_sample_size(1800, 1400, 1780.4, 1819.6) == pytest.approx(3651.5, abs=0.1)


@pytest.mark.parametrize(("low", "high"), [(1400, 1400), (0, 2800)])
def test_elo_sample_size_is_at_least_one(low: float, high: float) -> None:
    assert elo_sample_size(1400, 1400, low, high) == 1


def test_percent_fraction_and_elo_become_scores_and_facts_are_written_once(tmp_path: Path) -> None:
    rows = normalize(
        tmp_path,
        "a,qa,x,51.67,percent,20,,,0.25,S1\na,math,y,0.25,fraction,,,,,S2\na,qa,arena,1800,elo,,1780.4,1819.6,,S3\n"
        "r,qa,arena,1400,elo,,1390.2,1409.8,,S3\n",
    )
    assert [(r["model"], r["task"], r["score"], r["benchmark"], r["n"], r["cost_usd"], r["source"]) for r in rows] == [
        ("a", "qa", "0.5167", "x", "20", "0.25", "S1"),
        ("a", "math", "0.2500", "y", "", "", "S2"),
        ("a", "qa", "0.9091", "arena vs r", "3652", "", "S3"),
        ("r", "qa", "0.5000", "arena vs r", "4828", "", "S3"),
    ]
    assert [r["provider"] for r in rows] == ["Acme", "", "", ""]
    assert (rows[0]["input_usd_per_mtok"], rows[0]["price_source"]) == ("1.5", "price list")
    assert read_benchmark(tmp_path / "out.csv").facts["a"].context_window == 128_000


def test_the_cost_of_a_case_with_many_calls_is_left_out(tmp_path: Path) -> None:
    assert normalize(tmp_path, "a,coding,aider/polyglot,80,percent,225,,,0.3,S\n")[0]["cost_usd"] == ""


def test_a_field_that_a_spreadsheet_would_run_is_escaped(tmp_path: Path) -> None:
    assert normalize(tmp_path, "a,qa,=1+1,80,percent,,,,,S\n")[0]["benchmark"] == "'=1+1"


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ("a,qa,x,5,stars,,,,,S", "scale must be fraction, percent or elo, got 'stars'; correct it"),
        ("a,qa,arena,1400,elo,,1390,1410,,S", "arena has no rating of the reference 'r'; choose another one"),
        ("b,qa,x,50,percent,,,,,S", "has no row for 'b'; add one"),
        ("a,qa,x,good,percent,,,,,S", "value must be a finite number, got 'good'; correct it"),
        ("a,qa,x,nan,percent,,,,,S", "value must be a finite number, got 'nan'; correct it"),
        ("a,qa,x,150,percent,,,,,S", "value must be on its scale, got 150 percent; correct it"),
        ("a,qa,x,85,fraction,,,,,S", "value must be on its scale, got 85 fraction; correct it"),
        ("r,qa,arena,1400,elo,,,,,S", "ci_low must be a finite number, got ''; correct it"),
    ],
)
def test_a_wrong_figure_is_named_by_row_and_the_output_file_stays(tmp_path: Path, figure: str, message: str) -> None:
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(DatasetError) as caught:
        normalize(tmp_path, f"a,qa,x,50,percent,,,,,S\n{figure}\n")
    assert "figures.csv row 3" in str(caught.value)
    assert message in str(caught.value)
    assert (tmp_path / "out.csv").read_text() == "precious"
