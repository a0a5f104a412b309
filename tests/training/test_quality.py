from dataclasses import replace

import numpy as np
import pytest

from tests.training.synthetic import TASKS, Made, make_benchmark
from training.quality import Lessons, learn_of_prompts
from training.served import expect, expect_with

EVERYTHING = np.ones(400, np.bool_)


def learn(made: Made, **options: object) -> Lessons:
    return learn_of_prompts(made.outcomes, made.prompts, made.tabulate, jobs=1, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def hard() -> tuple[Made, Lessons]:
    made = make_benchmark(verbosity=1.0)
    return made, learn(made)


def test_difficulty_is_heeded_where_it_counts_and_nowhere_else(hard: tuple[Made, Lessons]) -> None:
    evidence = hard[1].learnt["quality"].evidence
    assert evidence["math"].kept
    assert evidence["math"].low > 0.05
    assert not evidence["coding"].kept
    assert evidence["coding"].low <= 0
    assert {task: round(found.n) for task, found in evidence.items()} == dict.fromkeys(TASKS, 200)
    assert hard[1].heads is not None
    assert hard[1].heads.quality_tasks == {"math"}
    assert hard[1].heads.models == ("weak", "middle", "strong")


def test_a_hard_prompt_lowers_every_model_and_keeps_their_order(hard: tuple[Made, Lessons]) -> None:
    made, lessons = hard
    told = expect_with(made.tabulate(EVERYTHING), lessons.heads, made.prompts)
    math = made.prompts.probabilities[:, 1] > 0.5
    hardness = made.prompts.features.embedding[:, 0]
    hardest, easiest = (math & (hardness > np.quantile(hardness, 0.9))), (math & (hardness < np.quantile(hardness, 0.1)))
    assert (told.quality[hardest].mean(axis=0) < told.quality[easiest].mean(axis=0) - 0.3).all()
    assert (np.diff(told.quality[math].mean(axis=0)) > 0).all()


def test_and_long_answers_raise_their_cost(hard: tuple[Made, Lessons]) -> None:
    made, lessons = hard
    cost = lessons.learnt["cost"]
    assert cost.kept == set(TASKS)
    told, before = (
        expect_with(made.tabulate(EVERYTHING), lessons.heads, made.prompts),
        expect(made.tabulate(EVERYTHING), made.prompts),
    )
    paid = made.outcomes.cost_usd
    assert np.abs(np.log(told.cost_usd / paid)).mean() < 0.4 * np.abs(np.log(before.cost_usd / paid)).mean()
    # on the scale of logarithms alone, means would come out too low
    assert told.cost_usd.mean(axis=0) == pytest.approx(paid.mean(axis=0), rel=0.1)


def test_what_is_held_out_beats_the_table_on_prompts_that_were_not_seen(hard: tuple[Made, Lessons]) -> None:
    made, lessons = hard
    score, told = made.outcomes.score, lessons.held_out
    brier = ((told.quality - score) ** 2).mean()
    assert brier < ((told.quality_by_task - score) ** 2).mean() - 0.01
    coding = made.prompts.probabilities[:, 0] > 0.5
    assert np.abs(told.shift[coding]).max() < np.abs(told.shift[~coding]).max() / 3  # as far as it may be mathematics


def test_held_out_expectations_do_not_look_at_the_prompts_own_scores(hard: tuple[Made, Lessons]) -> None:
    made, lessons = hard
    # of scores that say nothing, nothing is known held out: no better than the mean
    rng = np.random.default_rng(5)
    shuffled = replace(made.outcomes, score=rng.permutation(made.outcomes.score))
    told = learn_of_prompts(shuffled, made.prompts, made.tabulate, jobs=1).held_out
    assert ((told.quality - shuffled.score) ** 2).mean() > ((lessons.held_out.quality - made.outcomes.score) ** 2).mean()


def test_where_prompts_say_nothing_nothing_is_kept() -> None:
    lessons = learn(make_benchmark(difficulty=0.0))
    assert lessons.learnt["quality"].kept == frozenset()
    assert lessons.heads is None or lessons.heads.quality_tasks == frozenset()
    assert (lessons.held_out.quality == lessons.held_out.quality_by_task).all()


def test_without_costs_quality_alone_is_learnt() -> None:
    made = make_benchmark()
    outcomes = replace(made.outcomes, cost_usd=np.full_like(made.outcomes.cost_usd, np.nan))
    lessons = learn_of_prompts(outcomes, made.prompts, made.tabulate, jobs=1)
    assert set(lessons.learnt) == {"quality"}
    assert lessons.heads is not None
    assert (lessons.heads.cost_tasks, float(np.abs(lessons.heads.cost.bias).max())) == (frozenset(), 0.0)


def test_few_prompts_or_groups_teach_nothing_but_the_table() -> None:
    few = learn(make_benchmark(40))
    assert (few.heads, few.learnt, few.held_out.quality.shape) == (None, {}, (40, 3))
    made = make_benchmark(100)
    grouped = replace(made.outcomes, groups=tuple(f"group {i % 10}" for i in range(100)))
    assert learn_of_prompts(grouped, made.prompts, made.tabulate, jobs=1).heads is None


def test_a_model_of_few_prompts_borrows_from_the_others() -> None:
    made = make_benchmark(600)
    score = made.outcomes.score.copy()
    score[50:, 2] = np.nan
    lessons = learn_of_prompts(replace(made.outcomes, score=score), made.prompts, made.tabulate, jobs=1)
    told = expect_with(made.tabulate(np.ones(600, np.bool_)), lessons.heads, made.prompts)
    math = made.prompts.probabilities[:, 1] > 0.5
    hardness = made.prompts.features.embedding[math, 0]
    assert np.corrcoef(told.shift[math, 2], -hardness)[0, 1] > 0.8


def test_the_same_seed_teaches_the_same() -> None:
    made = make_benchmark(120)
    first, second = learn(made, seed=3), learn(made, seed=3)
    assert (first.held_out.quality == second.held_out.quality).all()
    assert first.learnt["quality"].precisions == second.learnt["quality"].precisions
