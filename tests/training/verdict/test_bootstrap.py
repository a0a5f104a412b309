import math

import numpy as np
import pytest

from tests.training.tables import make_outcomes
from training.verdict.bootstrap import interval_of, resample
from training.verdict.score_table import tabulate


def test_resamples_keep_groups_whole_and_are_the_same_for_every_statistic() -> None:
    outcomes = make_outcomes([[1], [0], [1], [0]], [1], groups=["x", "x", "y", "z"])
    table = tabulate(outcomes, seed=3)
    weights = resample(lambda drawn: drawn, table)
    assert weights.shape == (1001, 4)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights[0].tolist() == [0.25] * 4
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights == resample(lambda drawn: drawn, table)).all()
    assert weights[1:].std() > 0.1


def test_the_ends_of_an_interval_are_figures_that_occur_and_nan_is_left_out() -> None:
    figures = np.array([7.0, *range(1, 42), math.nan])
    found = interval_of(figures)
    assert (found.value, found.low, found.high) == (7, 2, 40)
    endless = interval_of(np.array([1.0, *[1.0] * 30, *[math.inf] * 10]))
    assert (endless.low, endless.high) == (1, math.inf)
