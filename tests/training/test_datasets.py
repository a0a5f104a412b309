import csv
import gzip
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from training.datasets import (
    MAX_FIELD_CHARS,
    DatasetError,
    ModelFacts,
    Result,
    Results,
    escape_formula,
    hash_file,
    read_benchmark,
    read_conversations,
    read_prompts,
)

GZIPPED = gzip.compress(b"prompt,task\n" + b"a,qa\n" * 500)
OVER_CAP = "x" * (MAX_FIELD_CHARS + 1)
# Name: content, where (row, or nothing), part of the rule, part of the remedy.
BROKEN_PROMPTS = {
    "unknown task": ("prompt,task\na,qa\nb,cooding\n", "row 3", "task 'cooding' is unknown; known: coding", "--own-tasks"),
    "empty task": ("prompt,task\na,\n", "row 2", "task must not be empty", "fill it in"),
    "empty prompt": ("prompt,task\n  ,qa\n", "row 2", "prompt must not be empty", "remove the row"),
    "missing column": ("text,task\na,qa\n", "row 1", "columns ['prompt'] are missing", "add them"),
    "duplicate header": ("prompt,task,task\na,qa,qa\n", "row 1", "named once, repeated: ['task']", "rename or remove"),
    "NUL": ("prompt,task\na\0b,qa\n", "row 2", "must not contain NUL", "remove them"),
    "over the cap": (f"prompt,task\na,qa\n{OVER_CAP},qa\n", "row 3", "more than 500000 characters", "look for"),
    "unclosed quote": ('prompt,task\na,qa\n"b,qa\nc,qa\n', "row 3", "not CSV", "look for an unclosed quote"),
    "ragged row": ("prompt,task\na,qa\nb, c,qa\n", "row 3", "must have 2 fields as the header, has 3", "quote fields"),
    "short row": ("prompt,task\nb\n", "row 2", "must have 2 fields as the header, has 1", "quote fields"),
    "empty file": ("", "", "is empty", "its first row must name the columns"),
    "header only": ("prompt,task\n", "", "at least one prompt", "add rows"),
    "not UTF-8": (b"prompt,task\na,qa\ncaf\xe9,qa\n", "row 3", "must be UTF-8", "save it as UTF-8"),
    "UTF-16": ("prompt,task\na,qa\n".encode("utf-16"), "row 1", "must be UTF-8", "save it as UTF-8"),
}
BROKEN_RESULTS = {
    "header only": ("model,task,score\n", "", "at least one result", "add rows"),
    "NaN": ("model,task,score\na,qa,nan\n", "row 2", "score must be a finite number", "was 'nan'; correct it"),
    "n of zero": ("model,task,score,n\na,qa,.5,0\n", "row 2", "n must be above 0", "leave it empty"),
    "infinite": ("model,task,score,n\na,qa,.5,inf\n", "row 2", "n must be a finite number", "was 'inf'; correct it"),
    "no number": ("model,task,score\na,qa,good\n", "row 2", "score must be a finite number", "was 'good'; correct"),
    "negative cost": ("model,task,score,cost_usd\na,qa,.5,-1\n", "row 2", "cost_usd must be", "correct it"),
    "negative price": ("model,task,score,input_usd_per_mtok\na,qa,.5,-2\n", "row 2", "input_usd_per_mtok must", "correct"),
    "score above 1": ("model,task,score\na,qa,85\n", "row 2", "score must be in [0, 1], was 85", "divide it"),
    "score below 0": ("model,task,score\na,qa,-0.1\n", "row 2", "score must be", "was '-0.1'; correct it"),
    "empty score": ("model,task,score\na,qa,\n", "row 2", "score must not be empty", "fill it in"),
    "empty model": ("model,task,score\n,qa,.5\n", "row 2", "model must not be empty", "fill it in"),
    "neither task nor prompt": ("model,task,score\na,,.5\n", "row 2", "must have a task or a prompt", "fill one in"),
    "unknown task": ("model,task,score\na,cooding,1\n", "row 2", "'cooding' is unknown", "--own-tasks"),
    "facts that disagree": (
        "model,task,score,provider\na,qa,.5,X\na,math,.5,Y\n", "row 3", "the same in all its rows, was 'X' and 'Y'", "; ",
    ),
    "a window of no token": ("model,task,score,context_window\na,qa,.5,0.5\n", "row 2", "context_window", "; "),
    "NUL": ("model,task,score,x\na,qa,1,b\0\n", "row 2", "NUL characters, found in ['x']", "remove them"),
    "not UTF-8": (b"model,task,score\na,qa,1\nb\xe9,qa,1\n", "row 3", "must be UTF-8", "save it"),
    "two groups": ("model,prompt,score,group\na,p,1,g\nb,p,1,\nc,p,1,h\n", "row 4", "was 'g' and 'h'", "correct one"),
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
    "score above 1": ("prompt,a,a|total_cost\np,85,0\n", "row 2", "a must be in [0, 1], was 85", "divide it"),
    "NaN": ("prompt,a,a|total_cost\np,nan,0\n", "row 2", "a must be a finite number", "was 'nan'; correct it"),
    "negative cost": ("prompt,a,a|total_cost\np,1,-2\n", "row 2", "a|total_cost must be a finite number", "was '-2'"),
    "neither task nor prompt": ("prompt,a,a|total_cost\n,1,0\n", "row 2", "must have a task or a prompt", "fill one in"),
    "unknown task": ("prompt,task,a,a|total_cost\np,cooding,1,0\n", "row 2", "'cooding' is unknown", "--own-tasks"),
    "NUL": ("prompt,a,a|total_cost,a|model_response\np,1,0,b\0\n", "row 2", "found in ['a|model_response']", "remove"),
    "two groups": ("prompt,group,a,a|total_cost\np,g,1,0\np,h,1,0\n", "row 3", "was 'g' and 'h'", "correct one"),
    "ragged row": ("prompt,a,a|total_cost\np,1\n", "row 2", "must have 3 fields", "quote fields"),
    "no pair": ("prompt,a,b\np,1,1\n", "row 1", "columns ['model', 'score'] are missing", "add them"),
}
BROKEN_CONVERSATIONS = {
    "no turn of a user": (
        "conversation_id,role,content,task\n1,system,hi,\n",
        "",
        "at least one turn of a user",
        "add rows",
    ),
    "unknown role": ("conversation_id,role,content,task\n1,bot,hi,\n", "row 2", "role must be one of user, ", "correct it"),
    "a turn without a task": ("conversation_id,role,content,task\n1,user,hi,\n", "row 2", "task must not be empty", "fill"),
    "NUL": ("conversation_id,role,content,task\n1,user,h\0i,qa\n", "row 2", "must not contain NUL", "remove them"),
}
BROKEN = [pytest.param(read_prompts, *case, id=f"prompts: {name}") for name, case in BROKEN_PROMPTS.items()]
BROKEN += [pytest.param(read_benchmark, *case, id=f"results: {name}") for name, case in BROKEN_RESULTS.items()]
BROKEN += [pytest.param(read_benchmark, *case, id=f"wide: {name}") for name, case in BROKEN_WIDE.items()]
BROKEN += [
    pytest.param(read_conversations, *case, id=f"conversations: {name}") for name, case in BROKEN_CONVERSATIONS.items()
]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(("read", "content", "where", "rule", "remedy"), BROKEN)
def test_an_error_tells_file_row_rule_and_remedy(
    tmp_path: Path, read: Callable[[Path], object], content: str | bytes, where: str, rule: str, remedy: str
) -> None:
    path = write(tmp_path, "given.csv", content)
    with pytest.raises(DatasetError) as caught:
        read(path)
    told = str(caught.value)
    assert told.startswith(str(path))
    assert [part for part in (where, rule, remedy) if part not in told] == [], told
    assert "\n" not in told


UNREADABLE = {
    "missing": ("p.csv", None, "cannot be read: No such file"),
    "not gzip": ("p.csv.gz", b"prompt,task\na,qa\n", "cannot be read: Not a gzipped file"),
    "truncated gzip": ("p.csv.gz", GZIPPED[:-12], "truncated gzip file; copy it again"),
    "damaged gzip": ("p.csv.gz", GZIPPED[:10] + b"\xff" * 50, "gzip"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, case: str) -> None:
    name, content, rule = UNREADABLE[case]
    path = tmp_path / name if content is None else write(tmp_path, name, content)
    with pytest.raises(DatasetError) as caught:
        read_prompts(path)
    assert str(path) in str(caught.value)
    assert rule in str(caught.value)


def test_at_most_twenty_rows_are_told_then_a_count_and_never_a_prompt(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        read_prompts(write(tmp_path, "p.csv", "prompt,task\n" + "secret,nonsense\n" * 23))
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[20]) == (21, "… and 3 more")
    assert "row 21:" in lines[19]
    assert "secret" not in str(caught.value)
    conflicts = "".join(f"{i},qa\n{i},math\n" for i in range(22))
    notes = read_prompts(write(tmp_path, "p.csv", "prompt,task\n" + conflicts)).notes
    assert (len(notes), notes[20]) == (21, "… and 2 more prompts with several tasks")


def test_quoting_and_a_byte_order_mark_are_read_as_rfc_4180_says(tmp_path: Path) -> None:
    content = '\ufeffprompt , task,also,extra\r\n"two\r\nlines, a ""comma""",qa,math|coding,x\r\n\r\nb,math,,\r\n'
    rows = read_prompts(write(tmp_path, "p.csv", content)).rows
    assert [(row.prompt, row.task) for row in rows] == [('two\r\nlines, a "comma"', "qa"), ("b", "math")]
    assert [row.also for row in rows] == [("math", "coding"), ()]


def test_own_tasks_may_be_any_and_a_row_without_a_group_is_a_group_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "prompt,task,group,also\na,legal,g,x | y\nb,legal,,\nc,legal,,\nd,legal,g,\n")
    rows = read_prompts(path, tasks=None).rows
    assert rows[0].group == rows[3].group == "g"
    assert len({row.group for row in rows}) == 3
    assert (rows[0].task, rows[0].also) == ("legal", ("x", "y"))


def test_a_gzipped_file_reads_as_the_plain_one_and_is_hashed_as_it_lies(tmp_path: Path) -> None:
    content = b"prompt,task,licence\na,qa,CC0\nb,math,CC0\nc,qa,MIT\n"
    plain, packed = write(tmp_path, "p.csv", content), write(tmp_path, "p.csv.gz", gzip.compress(content))
    assert read_prompts(plain).rows == read_prompts(packed).rows
    assert read_prompts(plain).licence == "CC0, MIT"
    assert read_prompts(packed).sha256 == hash_file(packed) != hash_file(plain)


def test_repeated_rows_are_dropped_with_a_count_and_conflicts_are_told_with_their_rows(tmp_path: Path) -> None:
    read = read_prompts(write(tmp_path, "p.csv", "prompt,task\na,qa\na,qa\na,math\nb,qa\na,qa\n"))
    assert [(row.prompt, row.task) for row in read.rows] == [("a", "qa"), ("a", "math"), ("b", "qa")]
    assert read.notes == (
        "2 repeated rows dropped",
        "one prompt with several tasks: qa in row 2, math in row 4; keep the right one",
    )


def test_a_result_is_of_one_prompt_or_of_n(tmp_path: Path) -> None:
    header = "model,task,score,prompt,n,cost_usd,output_tokens,latency_s\n"
    content = header + "m,qa,1,hi,7,,,\nm,,0,hi,,0.5,10,2\nm,qa,.5,,40,,,\n"
    results = read_benchmark(write(tmp_path, "b.csv", content)).results
    assert [(result.task, result.n) for result in results] == [("qa", 1), ("", 1), ("qa", 40)]
    assert [result.cost_usd for result in results] == [None, 0.5, None]
    assert (results[1].output_tokens, results[1].latency_s) == (10, 2)


def test_facts_may_stand_in_one_row_only(tmp_path: Path) -> None:
    header = "model,task,score,provider,input_usd_per_mtok,context_window,capabilities,source\n"
    content = header + "b,qa,.5,,,,,first\na,qa,.5,,,,,\nb,math,.5,P,1.5,128000,tools | vision,second\n"
    facts = read_benchmark(write(tmp_path, "b.csv", content)).facts
    able = frozenset({"tools", "vision"})
    known = ModelFacts(provider="P", input_usd_per_mtok=1.5, context_window=128_000, capabilities=able, source="first")
    assert list(facts.items()) == [("b", known), ("a", ModelFacts())]


def test_results_read_as_the_rows_they_were_made_of() -> None:
    rows = [
        Result(model="a", prompt="p", score=0.1, benchmark="x", group="g", n=1, cost_usd=0.3, output_tokens=7),
        Result(model="b", task="qa", score=1.0, n=40, latency_s=0.7),
        Result(model="a", task="math", prompt="q", score=0.0, input_tokens=3),
        Result(model="b", prompt="p", score=0.5, group="g", n=1),
    ]
    results = Results.of(rows)
    assert (list(results), len(results), results[-1], bool(Results.of([]))) == (rows, 4, rows[3], False)
    assert (results.models, results.prompts, results.groups) == (("a", "b"), ("p", "q"), ("g", ""))
    assert (list(results[1:3]), list(results.take(np.array([3, 0])))) == (rows[1:3], [rows[3], rows[0]])
    assert list(results.take(results.task >= 0)) == rows[1:3]
    with pytest.raises(IndexError):
        results[4]


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


@pytest.mark.parametrize("content", ["prompt,task\na,qa\n", 'prompt,task\n"a,qa\n', "prompt\na\n"])
def test_the_csv_modules_field_limit_is_restored(tmp_path: Path, content: str) -> None:
    before = csv.field_size_limit()
    assert before != MAX_FIELD_CHARS
    with suppress(DatasetError):
        read_prompts(write(tmp_path, "p.csv", content))
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a"])
def test_a_field_that_a_spreadsheet_would_run_is_escaped_and_no_other(text: str) -> None:
    assert escape_formula(text) == f"'{text}"
    assert escape_formula(f"a{text}") == f"a{text}"


def test_a_turn_of_a_user_knows_the_turns_before_it(tmp_path: Path) -> None:
    file = tmp_path / "conversations.csv"
    turns = [("a", "system", "be brief", ""), ("a", "user", "write a poem", "writing"), ("b", "user", "2+2", "math")]
    turns += [("a", "assistant", "Roses", ""), ("a", "user", "in german", "translation"), ("b", "user", "x" * 36, "qa")]
    file.write_text("conversation_id,role,content,task\n" + "".join(f"{','.join(turn)}\n" for turn in turns))
    poem, two, german, long = read_conversations(file).rows
    assert (poem.prompt, poem.task, poem.source, poem.earlier) == (
        "write a poem", "writing", "first turn", (("system", "be brief"),),
    )  # fmt: skip
    assert (two.source, two.earlier, two.group) == ("first turn", (), "b")
    assert (german.source, german.group, german.row) == ("short follow-up", "a", 6)
    assert german.earlier == (("system", "be brief"), ("user", "write a poem"), ("assistant", "Roses"))
    assert (long.source, long.earlier) == ("follow-up", (("user", "2+2"),))
