from typing import Any

import pytest

from router import Estimate, InputError, ModelProfile, Router
from router.batch.decided import PromptDecider, Totals
from router.options import RouteOptions
from tests.router.batch.conftest import PROMPTS

OPTIONS: list[dict[str, Any]] = [
    {},
    {"prefer": "fast"},
    {"prefer": "quality"},
    {"quality_floor": 0.95},
    {"usd_per_point": 0.01},
    {"max_cost_usd": 0.001},
    {"focus": "technical"},
    {"needs": ["vision"]},
    {"tier": "first"},
    {"tier": "full"},
    {"allowed": ["gpt-5.5", "gpt-4.1-mini"]},
]
# Costs and latencies that are unknown in part, and windows that a long prompt exceeds.
OWN = [
    ModelProfile(name="a", quality={"math": Estimate(mean=0.9, stderr=0.1, n=9)}, cost_usd=0.01, context_window=3000),
    ModelProfile(name="b", quality={"coding": Estimate(mean=0.8, stderr=0.1, n=9)}, latency_s=2.0, context_window=900),
    ModelProfile(name="c", cost_usd=0.0001, capabilities=frozenset({"vision"})),
    ModelProfile(name="d", cost_usd=0.003, latency_s=9.0, context_window=1500),
]
IMAGE = [{"role": "user", "content": [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {}}]}]
CHAT = [
    {"role": "user", "content": "prove that sqrt(2) is irrational"},
    {"role": "assistant", "content": "Assume it is rational."},
    {"role": "user", "content": "go on"},
]


def assert_as_route_many(router: Router, prompts: list[Any], **options: Any) -> None:
    expected = router.route_many(prompts, **options)
    decided = PromptDecider(router, RouteOptions.of(options)).decide(prompts)
    scores = [decision.scores[decision.model] for decision in expected]
    # Equal in every bit, not only approximately.
    assert decided.model == [decision.model for decision in expected]
    assert decided.quality == [score.quality for score in scores]
    assert decided.cost_usd == [score.cost_usd for score in scores]
    assert decided.latency_s == [score.latency_s for score in scores]
    assert decided.task == [decision.task for decision in expected]
    assert decided.confidence == [decision.prediction.confidence for decision in expected]
    assert decided.source == [decision.prediction.source for decision in expected]
    assert decided.tier == [decision.prediction.tier for decision in expected]
    assert decided.error == [None] * len(prompts)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_decisions_equal_those_of_route_many(shipped: Router, options: dict[str, Any]) -> None:
    assert_as_route_many(shipped, [*PROMPTS, CHAT], **options)


@pytest.mark.parametrize("options", [{}, {"prefer": "fast"}, {"max_cost_usd": 0.002}, {"quality_floor": 0.9}], ids=str)
def test_unknown_costs_and_small_windows_count_as_in_route_many(options: dict[str, Any]) -> None:
    assert_as_route_many(Router(OWN), [*PROMPTS, CHAT, IMAGE], **options)


@pytest.mark.parametrize("strategy", ["model-aware", "consistent-hash", "weighted-key"])
def test_strategies_of_one_prompt_decide_as_in_route_many(shipped: Router, strategy: str) -> None:
    router = Router(shipped.profiles, strategy=strategy)
    assert_as_route_many(router, [*PROMPTS, CHAT], key="user-1")


@pytest.mark.parametrize("strategy", ["round-robin", "dynamic", "least-busy", "weighted", "weighted-random", "sticky"])
def test_strategies_that_look_at_more_than_one_prompt_are_refused(strategy: str) -> None:
    with pytest.raises(InputError, match="must decide each prompt by itself"):
        PromptDecider(Router(OWN, strategy=strategy), RouteOptions())


def test_a_faulty_prompt_gets_an_error_without_its_text() -> None:
    secret = "my secret"
    values: list[Any] = ["hello", None, [], 7, [{"content": secret}], IMAGE]
    decided = PromptDecider(Router([OWN[0], OWN[3]]), RouteOptions()).decide(values)
    assert [error is None for error in decided.error] == [True, False, False, False, False, False]
    assert decided.model == ["a", None, None, None, None, None]
    assert decided.task[1:] == decided.quality[1:] == decided.source[1:] == decided.tier[1:] == [None] * 5
    assert "lacks vision" in str(decided.error[-1])
    assert secret not in str(decided.error)
    totals = Totals.of(decided)
    assert (totals.rows, totals.errors, totals.models) == (6, 5, {"a": 1})


def test_no_prompts_are_no_decisions() -> None:
    decided = PromptDecider(Router(OWN), RouteOptions()).decide([])
    assert decided.model == decided.error == []
