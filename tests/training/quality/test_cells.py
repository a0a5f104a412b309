import numpy as np
import pytest

from training.quality.cells import Cell, CellArrays
from training.quality.traits import describe_models


@pytest.mark.parametrize(
    ("mean", "n", "variance"),
    [(0.5, 8, 0.03125), (1.0, 2, 0.09375), (0.0, 2, 0.09375)],  # p = 5/10: 0.25/8; p = 3/4 and 1/4: 0.1875/2
)
def test_the_variance_of_a_cell_by_hand(mean: float, n: float, variance: float) -> None:
    assert Cell(model="a", task="qa", benchmark="", mean=mean, n=n).variance == pytest.approx(variance)


def test_arrays_do_not_depend_on_the_order_of_the_cells() -> None:
    cells = [Cell(model=m, task=t, benchmark=b, mean=0.5, n=4) for m in "ba" for t in ("qa", "math") for b in "yx"]
    traits = describe_models(["b", "a"], {}, {})
    one, other = (CellArrays.of(some, ("qa", "math"), traits) for some in (cells, cells[::-1]))
    assert one.columns == other.columns == (("math", "x"), ("math", "y"), ("qa", "x"), ("qa", "y"))
    assert one.task.tolist() == [1, 1, 0, 0]
    assert one.model.tolist() == other.model.tolist() == [0] * 4 + [1] * 4
    np.testing.assert_array_equal(one.variance, other.variance)
