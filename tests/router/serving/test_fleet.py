"""The live state and the plan of a call of all models."""

import math
import pickle

import pytest

from router import InputError, Router
from router.calls import CallRequest
from router.errors import (
    AllAttemptsFailedError,
    NoModelAvailableError,
)
from router.execution.policy import CallPolicy
from router.serving.serving import Serving
from tests.router.fakes import model
from tests.router.health.fakes import FakeClock
from tests.router.serving.fakes import BEST, DOWN, GOOD, LIMITED, asked, serve


def test_the_first_of_the_ranking_is_asked() -> None:
    router = serve({"best": ["forty-two"]})
    completion = router.complete("what is six by seven", request={"temperature": 0.0})
    assert (completion.text, completion.model, asked(router)) == ("forty-two", "best", ["best"])
    request = router.fleet.executor.requests[0]  # type: ignore[attr-defined]
    assert request.messages == [{"role": "user", "content": "what is six by seven"}]
    assert request.options == {"temperature": 0.0}
    assert completion.decision.model == "best"


def test_if_the_first_model_fails_the_next_one_answers_and_both_attempts_are_recorded() -> None:
    router = serve({"best": [DOWN]})
    completion = router.complete("hello")
    assert completion.model == "good"
    assert [(attempt.model, attempt.failure) for attempt in completion.attempts] == [("best", "transient"), ("good", None)]


def test_explicit_fallbacks_replace_the_rest_of_the_ranking() -> None:
    router = serve({"best": [DOWN]})
    assert router.complete("hello", fallbacks=["poor"]).model == "poor"
    with pytest.raises(AllAttemptsFailedError):
        serve({"best": [DOWN]}, calls=CallPolicy(max_attempts=1)).complete("hello", fallbacks=[])
    assert serve({"best": [DOWN]}, fallbacks={"best": ["poor"]}).complete("hello").model == "poor"
    with pytest.raises(InputError, match=r"fallbacks must name models that exist and have an endpoint, got \['none'\]"):
        router.complete("hello", fallbacks=["none"])


def test_the_next_decision_sees_the_cooldown_after_a_rate_limit() -> None:
    clock = FakeClock()
    router = serve({"best": [LIMITED, "back"]}, clock=clock)
    assert router.complete("hello").model == "good"
    decision = router.route("hello")
    assert decision.ranking == ("good", "poor", "best")
    assert "these models cool down after failures and rank last: best" in decision.reasons
    assert router.complete("hello").model == "good"
    clock.now += 23  # Retry-After of 20 s and at most 10 % of jitter
    assert router.complete("hello").text == "back"


def test_if_all_models_cool_down_routing_still_ranks_and_calls_raise_the_time_of_the_first() -> None:
    clock = FakeClock()
    # The limits last for 20 s. A longer deadline would wait for their end.
    short = CallPolicy(deadline_s=10)
    router = serve({name: [LIMITED] for name in ("best", "good", "poor")}, clock=clock, calls=short)
    with pytest.raises(AllAttemptsFailedError):
        router.complete("hello")
    decision = router.route("hello")
    assert sorted(decision.ranking) == ["best", "good", "poor"]
    assert any("every model cools down" in reason for reason in decision.reasons)
    with pytest.raises(NoModelAvailableError) as refused:
        router.complete("hello")
    assert refused.value.retry_at is not None
    assert 1020 <= refused.value.retry_at <= 1022


def test_a_model_with_several_endpoints_is_asked_at_each_of_them() -> None:
    router = serve({"east": [DOWN], "west": [DOWN, "west is well"]}, endpoints={"best": {"east": 1.0, "west": 3.0}})
    completion = router.complete("hello")
    assert {attempt.endpoint for attempt in completion.attempts[:2]} == {"east", "west"}
    assert completion.model == "good"
    assert router.fleet.weights(["best"])["best"] == 4.0
    assert set(router.fleet.live.snapshot()) == {"east", "west", "good", "poor"}


def test_tools_need_a_model_that_has_them() -> None:
    router = serve({"best": [DOWN]})
    assert router.complete("hello", request={"tools": [{"type": "function"}]}).model == "poor"


def test_a_stream_falls_back_before_its_first_chunk_and_ends_with_the_completion() -> None:
    router = serve({"best": [DOWN], "good": ["one two three"]})
    with router.complete("count", stream=True) as stream:
        assert "".join(chunk.text for chunk in stream) == "one two three"
    assert stream.completion.model == "good"
    assert router.fleet.live.inflight("good") == 0


def test_observed_latency_outweighs_the_profiles() -> None:
    clock = FakeClock()
    fast, slow = model("fast", 0.5, latency_s=1.0), model("slow", 0.5, latency_s=5.0)

    def answer(request: CallRequest) -> str:
        clock.now += 30.0 if request.model == "fast" else 1.0
        return "ok"

    router = Router([fast, slow], prefer="fast", serving=Serving(executor=answer), clock=clock)
    assert [router.complete("hello").model for _ in range(2)] == ["fast", "slow"]
    assert router.route("hello").scores["fast"].latency_s == pytest.approx(30.0, rel=0.01)


def test_a_strategy_sees_the_live_state_of_the_available_models() -> None:
    seen = []

    def look(context: object) -> tuple[str, ...]:
        facts = (context.inflight, context.loads, context.weights)  # type: ignore[attr-defined]
        seen.append([dict(fact) for fact in facts])
        return context.candidates  # type: ignore[attr-defined,no-any-return]

    router = serve(strategy=look)
    with router.fleet.live.begin("good") as attempt:  # type: ignore[union-attr]
        router.route("hello")
        attempt.fail("rate_limit", retry_after_s=60)
    router.route("hello")
    assert seen == [
        # The load is infinite while a model is tried for the first time.
        [
            {"best": 0, "good": 1, "poor": 0},
            {"best": 1.0, "good": math.inf, "poor": 1.0},
            dict.fromkeys(("best", "good", "poor"), 1.0),
        ],
        [{"best": 0, "poor": 0}, {"best": 1.0, "poor": 1.0}, {"best": 1.0, "poor": 1.0}],
    ]


def test_a_router_that_serves_pickles_without_its_live_state() -> None:
    router = Router([BEST, GOOD], serving=Serving(executor=_shout), learn=True)
    router.complete("hello")
    router.feedback(router.route("hello"), 1.0)
    copy = pickle.loads(pickle.dumps(router))  # noqa: S301 - made on this line
    assert copy.learner.export() == router.learner.export()  # type: ignore[union-attr]
    assert copy.complete("hello").text == "HELLO"
    assert copy.fleet.live.snapshot()["best"].completed == 1


def _shout(request: CallRequest) -> str:
    return str(request.messages[-1]["content"]).upper()


def test_on_a_cold_start_every_request_goes_to_the_best_model() -> None:
    router = serve()
    attempts = []
    for _ in range(10):
        decision = router.route("hello")
        assert (decision.model, decision.reasons) == ("best", router.route("hello").reasons)
        attempts.append(router.fleet.live.begin(decision.model))
    assert router.fleet.live.inflight("best") == 10


def test_a_router_with_a_scripted_executor_pickles_and_its_script_starts_again() -> None:
    router = serve({"best": ["one", "two"]})
    assert router.complete("hello").text == "one"
    copy = pickle.loads(pickle.dumps(router))  # noqa: S301 - made on this line
    assert [copy.complete("hello").text for _ in range(2)] == ["one", "two"]
