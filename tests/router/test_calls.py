"""The cost of an answer."""

import pytest

from router.calls import CallTarget, Usage, cost_of


@pytest.mark.parametrize(
    ("usage", "prices", "cost_usd"),
    [
        (Usage(input_tokens=10, output_tokens=20), (3.0, 15.0), 0.00033),
        (Usage(input_tokens=10, output_tokens=20, cost_usd=0.5), (3.0, 15.0), 0.5),
        (Usage(input_tokens=10, output_tokens=20), (0.0, 0.0), 0.0),
        (Usage(input_tokens=10, output_tokens=20), (3.0, None), None),
        (Usage(input_tokens=10), (3.0, 15.0), None),
    ],
    ids=["by price", "as charged", "free", "price unknown", "tokens unknown"],
)
def test_a_cost_is_the_charged_one_or_tokens_times_price_or_unknown(
    usage: Usage, prices: tuple[float | None, float | None], cost_usd: float | None
) -> None:
    target = CallTarget(model="m", endpoint="m", input_usd_per_mtok=prices[0], output_usd_per_mtok=prices[1])
    assert cost_of(usage, target) == (None if cost_usd is None else pytest.approx(cost_usd))
