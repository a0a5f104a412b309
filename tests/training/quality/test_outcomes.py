from collections import Counter, defaultdict

import numpy as np
import pytest

from training.data.facts import ModelFacts
from training.data.results import Result, Results
from training.quality.outcomes import Outcomes, pivot, split_groups

NAN = float("nan")


def answer(model: str, prompt: str, score: float, task: str = "", **more: object) -> Result:
    return Result(model=model, prompt=prompt, score=score, task=task, n=1, **more)


def outcomes(tasks: str, groups: str) -> Outcomes:
    """Make one prompt per letter: its task and its group. A dot is a group of its own."""
    return Outcomes(
        models=("a",),
        prompts=tuple(map(str, range(len(tasks)))),
        tasks=tuple(tasks),
        benchmarks=("",) * len(tasks),
        groups=tuple(f"alone {i}" if group == "." else group for i, group in enumerate(groups)),
        score=np.zeros((len(tasks), 1)),
        cost_usd=np.zeros((len(tasks), 1)),
    )


def test_a_table_has_prompts_and_models_in_order_of_first_appearance() -> None:
    rows = [
        answer("b", "second", 0.5, benchmark="x"),
        answer("b", "first", 1.0, cost_usd=0.25),
        Result(model="only aggregates", task="qa", score=0.5, n=100),
        answer("a", "second", 0.0, "qa", benchmark="y"),
    ]
    table = pivot(Results.of(rows))
    assert (table.models, table.prompts, table.tasks) == (("b", "a"), ("second", "first"), ("qa", ""))
    assert table.benchmarks == ("x", "")
    np.testing.assert_array_equal(table.score, [[0.5, 0.0], [1.0, NAN]])
    np.testing.assert_array_equal(table.cost_usd, [[NAN, NAN], [0.25, NAN]])


def test_rows_of_one_cell_are_averaged_costs_over_the_known_ones() -> None:
    rows = [answer("a", "p", 0.0, cost_usd=0.5), answer("a", "p", 1.0), answer("a", "p", 0.5, cost_usd=1.0)]
    table = pivot(Results.of(rows))
    assert (table.score.tolist(), table.cost_usd.tolist()) == ([[0.5]], [[0.75]])


def test_a_prompt_gets_the_first_task_that_a_row_names() -> None:
    rows = [answer("a", "p", 1), answer("b", "p", 1, "math"), answer("c", "p", 1, "qa"), answer("a", "q", 1, "qa")]
    assert pivot(Results.of(rows)).tasks == ("math", "qa")


def test_a_missing_cost_is_tokens_times_list_price() -> None:
    facts = {"a": ModelFacts(input_usd_per_mtok=2.0, output_usd_per_mtok=10.0), "b": ModelFacts(input_usd_per_mtok=2.0)}
    usage = {"input_tokens": 1000.0, "output_tokens": 500.0}
    rows = [
        answer("a", "listed", 1, **usage),
        answer("a", "measured", 1, cost_usd=0.5, **usage),
        answer("a", "half known", 1, input_tokens=1000.0),
        answer("b", "no price", 1, **usage),
    ]
    results = Results.of(rows)
    # 1000 · 2 / 10⁶ + 500 · 10 / 10⁶ = 0.007
    np.testing.assert_allclose(pivot(results, facts).cost_usd, [[0.007, NAN], [0.5, NAN], [NAN, NAN], [NAN, NAN]])
    np.testing.assert_array_equal(pivot(results).cost_usd[:, 0], [NAN, 0.5, NAN, NAN])


def test_taking_rows_before_pivoting_equals_a_table_of_those_rows_alone() -> None:
    rows = [answer(m, f"{p}", p / 10, "qa" if p % 2 else "math", group=f"g{p % 3}") for p in range(6) for m in "ab"]
    some = np.array([9, 3, 8, 0])
    taken, alone = pivot(Results.of(rows).take(some)), pivot(Results.of([rows[i] for i in some]))
    for name in ("models", "prompts", "tasks", "benchmarks", "groups"):
        assert getattr(taken, name) == getattr(alone, name)
    np.testing.assert_array_equal(taken.score, alone.score)


def test_each_prompt_without_a_group_gets_its_own() -> None:
    rows = [answer("a", p, 1, group=g) for p, g in [("p", "g"), ("q", ""), ("r", "g"), ("s", "")]]
    groups = pivot(Results.of(rows)).groups
    assert groups[0] == groups[2] == "g"
    assert len(set(groups)) == 3


def test_prompts_can_be_taken_by_index_or_mask() -> None:
    table = pivot(Results.of([answer("a", p, s) for p, s in [("p", 0.0), ("q", 0.5), ("r", 1.0)]]))
    assert table.take(np.array([2, 0])).prompts == ("r", "p")
    kept = table.take(table.score[:, 0] > 0)
    assert (kept.prompts, kept.score.tolist(), kept.models) == (("q", "r"), [[0.5], [1.0]], ("a",))


def test_results_without_prompts_make_an_empty_table() -> None:
    table = pivot(Results.of([Result(model="a", task="qa", score=0.5)]))
    assert (table.prompts, table.models, table.score.shape) == ((), (), (0, 0))


def test_groups_stay_whole_and_tasks_are_spread_evenly() -> None:
    drawn = np.random.default_rng(0)
    tasks = "".join(drawn.choice(list("qqqm"), 400))
    table = outcomes(tasks, "".join(drawn.choice(list(".....abcdefgh"), 400)))
    folds = split_groups(table, 5, seed=0)
    held: dict[str, set[int]] = defaultdict(set)
    for group, fold in zip(table.groups, folds.tolist(), strict=True):
        held[group].add(fold)
    assert all(len(used) == 1 for used in held.values())
    for task in "qm":
        counts = Counter(folds[[t == task for t in table.tasks]].tolist())
        assert max(counts.values()) - min(counts[fold] for fold in range(5)) <= 2


def test_prompts_without_groups_are_spread_exactly_evenly() -> None:
    folds = split_groups(outcomes("qqqqqmmmmm", "." * 10), 5, seed=3)
    assert sorted(folds[:5].tolist()) == sorted(folds[5:].tolist()) == [0, 1, 2, 3, 4]


def test_folds_depend_on_the_seed_alone() -> None:
    table = outcomes("q" * 50, "." * 50)
    first, again, other = (split_groups(table, 5, seed=seed).tolist() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("folds", [0, 4])
def test_more_folds_than_groups_are_refused(folds: int) -> None:
    with pytest.raises(ValueError, match=rf"folds must be in \[1, 3\], the number of groups, got {folds}; name finer"):
        split_groups(outcomes("qqqq", "aabc"), folds, seed=0)
