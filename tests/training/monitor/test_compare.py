import csv
from pathlib import Path

import pytest

from router.options import RouteOptions
from tests.training.monitor.routers import LOG, NEW, OLD
from tests.training.monitor.samples import log
from training.data.table import DatasetError
from training.monitor.compare import compare, rank_changes, write_changes


def test_the_largest_gain_comes_first_and_an_unknown_one_last() -> None:
    ranked = rank_changes(compare(OLD, NEW, LOG, options=RouteOptions()).changes)
    assert [(change.entry.text, round(change.gain or 0, 3)) for change in ranked] == [("prove it", 0.2), ("a poem", 0.1)]
    assert rank_changes(compare(NEW, OLD, log("a poem"), options=RouteOptions()).changes)[0].gain is None


def test_options_apply_to_both_folders() -> None:
    capped = compare(OLD, NEW, LOG, options=RouteOptions(max_cost_usd=0.005))
    assert {change.old.model for change in capped.changes} == {"b"}
    with pytest.raises(DatasetError, match="found none; relax the options"):
        compare(OLD, NEW, LOG, options=RouteOptions(max_cost_usd=0.0001))


def test_changes_are_written_safe_for_a_spreadsheet(tmp_path: Path) -> None:
    changes = compare(OLD, NEW, [*LOG, *log("=1+1")], options=RouteOptions()).changes
    write_changes(tmp_path / "changes.csv", changes)
    with (tmp_path / "changes.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["old_model"], row["new_model"], row["times"]) for row in rows[:3]] == [
        ("a", "a", "1"),
        ("b", "a", "3"),
        ("b", "c", "1"),
    ]
    assert rows[1]["gain"] == "0.2"
    assert rows[3]["prompt"] == "'=1+1"
