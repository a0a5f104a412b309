import math

import pytest

from tests.training.tables import make_outcomes
from training.data.table import DatasetError
from training.verdict.score_table import complete_prompts, tabulate


def test_only_prompts_that_every_model_answered_count() -> None:
    nan = math.nan
    outcomes = make_outcomes([[1, 1], [nan, 1], [0, 1], [1, 0]], [[1, 2], [1, 2], [1, nan], [1, 2]])
    assert complete_prompts(outcomes).tolist() == [True, False, False, True]
    unpriced = make_outcomes([[1, 1], [0, 1]], [[1, nan], [2, nan]])
    assert complete_prompts(unpriced).tolist() == [True, True]
    assert not tabulate(unpriced, seed=0).priced


def test_fewer_than_two_groups_raise_an_error_with_the_remedy() -> None:
    with pytest.raises(DatasetError, match="must form at least 2 groups, got 1 among 2 prompts; measure more"):
        complete_prompts(make_outcomes([[1, 1], [0, 1]], [1, 2], groups=["one", "one"]))
