import csv
from pathlib import Path

import pytest

from router import Router
from tests.router.fakes import classifier, model
from training.compare import Move, compare, rank_changes, summarize, write_changes
from training.datasets import DatasetError
from training.logs import LoggedPrompt

TAUGHT = {"prove it": (0.0, 1.0, 0.0), "a poem": (0.0, 0.0, 1.0), "fix it": (1.0, 0.0, 0.0)}
TAUGHT = {text: tuple(max(p, 1e-9) for p in shares) for text, shares in TAUGHT.items()}
A = {"coding": 0.9, "math": 0.5, "writing": 0.5}
B, C = model("b", 0.6, cost_usd=0.002), model("c", {"coding": 0.1, "math": 0.1, "writing": 0.7}, cost_usd=0.004)
OLD = Router([model("a", A, cost_usd=0.01), B], classifier(TAUGHT), prefer="quality")
NEW = Router([model("a", A | {"math": 0.8}, cost_usd=0.01), B, C], classifier(TAUGHT), prefer="quality")


def log(*texts: str) -> list[LoggedPrompt]:
    return [LoggedPrompt(prompt=text, text=text, row=row) for row, text in enumerate(texts, 2)]


LOG = log("fix it", "prove it", "a poem", "prove it", "prove it")


def test_what_changes_is_counted_as_often_as_it_is_asked() -> None:
    told = summarize(compare(OLD, NEW, LOG, options={}))
    assert (told.n, told.distinct, told.added, told.removed) == (5, 3, ["c"], [])
    assert told.moved.value == pytest.approx(4 / 5)
    assert told.moves == [Move(old="b", new="a", n=3), Move(old="b", new="c", n=1)]
    assert told.retasked.value == 0
    assert told.by_new is not None
    # b gave 0.6 four times; a now 0.8 thrice and c 0.7 once; the code stays with a
    assert told.by_new.old_quality == pytest.approx((0.9 + 4 * 0.6) / 5)
    assert told.by_new.new_quality == pytest.approx((0.9 + 3 * 0.8 + 0.7) / 5)
    assert told.by_new.old_cost_usd == pytest.approx((0.01 + 4 * 0.002) / 5)
    assert told.by_new.new_cost_usd == pytest.approx((0.01 + 3 * 0.01 + 0.004) / 5)
    assert (told.gone, told.barred) == (0, 0)


def test_the_same_folder_changes_nothing() -> None:
    told = summarize(compare(OLD, OLD, LOG, options={}))
    assert (told.moved.value, told.moves, told.by_new and told.by_new.quality_gain.high) == (0, [], 0)


def test_what_changes_most_comes_first() -> None:
    ranked = rank_changes(compare(OLD, NEW, LOG, options={}).changes)
    assert [(change.entry.text, round(change.gain or 0, 3)) for change in ranked] == [("prove it", 0.2), ("a poem", 0.1)]


def test_a_model_that_is_gone_cannot_be_judged_by_the_new_scores() -> None:
    told = summarize(compare(NEW, OLD, log("a poem", "fix it"), options={}))
    assert (told.removed, told.gone) == (["c"], 1)
    assert told.by_new is not None
    assert told.by_new.n == 1
    assert told.by_own.n == 2
    assert rank_changes(compare(NEW, OLD, log("a poem"), options={}).changes)[0].gain is None


def test_options_hold_for_both() -> None:
    capped = compare(OLD, NEW, LOG, options={"max_cost_usd": 0.005})
    assert {change.old.model for change in capped.changes} == {"b"}
    with pytest.raises(DatasetError, match="found none in this log; relax the options"):
        compare(OLD, NEW, LOG, options={"max_cost_usd": 0.0001})


def test_changes_are_written_safe_for_a_spreadsheet(tmp_path: Path) -> None:
    changes = compare(OLD, NEW, [*LOG, *log("=1+1")], options={}).changes
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
