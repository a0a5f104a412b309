from dataclasses import replace

import numpy as np
import pytest

from tests.training.synthetic import TASKS, Made, make_benchmark
from training.quality.expectations import expect, expect_with_heads
from training.quality.prompt_heads import PromptHeadFits, fit_prompt_heads

EVERYTHING = np.ones(400, np.bool_)


def fit_heads(made: Made, **options: object) -> PromptHeadFits:
    return fit_prompt_heads(made.outcomes, made.prompts, made.build_table, jobs=1, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def hard() -> tuple[Made, PromptHeadFits]:
    made = make_benchmark(verbosity=1.0)
    return made, fit_heads(made)


def test_heads_are_kept_only_on_the_task_whose_difficulty_varies(hard: tuple[Made, PromptHeadFits]) -> None:
    evidence = hard[1].fits["quality"].evidence
    assert evidence["math"].kept
    assert evidence["math"].low > 0.05
    assert not evidence["coding"].kept
    assert evidence["coding"].low <= 0
    assert {task: round(found.n) for task, found in evidence.items()} == dict.fromkeys(TASKS, 200)
    assert hard[1].heads is not None
    assert hard[1].heads.quality_tasks == {"math"}
    assert hard[1].heads.models == ("weak", "middle", "strong")


def test_a_hard_prompt_lowers_every_model_and_keeps_their_order(hard: tuple[Made, PromptHeadFits]) -> None:
    made, fitted = hard
    expected = expect_with_heads(made.build_table(EVERYTHING), fitted.heads, made.prompts)
    math = made.prompts.probabilities[:, 1] > 0.5
    hardness = made.prompts.features.embedding[:, 0]
    hardest, easiest = (math & (hardness > np.quantile(hardness, 0.9))), (math & (hardness < np.quantile(hardness, 0.1)))
    assert (expected.quality[hardest].mean(axis=0) < expected.quality[easiest].mean(axis=0) - 0.3).all()
    assert (np.diff(expected.quality[math].mean(axis=0)) > 0).all()


def test_a_prompt_with_long_answers_raises_the_expected_cost(hard: tuple[Made, PromptHeadFits]) -> None:
    made, fitted = hard
    cost = fitted.fits["cost"]
    assert cost.kept == set(TASKS)
    table = made.build_table(EVERYTHING)
    expected, before = expect_with_heads(table, fitted.heads, made.prompts), expect(table, made.prompts)
    paid = made.outcomes.cost_usd
    assert np.abs(np.log(expected.cost_usd / paid)).mean() < 0.4 * np.abs(np.log(before.cost_usd / paid)).mean()
    # Without the smearing estimate the means would be too low.
    assert expected.cost_usd.mean(axis=0) == pytest.approx(paid.mean(axis=0), rel=0.1)


def test_heads_beat_the_table_on_held_out_prompts(hard: tuple[Made, PromptHeadFits]) -> None:
    made, fitted = hard
    score, expected = made.outcomes.score, fitted.held_out
    brier = ((expected.quality - score) ** 2).mean()
    assert brier < ((expected.quality_by_task - score) ** 2).mean() - 0.01
    coding = made.prompts.probabilities[:, 0] > 0.5
    assert (
        np.abs(expected.shift[coding]).max() < np.abs(expected.shift[~coding]).max() / 3
    )  # only by the probability of math


def test_held_out_expectations_do_not_look_at_the_prompts_own_scores(hard: tuple[Made, PromptHeadFits]) -> None:
    made, fitted = hard
    # Shuffled scores do not depend on the prompts, so held-out expectations cannot predict them.
    rng = np.random.default_rng(5)
    shuffled = replace(made.outcomes, score=rng.permutation(made.outcomes.score))
    expected = fit_prompt_heads(shuffled, made.prompts, made.build_table, jobs=1).held_out
    assert ((expected.quality - shuffled.score) ** 2).mean() > ((fitted.held_out.quality - made.outcomes.score) ** 2).mean()


def test_no_quality_heads_are_kept_if_texts_do_not_predict_scores() -> None:
    fitted = fit_heads(make_benchmark(difficulty=0.0))
    assert fitted.fits["quality"].kept == frozenset()
    assert fitted.heads is None or fitted.heads.quality_tasks == frozenset()
    assert (fitted.held_out.quality == fitted.held_out.quality_by_task).all()


def test_without_costs_only_quality_is_fitted() -> None:
    made = make_benchmark()
    outcomes = replace(made.outcomes, cost_usd=np.full_like(made.outcomes.cost_usd, np.nan))
    fitted = fit_prompt_heads(outcomes, made.prompts, made.build_table, jobs=1)
    assert set(fitted.fits) == {"quality"}
    assert fitted.heads is not None
    assert (fitted.heads.cost_tasks, float(np.abs(fitted.heads.cost.bias).max())) == (frozenset(), 0.0)


def test_with_few_prompts_or_groups_there_are_no_heads() -> None:
    few = fit_heads(make_benchmark(40))
    assert (few.heads, few.fits, few.held_out.quality.shape) == (None, {}, (40, 3))
    made = make_benchmark(100)
    grouped = replace(made.outcomes, groups=tuple(f"group {i % 10}" for i in range(100)))
    assert fit_prompt_heads(grouped, made.prompts, made.build_table, jobs=1).heads is None


def test_a_model_with_few_prompts_borrows_from_the_others() -> None:
    made = make_benchmark(600)
    score = made.outcomes.score.copy()
    score[50:, 2] = np.nan
    fitted = fit_prompt_heads(replace(made.outcomes, score=score), made.prompts, made.build_table, jobs=1)
    expected = expect_with_heads(made.build_table(np.ones(600, np.bool_)), fitted.heads, made.prompts)
    math = made.prompts.probabilities[:, 1] > 0.5
    hardness = made.prompts.features.embedding[math, 0]
    assert np.corrcoef(expected.shift[math, 2], -hardness)[0, 1] > 0.8


def test_the_same_seed_gives_the_same_fit() -> None:
    made = make_benchmark(120)
    first, second = fit_heads(made, seed=3), fit_heads(made, seed=3)
    assert (first.held_out.quality == second.held_out.quality).all()
    assert first.fits["quality"].precisions == second.fits["quality"].precisions
