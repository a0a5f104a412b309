import numpy as np
import pytest

from tests.training.tables import make_outcomes
from training.quality.outcomes import Outcomes
from training.verdict.pair import PairQuality, measure_pair, pick_pair
from training.verdict.score_table import tabulate


def measure(outcomes: Outcomes, gain: np.ndarray) -> PairQuality | None:
    return measure_pair(tabulate(outcomes, seed=0), gain, outcomes.models, *pick_pair(outcomes))


def test_the_pair_is_the_best_model_and_the_cheapest() -> None:
    assert pick_pair(make_outcomes([[0, 1, 1], [1, 1, 1]], [1, 3, 2])) == (2, 0)
    assert pick_pair(make_outcomes([[0, 1, 0], [1, 1, 0]], [1, 3, 1])) == (1, 0)


def test_chance_recovers_half_of_the_gap_and_a_perfect_order_recovers_the_most() -> None:
    # b is better on a quarter of the prompts, and as good on the others
    outcomes = make_outcomes([[0, 1], [1, 1], [1, 1], [1, 1]] * 25, [1.0, 4.0])
    lift = outcomes.score[:, 1] - outcomes.score[:, 0]
    blind, perfect, worst = (measure(outcomes, gain) for gain in (np.zeros(100), lift, -lift))
    assert blind is not None
    assert perfect is not None
    assert worst is not None
    assert (blind.strong, blind.weak) == ("b", "a")
    assert [blind.apgr.value, blind.cpt50.value, blind.cpt80.value] == pytest.approx([0.5, 0.5, 0.8])
    # a quarter of the calls recovers all of it, evenly: 1 − 0.25/2
    assert [perfect.apgr.value, perfect.cpt50.value, perfect.cpt80.value] == pytest.approx([0.875, 0.125, 0.2])
    assert worst.apgr.value == pytest.approx(0.125)


def test_there_is_no_pair_if_the_cheapest_model_is_the_best() -> None:
    assert measure(make_outcomes([[1, 0]] * 30, [1.0, 4.0]), np.zeros(30)) is None
