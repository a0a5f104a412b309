import math
from dataclasses import replace

import numpy as np
import pytest

from tests.training.tables import make_outcomes, two_trades
from training.quality.outcomes import split_groups
from training.verdict.baselines import (
    at_random,
    by_neighbours,
    by_ridge,
    by_task_table,
    cross_fit,
    cross_fit_baselines,
    oracle,
    round_robin,
    sweep_baselines,
    zero_router,
)

FITS = [by_task_table, by_neighbours, by_ridge]
TEXTS = ["solve the sum", "solve the product", "translate the word", "translate the verse"] * 30


def train_and_test() -> tuple:
    """Return outcomes in which model a can solve and model b can translate."""
    scores = [[1, 0], [1, 0], [0, 1], [0, 1]] * 30
    tasks = ["math", "math", "translation", "translation"] * 30
    train = make_outcomes(scores, [1.0, 2.0], tasks=tasks, prompts=[f"{text} {i}" for i, text in enumerate(TEXTS)])
    test = make_outcomes(
        [[0, 0], [0, 0]], [9.0, 9.0], tasks=["math", "translation"], prompts=["solve the riddle", "translate it"]
    )
    return train, test


@pytest.mark.parametrize("fit", FITS)
def test_a_learned_baseline_finds_the_better_model_for_similar_prompts(fit) -> None:
    quality, cost = fit(*train_and_test())
    assert quality.argmax(axis=1).tolist() == [0, 1]
    assert cost == pytest.approx(np.tile([1.0, 2.0], (2, 1)), abs=1e-6)


@pytest.mark.parametrize("fit", FITS)
def test_a_baseline_does_not_see_the_scores_of_the_prompts_to_route(fit) -> None:
    train, test = train_and_test()
    same = fit(train, replace(test, score=np.ones((2, 2)), cost_usd=np.zeros((2, 2))))
    for expected, other in zip(fit(train, test), same, strict=True):
        assert (expected == other).all()


@pytest.mark.parametrize("fit", FITS)
def test_missing_scores_do_not_count(fit) -> None:
    train, test = train_and_test()
    score = train.score.copy()
    score[::2, 1] = math.nan
    quality, _ = fit(replace(train, score=score), test)
    assert np.isfinite(quality).all()
    assert quality.argmax(axis=1).tolist() == [0, 1]


def test_an_unknown_task_gets_the_means_of_all_prompts() -> None:
    train, test = train_and_test()
    quality, _ = by_task_table(train, replace(test, tasks=("ethics", "")))
    assert quality == pytest.approx(np.full((2, 2), 0.5))


@pytest.mark.parametrize("fit", [by_neighbours, by_ridge])
def test_without_repeated_words_baselines_fall_back_to_means(fit) -> None:
    train = make_outcomes([[1, 0], [1, 1], [0, 0]], [1.0, 2.0], prompts=["one", "two", "three"])
    quality, cost = fit(train, train)
    assert quality == pytest.approx(np.tile([2 / 3, 1 / 3], (3, 1)))
    assert cost == pytest.approx(np.tile([1.0, 2.0], (3, 1)))


def test_cross_fitting_never_trains_on_the_prompts_it_predicts() -> None:
    outcomes = two_trades(60)
    folds = split_groups(outcomes, 5, seed=0)
    seen = []

    def spy(train, test):
        seen.append((set(train.prompts), set(test.prompts)))
        return by_task_table(train, test)

    cross_fit(spy, outcomes, folds)
    assert len(seen) == 5
    assert all(not known & asked for known, asked in seen)
    assert set.union(*(asked for _, asked in seen)) == set(outcomes.prompts)


def test_the_zero_router_goes_from_the_cheapest_to_the_most_expensive_model() -> None:
    outcomes = make_outcomes([[1, 0, 1]] * 3, [2.0, 1.0, 3.0])
    assert zero_router(outcomes).choices.tolist() == [[1] * 3, [0] * 3, [2] * 3]


def test_round_robin_takes_turns_and_random_choices_are_even_and_seeded() -> None:
    outcomes = make_outcomes([[1, 0, 1]] * 3000, [1.0, 2.0, 3.0])
    assert round_robin(outcomes).choices[0, :5].tolist() == [0, 1, 2, 0, 1]
    drawn = at_random(outcomes, seed=1).choices
    assert (drawn == at_random(outcomes, seed=1).choices).all()
    assert np.bincount(drawn[0]) == pytest.approx([1000] * 3, abs=100)


def test_the_oracle_takes_the_cheapest_model_that_answers_a_prompt_correctly() -> None:
    outcomes = make_outcomes([[0, 1, 1], [1, 1, 1], [0, 0, 1]], [1.0, 2.0, 3.0])
    assert oracle(outcomes).choices[-1].tolist() == [1, 0, 2]


def test_both_ways_to_fit_return_every_baseline() -> None:
    outcomes = two_trades(60)
    names = ["zero router", "task table", "kNN-40", "ridge", "round robin", "random", "oracle"]
    assert [sweep.name for sweep in sweep_baselines(outcomes, outcomes, seed=0)] == names
    assert [sweep.name for sweep in cross_fit_baselines(outcomes, split_groups(outcomes, 5, seed=0), seed=0)] == names
