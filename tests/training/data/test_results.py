from pathlib import Path

import numpy as np
import pytest

from training.data import columns, results
from training.data.benchmark import read_benchmark
from training.data.prompts import TASKS
from training.data.results import Result, Results
from training.quality.profiles import learn_models


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


def test_a_prompt_with_two_groups_is_refused() -> None:
    rows = [Result(model="a", prompt="p", score=1.0, group=group) for group in ("g", "h")]
    with pytest.raises(ValueError, match="must be the same in all its rows, got 'g' and 'h'; correct one"):
        Results.of(rows)


def test_a_table_whose_columns_went_to_files_is_the_same_table(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = read_benchmark(root / "data" / "benchmark.csv")
    monkeypatch.setattr(columns, "CHUNK_ROWS", 100)
    large = read_benchmark(root / "data" / "benchmark.csv")
    assert len(small.results) > 3 * 100
    for name in (*results.CODES, *results.MEASURES):
        assert getattr(large.results, name).tobytes() == getattr(small.results, name).tobytes()
    assert (large.notes, large.facts) == (small.notes, small.facts)
    learned = [learn_models(given.results, given.facts, TASKS).profiles for given in (small, large)]
    assert learned[0] == learned[1]
