from typing import Any

import pytest

from router import InputError, Router
from router.batch import route_dataset
from router.batch.decided import COLUMNS
from tests.router.batch.conftest import PROMPTS

# Ray warns about its own settings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray")
ray_data = pytest.importorskip("ray.data", reason="Ray is not installed")


def test_a_data_set_gets_the_decisions_of_route_many_as_columns(shipped: Router, cluster: None) -> None:
    rows: list[dict[str, Any]] = [{"id": i, "prompt": text} for i, text in enumerate([*PROMPTS, None])]
    dataset = route_dataset(ray_data.from_items(rows, override_num_blocks=3), router=shipped, tier="first", prefix="to_")
    found = sorted(dataset.take_all(), key=lambda row: row["id"])
    expected = shipped.route_many(PROMPTS, tier="first")
    assert list(found[0]) == ["id", "prompt", *(f"to_{name}" for name in COLUMNS)]
    assert [row["to_model"] for row in found] == [*(decision.model for decision in expected), None]
    assert [row["to_quality"] for row in found[:-1]] == [decision.scores[decision.model].quality for decision in expected]
    assert [row["to_error"] is None for row in found] == [True] * len(PROMPTS) + [False]


def test_an_option_that_does_not_fit_is_refused_before_any_row_is_read(shipped: Router, cluster: None) -> None:
    dataset = ray_data.from_items([{"prompt": "x"}])
    with pytest.raises(InputError, match="unknown models"):
        route_dataset(dataset, router=shipped, allowed=["nobody"])
    with pytest.raises(InputError, match="must decide each prompt by itself"):
        route_dataset(dataset, router=Router(shipped.profiles, strategy="round-robin"))
