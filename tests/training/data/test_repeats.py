import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.repeats import merge_repeated
from training.data.results import Result, Results
from training.quality.outcomes import pivot

rows = st.lists(
    st.builds(
        Result,
        model=st.sampled_from("ab"),
        prompt=st.sampled_from(["p", "q"]),
        score=st.sampled_from([0.0, 0.5, 1.0]),
        n=st.just(1.0),
        cost_usd=st.none() | st.sampled_from([0.1, 0.3]),
    ),
    min_size=1,
    max_size=9,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows)
def test_merging_changes_no_mean_and_leaves_one_row_of_each_model_on_a_prompt(given_rows: list[Result]) -> None:
    results = Results.of(given_rows)
    merged, _ = merge_repeated(results, range(2, 2 + len(results)))
    assert len(merged) == len({(row.model, row.prompt) for row in given_rows})
    assert set(merged.n) == {1.0}
    before, after = pivot(results), pivot(merged)
    np.testing.assert_allclose(after.score, before.score)
    np.testing.assert_allclose(after.cost_usd, before.cost_usd)


def test_rows_that_repeat_nothing_stay_as_they_are() -> None:
    results = Results.of(
        [
            Result(model="a", prompt="p", task="qa", score=1.0, n=1),
            Result(model="a", prompt="p", task="math", score=1.0, n=1),
            Result(model="a", task="qa", score=1.0, n=None),
            Result(model="a", task="qa", score=1.0, n=9, benchmark="x"),
            Result(model="b", task="qa", score=1.0, n=9, benchmark="x"),
        ]
    )
    merged, notes = merge_repeated(results, range(2, 7))
    assert (merged is results, notes) == (True, [])
    assert merge_repeated(Results.of([]), [])[1] == []


def test_equal_rows_without_n_may_be_scores_of_different_prompts_and_all_count() -> None:
    results = Results.of([Result(model="a", task="qa", score=score) for score in (1.0, 0.0, 1.0, 1.0)])
    merged, notes = merge_repeated(results, range(2, 6))
    assert (merged is results, len(notes)) == (True, 1)
    assert "got 1 in row 2 and 0 in row 3 for a and 2 more such rows; all count" in notes[0]


def test_the_same_aggregate_counts_once_and_keeps_its_known_figures() -> None:
    same = [
        Result(model="a", task="qa", score=0.5, n=40, cost_usd=0.2),
        Result(model="a", task="qa", score=0.5, n=40, latency_s=3.0),
    ]
    merged, notes = merge_repeated(Results.of(same), [2, 5])
    assert list(merged) == [Result(model="a", task="qa", score=0.5, n=40, cost_usd=0.2, latency_s=3.0)]
    assert notes == ["1 repeated rows, the first is row 5, which repeats row 2; they count as one row; remove them"]
