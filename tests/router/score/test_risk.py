import math

import pytest

from router import InputError
from router.score.risk import RiskCurve

# At 95 % the margin of a deviation of 0.2 over 400 prompts is 1.6449 · 0.2 / 20 = 0.0164, of 0.1 half of that.
CURVE = RiskCurve(
    reference="best",
    n=400,
    tolerances=[-0.05, 0.0, 0.1, 0.2],
    losses=[0.0, 0.01, 0.03, 0.001],
    deviations=[0.1, 0.1, 0.2, 0.0],
    savings=[0.1, 0.2, 0.4, 0.9],
)


@pytest.mark.parametrize(
    ("max_loss", "tolerance"), [(0.008, -math.inf), (0.0083, -0.05), (0.018, -0.05), (0.0183, 0.0), (0.0465, 0.2)]
)
def test_the_largest_tolerance_whose_loss_and_margin_fit_is_chosen(max_loss: float, tolerance: float) -> None:
    assert CURVE.choose(max_loss, 0.95) == tolerance


def test_tolerances_after_the_first_failure_are_not_tried() -> None:
    assert CURVE.choose(0.03, 0.95) == 0.0  # 0.2 would lose 0.001, but 0.1 fails before it


def test_more_confidence_never_tolerates_more() -> None:
    chosen = [CURVE.choose(0.02, confidence) for confidence in (0.5, 0.8, 0.95, 0.999)]
    assert chosen == sorted(chosen, reverse=True)
    assert chosen[0] > chosen[-1]


@pytest.mark.parametrize(("max_loss", "confidence"), [(-0.1, 0.9), (1.1, 0.9), (math.nan, 0.9), (0.02, 0), (0.02, 1)])
def test_an_argument_out_of_range_is_refused(max_loss: float, confidence: float) -> None:
    with pytest.raises(InputError, match="must be"):
        CURVE.choose(max_loss, confidence)


@pytest.mark.parametrize("wrong", [{"losses": [0.0]}, {"tolerances": [0.3, 0.2, 0.1, 0.0]}])
def test_an_invalid_curve_is_refused(wrong: dict[str, list[float]]) -> None:
    fields = {"tolerances": [0.0] * 4, "losses": [0.0] * 4, "deviations": [0.0] * 4, "savings": [0.0] * 4}
    with pytest.raises(InputError, match="tolerances must be ascending, and as many as losses"):
        RiskCurve(reference="best", n=1, **(fields | wrong))
