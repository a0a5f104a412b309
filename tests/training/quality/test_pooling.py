import pytest

from training.quality.pooling import Cell, pool_benchmarks


@pytest.mark.parametrize(
    ("mean", "n", "variance"),
    [(0.5, 8, 0.03125), (1.0, 2, 0.09375), (0.0, 2, 0.09375)],  # p = 5/10: 0.25/8; p = 3/4 and 1/4: 0.1875/2
)
def test_the_variance_of_a_cell_by_hand(mean: float, n: float, variance: float) -> None:
    assert Cell(model="a", task="qa", benchmark="", mean=mean, n=n).variance == pytest.approx(variance)


def test_pooling_subtracts_difficulty_and_weighs_by_inverse_variance() -> None:
    # Both models score 0.2 higher on easy than on hard, so easy is 0.1 above the average of the task and hard 0.1 below.
    scores = {("a", "easy"): 0.9, ("a", "hard"): 0.7, ("b", "easy"): 0.6, ("b", "hard"): 0.4}
    cells = [Cell(model=m, task="qa", benchmark=b, mean=mean, n=1e6) for (m, b), mean in scores.items()]
    pooled = pool_benchmarks(cells)
    assert pooled["a", "qa"].mean == pytest.approx(0.8, abs=1e-4)
    assert pooled["b", "qa"].mean == pytest.approx(0.5, abs=1e-4)
    assert pooled["a", "qa"].n == 2e6
    assert 1 / pooled["a", "qa"].variance == pytest.approx(sum(1 / cell.variance for cell in cells[:2]))
