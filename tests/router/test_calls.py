"""The cost of an answer."""

import pytest

from router.calls import CallTarget, Usage, cost_of, price_usage
from router.types import ModelProfile


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


TEXT = {"input_usd_per_mtok": 2.0, "output_usd_per_mtok": 8.0}
KINDS = {
    "cached_input_usd_per_mtok": 0.2,
    "cache_write_usd_per_mtok": 2.5,
    "audio_input_usd_per_mtok": 32.0,
    "audio_output_usd_per_mtok": 64.0,
    "image_input_usd_per_mtok": 5.0,
}


@pytest.mark.parametrize(
    ("kinds", "usd"),
    [
        ({}, 1000 * 2 + 100 * 8),
        ({"cached_tokens": 600}, 400 * 2 + 600 * 0.2 + 100 * 8),
        ({"cache_write_tokens": 600}, 400 * 2 + 600 * 2.5 + 100 * 8),
        ({"audio_input_tokens": 600}, 400 * 2 + 600 * 32 + 100 * 8),
        ({"image_input_tokens": 600}, 400 * 2 + 600 * 5 + 100 * 8),
        ({"audio_output_tokens": 60}, 1000 * 2 + 40 * 8 + 60 * 64),
        ({"cached_tokens": 800, "audio_input_tokens": 900}, 800 * 0.2 + 900 * 32 + 100 * 8),
    ],
    ids=["text only", "cache", "written to the cache", "audio", "images", "a spoken answer", "cached audio"],
)
def test_each_token_costs_the_price_of_its_kind(kinds: dict[str, int], usd: float) -> None:
    usage = Usage(input_tokens=1000, output_tokens=100, **kinds)
    for prices in (ModelProfile(name="m", **TEXT, **KINDS), CallTarget(model="m", endpoint="m", **TEXT, **KINDS)):
        assert price_usage(usage, prices) == pytest.approx(usd / 1e6)
    # Without prices of their own, all tokens cost as much as text.
    assert price_usage(usage, ModelProfile(name="m", **TEXT)) == pytest.approx((1000 * 2 + 100 * 8) / 1e6)
