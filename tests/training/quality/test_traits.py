import math

import numpy as np
import pytest

from training.data.facts import ModelFacts
from training.quality.traits import describe_models


def test_numbers_have_mean_0_and_deviation_1_and_0_for_the_unknown() -> None:
    facts = {
        "a": ModelFacts(input_usd_per_mtok=1.0, output_usd_per_mtok=3.0, parameters_b=8.0, released="2026-01"),
        "b": ModelFacts(input_usd_per_mtok=4.0, output_usd_per_mtok=12.0, parameters_b=8.0),
        "c": ModelFacts(),
    }
    traits = describe_models(["b", "c", "a"], facts, {})
    assert traits.models == ("a", "b", "c")
    # Two known prices lie one deviation below and above their mean. One size, or one date, tells nothing apart.
    np.testing.assert_allclose(traits.numbers, [[-1, 0, 0], [1, 0, 0], [0, 0, 0]], atol=1e-12)


def test_a_measured_cost_takes_the_place_of_unknown_prices() -> None:
    facts = {"a": ModelFacts(input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)}  # 1,000 tokens: 0.001 USD
    traits = describe_models(["a", "b", "c"], facts, {"b": 0.001, "c": 0.008})
    assert traits.numbers[:, 0].tolist() == pytest.approx([-math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(2)])


def test_variants_are_one_family_and_a_maker_of_one_family_is_no_maker() -> None:
    facts = {name: ModelFacts(provider=name[0]) for name in ("x1", "x2", "y1")}
    facts |= {"y1@high": ModelFacts(provider="y", request={"reasoning_effort": "high"})}
    traits = describe_models(list(facts), facts, {})
    assert traits.family.tolist() == [0, 1, 2, 2]
    assert traits.makers.tolist() == [[1.0], [1.0], [0.0], [0.0]]
