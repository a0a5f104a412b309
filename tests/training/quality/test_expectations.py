import numpy as np
import pytest

from tests.training.synthetic import make_benchmark
from training.quality.expectations import expect, join_folds


def test_rows_without_a_prompt_count_in_every_table() -> None:
    made = make_benchmark(60)
    none, every = np.zeros(60, np.bool_), np.ones(60, np.bool_)
    expected = expect(made.build_table(none), made.prompts)
    assert expected.quality == pytest.approx(np.full((60, 3), 0.5))  # nothing is known of any model
    half = expect(made.build_table(np.arange(60) < 30), made.prompts).quality[0]
    assert (half != expect(made.build_table(every), made.prompts).quality[0]).all()


def test_folds_are_joined_in_the_order_of_the_prompts() -> None:
    made = make_benchmark(60)
    whole = expect(made.build_table(np.ones(60, np.bool_)), made.prompts)
    folds = np.arange(60) % 3
    joined = join_folds([whole.take(folds == fold) for fold in range(3)], folds)
    assert (joined.quality == whole.quality).all()
    assert (joined.cost_usd == whole.cost_usd).all()
