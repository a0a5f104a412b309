import math

import pytest

from training.evaluation.intervals import Interval
from training.verdict.format import format_figure, format_interval, format_share


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.75312, "0.753"), (3.3421, "3.34"), (12345.6, "12,300"), (-0.0123, "-0.0123"), (0.0, "0.00")),
        *((math.inf, "inf"), (None, "unknown"), (math.nan, "unknown")),
    ],
)
def test_a_figure_has_three_digits(value: float | None, text: str) -> None:
    assert format_figure(value) == text


def test_all_figures_of_an_interval_have_the_decimal_places_of_the_largest() -> None:
    assert format_interval(Interval(value=0.0012, low=0.00091, high=math.inf), scale=1000) == "1.20 [0.91, inf]"
    assert format_interval(None) == "never"
    assert format_share(Interval(value=0.456, low=0.394, high=0.521)) == "46 % [39, 52]"
    assert format_share(Interval(value=-0.004, low=-0.02, high=0.01), signed=True) == "0 % [-2, +1]"
