import csv
from pathlib import Path
from typing import Any

import pytest

from router.errors import InputError
from training.data.benchmark import read_benchmark
from training.data.table import DatasetError
from training.measure.item import Grade
from training.measure.plan import MeasurePlan, read_plan
from training.measure.results import ResultsFile, identify
from training.measure.store import Answer
from training.measure.summary import find_agreement, summarize

ANSWER = Answer(text="hi", finish_reason="stop", cost_usd=0.001, input_tokens=9, output_tokens=4, latency_s=1.25)
FACTS = {"small": {"provider": "maker", "input_usd_per_mtok": "0.5"}}
HEADER = ("prompt", "task", "benchmark", "model", "expected_cost_usd", "grader", "expected")


def read(path: Path, **more: Any) -> MeasurePlan:
    return read_plan(path, models=["small", "large"], tasks=["qa", "math"], **more)


def plan_row(prompt: str, model: str = "small", grader: str = "exact", expected: str = "4") -> dict[str, str]:
    how = {"judge": "", "parameters": "{}"}
    return {
        "prompt": prompt,
        "task": "qa",
        "benchmark": "own",
        "model": model,
        "grader": grader,
        "expected": expected,
        **how,
    }


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_plan_keeps_all_its_columns_and_its_order(tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    path.write_text(
        "Prompt,Task,model,grader,expected,tolerance,options,note\n"
        "2 + 2?,Math,small,number,4,0.5,,b\n"
        '"which?\nA) x",qa,large,,y,,x | y,a\n'
        "2 + 2?,math,small,number,4,0.5,,again\n"
    )
    found = read(path, grader="choice")
    assert found.header == ("prompt", "task", "model", "grader", "expected", "tolerance", "options", "note")
    first, second = found.rows
    assert (first.model, first.grader, first.item.expected, first.item.tolerance) == ("small", "number", "4", 0.5)
    assert (first.fields["task"], first.fields["note"]) == ("math", "b")
    assert (second.grader, second.item.options, second.item.prompt) == ("choice", ("x", "y"), "which?\nA) x")
    assert found.repeated == 1
    assert "which" not in repr(second)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (" ,qa,small,exact,4,", "prompt must not be empty"),
        ("hi,qa, ,exact,4,", "model must not be empty"),
        ("hi,chess,small,exact,4,", "task 'chess' is unknown"),
        ("hi,qa,small,,4,", "grader must be one of exact, number"),
        ("hi,qa,small,exact,,", "expected must not be empty for the grader exact"),
        ("hi,qa,small,number,four,", "expected must hold a number"),
        ("hi,qa,small,choice,Paris,", "expected must be a letter or the text of an option"),
        ("hi,qa,small,regex,(,", "expected must be a regular expression"),
        ("hi,qa,small,code,assert (,", "expected must be tests in Python"),
        ("hi,qa,small,judge-pair,,", "expected must not be empty for the grader judge-pair"),
        ("hi,qa,small,number,4,-1", "tolerance must be a finite number of at least 0"),
    ],
)
def test_each_mistake_is_reported_with_its_row_before_anything_is_paid(row: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    path.write_text(f"prompt,task,model,grader,expected,tolerance\nok,qa,small,exact,1,\n{row}\n")
    with pytest.raises(DatasetError, match=r"row 3: ") as raised:
        read(path)
    assert message in str(raised.value)
    assert "'hi'" not in str(raised.value)


def test_rows_of_models_that_cannot_be_asked_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    path.write_text("prompt,model,grader,expected\nhi,small,exact,4\nhi,huge,,\nho,huge,exact,4\n")
    found = read(path)
    assert [row.model for row in found.rows] == ["small"]
    assert found.unknown == {"huge": 2}
    path.write_text("prompt,model,grader,expected\nhi,huge,exact,4\n")
    with pytest.raises(DatasetError, match="these are: small, large"):
        read(path)


def test_a_judge_needs_no_expected_answer_and_a_pair_may_be_compared_with_a_model(tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    path.write_text("prompt,model,grader\nhi,small,judge\nhi,small,judge-pair\n")
    assert [row.grader for row in read(path, against="large").rows] == ["judge", "judge-pair"]


def test_results_are_a_benchmark_file(tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    prompts = ['say "hi", please', "two\nlines", "=1+1", "plain"]
    rows = [plan_row(prompt, model) for prompt in prompts for model in ("small", "large")]
    with ResultsFile(out, HEADER, set(map(identify, rows)), FACTS) as results:
        for row in rows:
            results.add(row, ANSWER, Grade(0.5))
    found = read_benchmark(out)
    assert found.notes == ()
    assert found.results.prompts == tuple(prompts)
    first = found.results[0]
    assert (first.score, first.cost_usd, first.input_tokens, first.output_tokens, first.latency_s) == (
        0.5,
        0.001,
        9,
        4,
        1.25,
    )
    assert (first.task, first.benchmark) == ("qa", "own")
    assert read_rows(out)[0]["expected_cost_usd"] == ""
    assert (found.facts["small"].provider, found.facts["small"].input_usd_per_mtok) == ("maker", 0.5)
    # A later run knows another price, which must hold for all rows.
    with ResultsFile(out, HEADER, set(), {"small": {"input_usd_per_mtok": "0.25"}}):
        pass
    assert read_benchmark(out).facts["small"].input_usd_per_mtok == 0.25


def test_every_cut_of_the_file_loses_at_most_the_last_row(tmp_path: Path) -> None:
    out, rows = tmp_path / "results.csv", [plan_row('a "quoted"\nprompt'), plan_row('another\n"\n"')]
    wanted = set(map(identify, rows))
    with ResultsFile(out, HEADER, wanted, FACTS) as results:
        first_ends = []
        for row in rows:
            first_ends.append(out.stat().st_size)
            results.add(row, ANSWER, Grade(1.0))
    whole = out.read_bytes()
    for end in range(first_ends[0], len(whole)):
        out.write_bytes(whole[:end])
        with ResultsFile(out, HEADER, wanted, FACTS) as results:
            assert [results.has(row) for row in rows] == [end >= first_ends[1], False]
        # What is left is whole again.
        assert len(read_rows(out)) == (end >= first_ends[1])


def test_a_row_that_is_graded_in_another_way_replaces_the_old_one_and_other_rows_stay(tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    old, other = plan_row("old"), plan_row("other")
    with ResultsFile(out, HEADER, set(map(identify, (old, other))), FACTS) as results:
        for row in (old, other):
            results.add(row, ANSWER, Grade(0.0))
    changed = {**old, "grader": "regex", "note": "new column"}
    with ResultsFile(out, (*HEADER, "note"), {identify(changed)}, FACTS) as results:
        assert (results.has(changed), results.replaced, results.rows) == (False, 1, [])
        results.add(changed, ANSWER, Grade(1.0))
    assert [(row["prompt"], row["grader"], row["score"]) for row in read_rows(out)] == [
        ("other", "exact", "0.0"),
        ("old", "regex", "1.0"),
    ]
    # Other parameters are another measurement, too.
    with ResultsFile(out, HEADER, {identify({**changed, "parameters": '{"max_tokens": 1}'})}, FACTS) as results:
        assert results.replaced == 1


@pytest.mark.parametrize("content", ["prompt,model\nhello,small\n", "my notes\n\n1,2,3\n", 'a,b\n"x"y,1\n', "a,b\n\xff\n"])
def test_another_file_is_not_overwritten(content: str, tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    out.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match="name a new file"):
        ResultsFile(out, HEADER, set(), {})
    assert out.read_bytes() == content.encode("latin-1")


def test_the_summary_has_the_figures_of_each_model() -> None:
    def row(model: str, score: str, agreed: str = "", cost: str = "0.5", end: str = "stop") -> dict[str, str]:
        figures = {"cost_usd": cost, "latency_s": "2.0", "finish_reason": end}
        return {"model": model, "score": score, "judge_agreed": agreed, **figures}

    rows = [row("a", "0.0", "1"), row("a", "1.0", "0", "", "length"), row("b", "1.0", "1"), row("b", "1.0")]
    best, other = summarize(rows)
    # By hand, with z² = 3.8415: 1 / (1 + z² / 2), and 0.5 ± z / (2 · √(2 + z²)).
    assert (best.model, best.score, best.high, best.n) == ("b", 1.0, 1.0, 2)
    assert best.low == pytest.approx(0.3424, abs=1e-4)
    assert (other.low, other.high) == pytest.approx((0.0945, 0.9055), abs=1e-4)
    assert (other.model, other.score, other.cost_usd, other.latency_s, other.cut) == ("a", 0.5, 0.5, 2.0, 1)
    assert find_agreement(rows).agreed == 2
    assert find_agreement(rows).n == 3
