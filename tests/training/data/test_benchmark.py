from pathlib import Path

import pytest

from tests.training.data.files import check_error, write
from training.data.benchmark import read_benchmark
from training.data.facts import ModelFacts
from training.data.table import DatasetError
from training.quality.profiles import learn_models

BROKEN_LONG = {
    "header only": ("model,task,score\n", "", "at least one result", "add rows"),
    "NaN": ("model,task,score\na,qa,nan\n", "row 2", "score must be a finite number", "got 'nan'; correct it"),
    "n of zero": ("model,task,score,n\na,qa,.5,0\n", "row 2", "n must be above 0", "leave it empty"),
    "infinite": ("model,task,score,n\na,qa,.5,inf\n", "row 2", "n must be a finite number", "got 'inf'; correct it"),
    "no number": ("model,task,score\na,qa,good\n", "row 2", "score must be a finite number", "got 'good'; correct"),
    "negative cost": ("model,task,score,cost_usd\na,qa,.5,-1\n", "row 2", "cost_usd must be", "correct it"),
    "negative price": ("model,task,score,input_usd_per_mtok\na,qa,.5,-2\n", "row 2", "input_usd_per_mtok must", "correct"),
    "score above 1": ("model,task,score\na,qa,85\n", "row 2", "score must be in [0, 1], got 85", "divide it"),
    "score below 0": ("model,task,score\na,qa,-0.1\n", "row 2", "score must be", "got '-0.1'; correct it"),
    "empty score": ("model,task,score\na,qa,\n", "row 2", "score must not be empty", "fill it in"),
    "empty model": ("model,task,score\n,qa,.5\n", "row 2", "model must not be empty", "fill it in"),
    "neither task nor prompt": ("model,task,score\na,,.5\n", "row 2", "must have a task or a prompt", "fill one in"),
    "a name alone": ("model,task,score,provider\na,,,\n", "row 2", "must have a task or a prompt", "fill one in"),
    "unknown task": ("model,task,score\na,cooding,1\n", "row 2", "task 'cooding' is unknown; known: coding", "rename it"),
    "no known task": ("model,task,score\na,x,1\nb,x,1\na,y,1\n", "row 2", "none of the tasks", "got 'x', 'y'; known:"),
    "thousands": ("model,task,score,n\na,qa,.5,1.000\n", "row 2", "n must be a number without separators", "digits"),
    "a window with a comma": (
        'model,task,score,context_window\na,qa,.5,"128,000"\n', "row 2", "context_window must be a number without", "digits",
    ),
    "a window in words": ("model,task,score,context_window\na,qa,.5,128k\n", "row 2", "got '128k'", "digits only"),
    "decimals or thousands": ('model,task,score,cost_usd\na,qa,.5,"1,250"\n', "row 2", "got '1,250'", "a dot before"),
    "facts that disagree": (
        "model,task,score,provider\na,qa,.5,X\na,math,.5,Y\n", "row 3", "the same in all its rows, got 'X' and 'Y'", "; ",
    ),
    "a window of no token": ("model,task,score,context_window\na,qa,.5,0.5\n", "row 2", "context_window", "; "),
    "no size": ("model,task,score,parameters_b\na,qa,.5,0\n", "row 2", "parameters_b must be above 0, got 0", "leave it"),
    "no date": ("model,task,score,released\na,qa,.5,May 2026\n", "row 2", "as YYYY-MM-DD or YYYY-MM, got 'May", "leave it"),
    "month 13": ("model,task,score,released\na,qa,.5,2026-13\n", "row 2", "released must be a date", "leave it"),
    "NUL": ("model,task,score,x\na,qa,1,b\0\n", "row 2", "NUL characters, found in ['x']", "remove them"),
    "not UTF-8": (b"model,task,score\na,qa,1\nb\xe9,qa,1\n", "row 3", "must be UTF-8", "save it"),
    "two groups": ("model,prompt,score,group\na,p,1,g\nb,p,1,\nc,p,1,h\n", "row 4", "got 'g' and 'h'", "correct one"),
    "facts that disagree later": (
        "model,task,score,provider\na,qa,.5,X\na,qa,.5,X\nb,qa,.5,Y\na,math,.5,Y\n", "row 5", "'X' and 'Y'", "; ",
    ),
}  # fmt: skip
BROKEN_WIDE = {
    "header only": ("prompt,a,a|total_cost\n", "", "at least one result", "add rows"),
    "nothing measured": ("prompt,a,a|total_cost\np,,\n", "", "at least one result", "add rows"),
    "no cost": ("prompt,a,a|total_cost,b,b|model_response\np,1,0,1,x\n", "row 1", "['b|total_cost'] are missing", "add"),
    "no score": ("prompt,a,a|total_cost,b|total_cost\np,1,0,0\n", "row 1", "columns ['b'] are missing", "add them"),
    "duplicate header": ("prompt,a,a,a|total_cost\np,1,1,0\n", "row 1", "repeated: ['a']", "rename"),
    "score above 1": ("prompt,a,a|total_cost\np,85,0\n", "row 2", "a must be in [0, 1], got 85", "divide it"),
    "NaN": ("prompt,a,a|total_cost\np,nan,0\n", "row 2", "a must be a finite number", "got 'nan'; correct it"),
    "negative cost": ("prompt,a,a|total_cost\np,1,-2\n", "row 2", "a|total_cost must be a finite number", "got '-2'"),
    "neither task nor prompt": ("prompt,a,a|total_cost\n,1,0\n", "row 2", "must have a task or a prompt", "fill one in"),
    "unknown task": ("prompt,task,a,a|total_cost\np,cooding,1,0\n", "row 2", "task 'cooding' is unknown", "rename it"),
    "NUL": ("prompt,a,a|total_cost,a|model_response\np,1,0,b\0\n", "row 2", "found in ['a|model_response']", "remove"),
    "two groups": ("prompt,group,a,a|total_cost\np,g,1,0\np,h,1,0\n", "row 3", "got 'g' and 'h'", "correct one"),
    "ragged row": ("prompt,a,a|total_cost\np,1\n", "row 2", "must have 3 fields", "quote fields"),
    "no pair": ("prompt,a,b\np,1,1\n", "row 1", "columns ['model', 'score'] are missing", "add them"),
}


@pytest.mark.parametrize("case", BROKEN_LONG)
def test_an_error_in_a_long_table_names_file_row_rule_and_remedy(tmp_path: Path, case: str) -> None:
    check_error(read_benchmark, tmp_path, BROKEN_LONG[case])


@pytest.mark.parametrize("case", BROKEN_WIDE)
def test_an_error_in_a_wide_table_names_file_row_rule_and_remedy(tmp_path: Path, case: str) -> None:
    check_error(read_benchmark, tmp_path, BROKEN_WIDE[case])


def test_a_row_is_a_result_of_one_prompt_or_of_n(tmp_path: Path) -> None:
    header = "model,task,score,prompt,n,cost_usd,output_tokens,latency_s\n"
    content = header + "m,qa,1,hi,7,,,\nm,,0,hi,,0.5,10,2\nm,qa,.5,,40,,,\n"
    results = read_benchmark(write(tmp_path, "b.csv", content)).results
    assert [(result.task, result.n) for result in results] == [("qa", 1), ("", 1), ("qa", 40)]
    assert [result.cost_usd for result in results] == [None, 0.5, None]
    assert (results[1].output_tokens, results[1].latency_s) == (10, 2)


def test_facts_may_be_in_one_row_only(tmp_path: Path) -> None:
    header = "model,task,score,provider,input_usd_per_mtok,context_window,capabilities,source\n"
    content = header + "b,qa,.5,,,,,first\na,qa,.5,,,,,\nb,math,.5,P,1.5,128000,tools | vision,second\n"
    facts = read_benchmark(write(tmp_path, "b.csv", content)).facts
    able = frozenset({"tools", "vision"})
    known = ModelFacts(provider="P", input_usd_per_mtok=1.5, context_window=128_000, capabilities=able, source="first")
    assert list(facts.items()) == [("b", known), ("a", ModelFacts())]


def test_a_date_of_release_and_a_size_are_read(tmp_path: Path) -> None:
    content = "model,task,score,released,parameters_b\na,qa,.5,2025-08-05,116.8\nb,qa,.5,2026-04,\n"
    facts = read_benchmark(write(tmp_path, "b.csv", content)).facts
    assert facts == {"a": ModelFacts(released="2025-08-05", parameters_b=116.8), "b": ModelFacts(released="2026-04")}


def test_a_prompt_is_in_the_group_that_any_of_its_rows_names(tmp_path: Path) -> None:
    content = "model,prompt,score,group\na,p,1,\nb,p,1, g\na,q,1,\nc,p,1,\n"
    results = read_benchmark(write(tmp_path, "b.csv", content)).results
    assert (results.prompts, results.groups) == (("p", "q"), ("g", ""))
    assert [row.group for row in results] == ["g", "g", "", "g"]


def test_a_wide_table_reads_as_the_long_one(tmp_path: Path) -> None:
    wide = (
        "sample_id,prompt,eval_name,a,big/b,a|model_response,big/b|model_response,a|total_cost,big/b|total_cost,"
        "oracle_model_to_route_to\n"
        "s.1,['hi'],mmlu,0.25,1.0,[],[],0.5,2,big/b\n"
        "s.2,there,grade,,0.0,,[],,,big/b\n"
    )
    long = "model,prompt,score,benchmark,cost_usd\na,['hi'],0.25,mmlu,0.5\nbig/b,['hi'],1,mmlu,2\nbig/b,there,0,grade,\n"
    read, same = read_benchmark(write(tmp_path, "w.csv", wide)), read_benchmark(write(tmp_path, "l.csv", long))
    assert list(read.results) == list(same.results)
    assert read.facts == same.facts == {"a": ModelFacts(), "big/b": ModelFacts()}


def test_a_wide_table_may_name_tasks_and_groups(tmp_path: Path) -> None:
    content = "prompt,task,group,a,a|total_cost\np, qa,g,1,0\n,math,,.5,\n"
    first, second = read_benchmark(write(tmp_path, "w.csv", content)).results
    assert (first.task, first.group, first.n, first.cost_usd) == ("qa", "g", 1, 0)
    assert (second.task, second.prompt, second.n, second.cost_usd) == ("math", "", None, None)


def test_a_remedy_for_a_task_of_a_benchmark_names_no_flag(tmp_path: Path) -> None:
    path = write(tmp_path, "b.csv", "model,task,score\na,math,1\na,qa,1\na,legal,1\nb,legal,1\na,tax,1\n")
    with pytest.raises(DatasetError) as caught:
        read_benchmark(path, tasks=("math", "qa"))
    remedy = "known: math, qa; rename it, remove its rows, or leave it empty in rows with a prompt"
    assert str(caught.value).splitlines() == [
        f"{path} row 4: task 'legal' is unknown; {remedy}",
        f"{path} row 6: task 'tax' is unknown; {remedy}",
    ]


def test_columns_and_known_tasks_may_be_in_any_case_but_models_keep_theirs(tmp_path: Path) -> None:
    long = "Model, Task ,SCORE,Latency S,Input-USD-per-MTok\nGPT-5,Math,.5,2,1.5\nGPT-5,math,.7,4,\n"
    wide = "Prompt,Eval Name,GPT-5,GPT-5 | Total_Cost\np,x,.5,.01\n"
    read = read_benchmark(write(tmp_path, "l.csv", long))
    assert (read.results.models, read.results.tasks) == (("GPT-5",), ("math",))
    assert ([row.latency_s for row in read.results], read.facts["GPT-5"].input_usd_per_mtok) == ([2, 4], 1.5)
    (row,) = read_benchmark(write(tmp_path, "w.csv", wide)).results
    assert (row.model, row.benchmark, row.cost_usd) == ("GPT-5", "x", 0.01)


def test_a_file_with_semicolons_may_have_decimal_commas(tmp_path: Path) -> None:
    content = "model;task;score;latency_s;input_usd_per_mtok\na;qa;0,85;1,234;2,5\na;math;.5;1.5;2.50\n"
    read = read_benchmark(write(tmp_path, "b.csv", content))
    assert [(row.score, row.latency_s) for row in read.results] == [(0.85, 1.234), (0.5, 1.5)]
    assert read.facts["a"].input_usd_per_mtok == 2.5


@pytest.mark.parametrize("text", ["Vision|Tools", '"tools,vision"', "tools; vision", "\"['tools', 'vision']\""])
def test_capabilities_are_read_as_people_write_them(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "b.csv", f"model,task,score,capabilities\na,qa,1,{text}\na,math,1,tools|vision\n")
    assert read_benchmark(path).facts["a"].capabilities == {"tools", "vision"}


def notes_of(folder: Path, content: str) -> tuple[str, ...]:
    return read_benchmark(write(folder, "b.csv", content), tasks=None).notes


def test_a_price_per_token_is_noted_and_a_free_model_is_not(tmp_path: Path) -> None:
    header = "model,task,score,input_usd_per_mtok,output_usd_per_mtok\n"
    assert notes_of(tmp_path, header + "a,qa,1,2.5,10\nb,qa,1,0.0000025,0.00001\nc,qa,1,0.000001,5\nd,qa,1,0,0\n") == (
        "b.csv: input_usd_per_mtok must be USD per million tokens, got 0.0000025 of b in row 3 and 1 more models; "
        "multiply it by 1,000,000 if it is a price per token",
        "b.csv: output_usd_per_mtok must be USD per million tokens, got 0.00001 of b in row 3; "
        "multiply it by 1,000,000 if it is a price per token",
    )
    assert notes_of(tmp_path, header + "a,qa,1,0.01,0.02\nb,qa,1,75,150\n") == ()


def test_latencies_in_milliseconds_are_noted(tmp_path: Path) -> None:
    assert notes_of(tmp_path, "model,task,score,latency_s\na,qa,1,0.9\nb,qa,1,1234\nc,qa,1,\nd,qa,1,2100\n") == (
        "b.csv: latency_s must be seconds, got 1234 in row 3 and 1 more rows; divide it by 1,000 if it is in milliseconds",
    )


def test_names_that_differ_only_in_spelling_are_noted(tmp_path: Path) -> None:
    notes = notes_of(tmp_path, "model,task,score,benchmark\na-1,qa,1,x\nA_1,Math,1,y\na-1,math,1,x\n")
    assert [note.partition(", got ")[::2] for note in notes] == [
        (
            f"b.csv: {what} must differ in more than case, spaces and hyphens",
            f"{first} and {other}; write them alike, or they count as different ones",
        )
        for what, first, other in (
            ("models", "'a-1' (first in row 2)", "'A_1' (first in row 3)"),
            ("tasks", "'Math' (first in row 3)", "'math' (first in row 4)"),
        )
    ]


def test_an_aggregate_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    content = "model,task,score,benchmark,n\na,qa,.8,x,100\nb,qa,.5,x,100\na,qa,0.80,x,100\na,qa,.8,y,100\n"
    read = read_benchmark(write(tmp_path, "b.csv", content))
    assert [(row.model, row.benchmark, row.n) for row in read.results] == [("a", "x", 100), ("b", "x", 100), ("a", "y", 100)]
    assert read.notes == (
        "b.csv: 1 repeated rows, the first is row 4, which repeats row 2; they count as one row; remove them",
    )
    profile, _ = learn_models(read.results, read.facts, ("qa",)).profiles
    assert profile.quality["qa"].n == 200


def test_a_row_with_nothing_but_facts_names_a_model_that_was_not_measured_yet(tmp_path: Path) -> None:
    content = "model,task,score,provider,input_usd_per_mtok\nnew,,, ,2\na,qa,.8,x,1\nnew,,,y,\n"
    read = read_benchmark(write(tmp_path, "b.csv", content))
    assert [row.model for row in read.results] == ["a"]
    assert read.facts == {
        "a": ModelFacts(provider="x", input_usd_per_mtok=1.0),
        "new": ModelFacts(provider="y", input_usd_per_mtok=2.0),
    }


def test_several_scores_of_one_model_for_a_prompt_count_as_their_mean(tmp_path: Path) -> None:
    content = "model,prompt,score,cost_usd\na,p,1,\nb,p,1,.1\na,p,0,.2\na,p,1,.4\nb,p,1,.1\n"
    read = read_benchmark(write(tmp_path, "b.csv", content))
    assert [(row.model, row.score, row.n) for row in read.results] == [("a", 2 / 3, 1), ("b", 1, 1)]
    assert [row.cost_usd for row in read.results] == pytest.approx([0.3, 0.1])
    assert read.notes == (
        "b.csv: 2 repeated rows, the first is row 5, which repeats row 2; they count as one row; remove them",
        "b.csv: a model must have one score for a prompt, got 1 in row 2 and 0 in row 4 for a; "
        "their mean counts as one score; remove the wrong rows",
    )


def test_different_aggregates_of_one_benchmark_are_noted_and_both_count(tmp_path: Path) -> None:
    read = read_benchmark(write(tmp_path, "b.csv", "model,task,score,n\na,qa,.8,100\na,qa,.6,50\n"))
    assert [(row.score, row.n) for row in read.results] == [(0.8, 100), (0.6, 50)]
    assert read.notes == (
        "b.csv: a model must have one aggregate for a task and a benchmark, got 0.8 in row 2 and 0.6 in row 3 for a; "
        "all count; name their benchmarks if these differ, or remove the wrong rows",
    )


def test_the_shipped_benchmark_has_no_notes(root: Path) -> None:
    assert read_benchmark(root / "data" / "benchmark.csv").notes == ()
