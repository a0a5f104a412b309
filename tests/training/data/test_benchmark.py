from pathlib import Path

import pytest

from tests.training.data.files import check_error, write
from training.data.benchmark import read_benchmark
from training.data.facts import ModelFacts

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
    "unknown task": ("model,task,score\na,cooding,1\n", "row 2", "'cooding' is unknown", "--own-tasks"),
    "facts that disagree": (
        "model,task,score,provider\na,qa,.5,X\na,math,.5,Y\n", "row 3", "the same in all its rows, got 'X' and 'Y'", "; ",
    ),
    "a window of no token": ("model,task,score,context_window\na,qa,.5,0.5\n", "row 2", "context_window", "; "),
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
    "unknown task": ("prompt,task,a,a|total_cost\np,cooding,1,0\n", "row 2", "'cooding' is unknown", "--own-tasks"),
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
