import csv
import tracemalloc
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.limits import limit_memory
from training.data.benchmark import BenchmarkSet, read_benchmark
from training.data.columns import Column, join, split_rows
from training.data.problems import DatasetError
from training.data.results import CODES, MEASURES, Result, Results
from training.quality.outcomes import Outcomes, pivot
from training.quality.profiles import learn_models

NAMES = [field.name for field in fields(Result)]
TASKS = ("math", "qa")
GROUPS = {"p": "g", "q": "", "r": "g", "s": "h"}
known = st.none() | st.sampled_from([0.1, 0.25, 3.0, 150.0])
prompts = st.builds(
    Result,
    model=st.sampled_from("abc"),
    task=st.sampled_from(["", "math", "qa"]),
    prompt=st.sampled_from(list(GROUPS)),
    benchmark=st.sampled_from("xy"),
    score=st.sampled_from([0.0, 0.1, 0.7]),
    cost_usd=known,
    latency_s=known,
)
aggregates = st.builds(
    Result,
    model=st.sampled_from("abc"),
    task=st.sampled_from(TASKS),
    benchmark=st.sampled_from("xy"),
    score=st.sampled_from([0.0, 0.1, 0.7]),
    n=st.sampled_from([None, 1.0, 2.0, 40.0]),
    output_tokens=known,
)
tables = st.lists(st.tuples(prompts | aggregates, st.booleans()), min_size=1, max_size=14)


def write_rows(path: Path, rows: list[tuple[Result, bool]]) -> None:
    """Write rows. A row says its prompt's group or leaves it empty."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(NAMES)
        for row, says in rows:
            writer.writerow(
                [GROUPS.get(row.prompt, "") if says and name == "group" else getattr(row, name) for name in NAMES]
            )


def probabilities(texts: tuple[str, ...]) -> np.ndarray:
    return np.array([[0.25, 0.75] if text < "r" else [0.9, 0.1] for text in texts])


def comparable(read: BenchmarkSet) -> list[object]:
    """Return everything that is learned from a benchmark, to the last bit."""
    results, outcomes = read.results, pivot(read.results)
    names = (results.models, results.tasks, results.benchmarks, tuple(results.prompts), tuple(results.groups))
    columns = [getattr(results, name).tobytes() for name in (*CODES, *MEASURES)]
    table = [np.asarray(getattr(outcomes, field.name)).tobytes() for field in fields(Outcomes)]
    profiles = learn_models(results, read.facts, TASKS, task_probabilities=probabilities).profiles
    return [*names, *columns, *table, *map(astuple, profiles), read.notes, read.facts]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(tables)
def test_a_table_larger_than_memory_is_the_same_table_with_the_same_notes(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Result, bool]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "large.csv"
    write_rows(path, rows)
    small = read_benchmark(path)
    with limit_memory():
        assert comparable(read_benchmark(path)) == comparable(small)


def test_tasks_are_renamed_in_the_same_order() -> None:
    rows = [
        Result(model=model, task=task, prompt=task + model, score=0.5) for model in "abcd" for task in ("qa", "", "math")
    ]
    names = {"sums": "math", "facts": "qa", "more facts": "qa", "none": "writing"}
    small = list(Results.of(rows).rename_tasks(names))
    assert [row.task for row in small] == [""] * 4 + ["sums"] * 4 + ["facts"] * 4 + ["more facts"] * 4
    with limit_memory():
        assert list(Results.of(rows).rename_tasks(names)) == small


def test_memory_does_not_grow_with_rows_or_prompts(tmp_path: Path) -> None:
    def peak(n: int) -> int:
        """Return the most bytes that Python and NumPy held while n rows, of n / 2 prompts, were read and learned from."""
        path = tmp_path / f"{n}.csv"
        write_rows(
            path, [(Result(model="ab"[i % 2], task="qa", prompt=f"{i // 2}" * 50, score=1, n=1), False) for i in range(n)]
        )
        tracemalloc.start()
        read = read_benchmark(path)
        learn_models(read.results, read.facts, TASKS)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    with limit_memory(rows=250, prompt_bytes=50_000):
        peak(500)  # what is kept for good, such as caches of regular expressions
        assert peak(4000) < 1.2 * peak(1000)


def test_an_array_in_a_file_is_as_an_array_in_memory() -> None:
    parts = [np.arange(3), np.arange(0), np.arange(5)]
    with limit_memory(rows=4):
        assert [(rows.start, rows.stop) for rows in split_rows(9)] == [(0, 4), (4, 8), (8, 9)]
        assert [(rows.start, rows.stop) for rows in split_rows(0)] == [(0, 0)]
        joined = join(parts)
    assert (joined.tolist(), joined.dtype) == ([0, 1, 2, 0, 1, 2, 3, 4], np.arange(3).dtype)
    joined[0] = 7
    assert (joined[0], parts[0][0]) == (7, 0)
    column = Column()
    column.append(np.arange(2))
    assert column.finish().tolist() == [0, 1]


@pytest.mark.parametrize("limits", [{"rows": 3}, {"prompt_bytes": 600}], ids=["rows", "prompts"])
def test_a_full_disk_is_explained(tmp_path: Path, limits: dict[str, int]) -> None:
    resource = pytest.importorskip("resource", reason="limits of file sizes need Unix")
    # SQLite writes nothing before its 8 MB of memory are full.
    rows = [(Result(model="a", prompt=f"{i}" * 9000, score=1), False) for i in range(500)]
    write_rows(tmp_path / "b.csv", rows)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with limit_memory(**{"rows": 10**6, "prompt_bytes": 10**9} | limits):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
        try:
            with pytest.raises(DatasetError, match=r"must fit into .*; set TMPDIR to a folder on a disk with more space"):
                read_benchmark(tmp_path / "b.csv")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
