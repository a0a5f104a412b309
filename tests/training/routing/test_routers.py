import math
from dataclasses import replace

import numpy as np
import pytest

from tests.training.tables import make_outcomes, two_trades
from training.outcomes import split_groups
from training.routing.routers import (
    at_random,
    baseline_dials,
    by_neighbours,
    by_ridge,
    by_task_table,
    cross_fit,
    cross_fit_dials,
    oracle,
    round_robin,
    zero_router,
)

FITS = [by_task_table, by_neighbours, by_ridge]
TALK = ["solve the sum", "solve the product", "translate the word", "translate the verse"] * 30


def taught() -> tuple:
    """Model a solves, b translates."""
    scores = [[1, 0], [1, 0], [0, 1], [0, 1]] * 30
    tasks = ["math", "math", "translation", "translation"] * 30
    train = make_outcomes(scores, [1.0, 2.0], tasks=tasks, prompts=[f"{text} {i}" for i, text in enumerate(TALK)])
    test = make_outcomes(
        [[0, 0], [0, 0]], [9.0, 9.0], tasks=["math", "translation"], prompts=["solve the riddle", "translate it"]
    )
    return train, test


@pytest.mark.parametrize("fit", FITS)
def test_what_learns_tells_the_better_model_of_prompts_like_those_it_knows(fit) -> None:
    quality, cost = fit(*taught())
    assert quality.argmax(axis=1).tolist() == [0, 1]
    assert cost == pytest.approx(np.tile([1.0, 2.0], (2, 1)), abs=1e-6)


@pytest.mark.parametrize("fit", FITS)
def test_nothing_is_learnt_of_the_scores_to_be_told(fit) -> None:
    train, test = taught()
    same = fit(train, replace(test, score=np.ones((2, 2)), cost_usd=np.zeros((2, 2))))
    for expected, other in zip(fit(train, test), same, strict=True):
        assert (expected == other).all()


@pytest.mark.parametrize("fit", FITS)
def test_what_is_not_measured_does_not_count(fit) -> None:
    train, test = taught()
    score = train.score.copy()
    score[::2, 1] = math.nan
    quality, _ = fit(replace(train, score=score), test)
    assert np.isfinite(quality).all()
    assert quality.argmax(axis=1).tolist() == [0, 1]


def test_a_task_that_was_not_measured_counts_as_all_prompts() -> None:
    train, test = taught()
    quality, _ = by_task_table(train, replace(test, tasks=("ethics", "")))
    assert quality == pytest.approx(np.full((2, 2), 0.5))


@pytest.mark.parametrize("fit", [by_neighbours, by_ridge])
def test_where_no_word_occurs_twice_the_means_stand_in(fit) -> None:
    train = make_outcomes([[1, 0], [1, 1], [0, 0]], [1.0, 2.0], prompts=["one", "two", "three"])
    quality, cost = fit(train, train)
    assert quality == pytest.approx(np.tile([2 / 3, 1 / 3], (3, 1)))
    assert cost == pytest.approx(np.tile([1.0, 2.0], (3, 1)))


def test_cross_fitting_shows_no_prompt_to_what_judges_it() -> None:
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


def test_the_zero_router_goes_from_the_cheapest_model_to_the_dearest() -> None:
    outcomes = make_outcomes([[1, 0, 1]] * 3, [2.0, 1.0, 3.0])
    assert zero_router(outcomes).choices.tolist() == [[1] * 3, [0] * 3, [2] * 3]


def test_round_robin_takes_turns_and_chance_is_even_and_seeded() -> None:
    outcomes = make_outcomes([[1, 0, 1]] * 3000, [1.0, 2.0, 3.0])
    assert round_robin(outcomes).choices[0, :5].tolist() == [0, 1, 2, 0, 1]
    drawn = at_random(outcomes, seed=1).choices
    assert (drawn == at_random(outcomes, seed=1).choices).all()
    assert np.bincount(drawn[0]) == pytest.approx([1000] * 3, abs=100)


def test_the_oracle_takes_the_cheapest_model_that_gets_a_prompt_right() -> None:
    outcomes = make_outcomes([[0, 1, 1], [1, 1, 1], [0, 0, 1]], [1.0, 2.0, 3.0])
    assert oracle(outcomes).choices[-1].tolist() == [1, 0, 2]


def test_every_baseline_of_the_design_is_there_by_name() -> None:
    outcomes = two_trades(60)
    names = ["zero router", "task table", "kNN-40", "ridge", "round robin", "random", "oracle"]
    assert [dial.name for dial in baseline_dials(outcomes, outcomes, seed=0)] == names
    assert [dial.name for dial in cross_fit_dials(outcomes, split_groups(outcomes, 5, seed=0), seed=0)] == names
