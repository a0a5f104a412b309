"""Values check their fields when they are made."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from router import CallPolicy, Endpoint, Estimate, HealthPolicy, InputError, ModelProfile, OpenAIExecutor, Router, Serving


def profile(**fields: Any) -> ModelProfile:
    return ModelProfile(**{"name": "a", **fields})


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: profile(name=3), "name must be a string that is not empty, got 3"),
        (lambda: profile(name=""), "name must be a string that is not empty"),
        (lambda: profile(provider=3), "provider must be a string, got 3"),
        (
            lambda: profile(quality={"math": 0.9}),
            r"quality must map tasks to values, such as .*Estimate\(.*, got {'math': 0.9}",
        ),
        (lambda: profile(quality=0.9), "quality must map tasks to values"),
        (lambda: profile(output_tokens={"math": "many"}), "output_tokens must map tasks to values"),
        (lambda: profile(capabilities=["vision"]), r"capabilities must be a frozenset of names, .*, got \['vision'\]"),
        (lambda: profile(capabilities="vision"), "capabilities must be a frozenset of names"),
        (lambda: profile(capabilities={1}), "capabilities must be a frozenset of names"),
        (lambda: profile(context_window="128k"), "context_window must be a whole number of tokens above 0, .*, got '128k'"),
        (lambda: profile(context_window=1.5), "context_window must be a whole number"),
        (lambda: profile(context_window=True), "context_window must be a whole number"),
        (lambda: profile(context_window=0), "context_window must be a whole number"),
        (lambda: profile(cost_usd="1"), "cost_usd must be a finite number of 0 or more, got '1'"),
        (lambda: profile(input_usd_per_mtok=-1), "input_usd_per_mtok must be a finite number of 0 or more, got -1"),
        (lambda: profile(prices_as_of="May 2026"), "prices_as_of must be a date as YYYY-MM-DD or YYYY-MM, got 'May 2026'"),
        (lambda: profile(latency_s=float("nan")), "latency_s must be a finite number"),
        (lambda: profile(weight="1"), "weight must be a number above 0, got '1'"),
        (lambda: Estimate(mean="x", stderr=0, n=1), "mean must be a number between 0 and 1, got 'x'"),  # type: ignore[arg-type]
        (lambda: Router([]), "a router needs at least one model, got none"),
        (lambda: Router("a"), "profiles must be a sequence of ModelProfile"),  # type: ignore[arg-type]
        (lambda: Router(profile()), "profiles must be a sequence of ModelProfile"),  # type: ignore[arg-type]
        (lambda: CallPolicy(deadline_s="30"), "deadline_s must be a finite number, positive, got '30'"),  # type: ignore[arg-type]
        (lambda: HealthPolicy(cooldown_s="30"), "cooldown_s must be a number, positive and finite, got '30'"),  # type: ignore[arg-type]
        (lambda: Serving(calls={"deadline_s": 30}), r"calls must be a CallPolicy, got dict; write CallPolicy\("),  # type: ignore[arg-type]
        (lambda: Serving(health=5), "health must be a HealthPolicy, got int"),  # type: ignore[arg-type]
        (lambda: Serving(spend=5), "spend must be a SpendCap, got int"),  # type: ignore[arg-type]
        (lambda: Serving(limits={"a": 5}), r"limits\['a'\] must be a RateLimit, got int"),  # type: ignore[dict-item]
        (lambda: Serving(limits=[5]), "limits must map models to values, got list"),  # type: ignore[arg-type]
        (lambda: Serving(fallbacks={"a": "b"}), r"fallbacks\['a'\] must be a sequence of models, .*, got 'b'"),
        (lambda: Serving(endpoints={"a": ["x"]}), r"endpoints\['a'\] must map endpoints to capacities above 0"),  # type: ignore[dict-item]
        (lambda: Serving(endpoints={"a": {"x": "1"}}), r"endpoints\['a'\] must map endpoints to capacities above 0"),  # type: ignore[dict-item]
        (lambda: Serving(endpoints={"a": {}}), r"endpoints\['a'\] must map endpoints to capacities above 0"),
        (lambda: Serving(executor=5), "executor must be a function, or have call.*, got int"),  # type: ignore[arg-type]
        (lambda: Serving(executor=OpenAIExecutor), "executor must be a function, .*, got the class OpenAIExecutor"),  # type: ignore[arg-type]
        (lambda: OpenAIExecutor([Endpoint()]), r"needs a mapping from names to Endpoint"),  # type: ignore[arg-type]
        (lambda: OpenAIExecutor({"a": "http://x"}), r"needs a mapping from names to Endpoint"),  # type: ignore[dict-item]
    ],
)
def test_a_wrong_type_is_an_input_error_with_the_field_and_the_remedy(make: Callable[[], object], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        make()


def test_numbers_of_numpy_and_sets_are_accepted() -> None:
    own = profile(context_window=np.int64(1000), cost_usd=np.float32(0.5), capabilities={"vision"}, weight=np.float64(2))
    assert (own.context_window, own.cost_usd, own.weight) == (1000, 0.5, 2.0)
