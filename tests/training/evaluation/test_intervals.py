import numpy as np
import pytest

from training.evaluation.intervals import bootstrap


def test_an_interval_contains_its_value_and_repeats_with_its_seed() -> None:
    right = np.arange(50) % 5 > 0

    def statistic(sample: np.ndarray) -> float:
        return float(right[sample].mean())

    interval = bootstrap(statistic, 50, seed=3)
    assert interval.value == 0.8
    # The standard error of a share of 0.8 with n 50 is 0.057. The interval is 1.96 of them on each side.
    assert interval.low == pytest.approx(0.69, abs=0.03)
    assert interval.high == pytest.approx(0.91, abs=0.03)
    assert interval == bootstrap(statistic, 50, seed=3)
    assert str(interval) == f"0.800 [{interval.low:.3f}, {interval.high:.3f}]"
