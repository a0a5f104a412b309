import numpy as np
import pytest

from training.data.results import Result, Results


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
