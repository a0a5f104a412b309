"""The router calls: rank, ask, fall back, count; with executors that answer from a script."""

import asyncio
import math
import pickle
import time
from dataclasses import replace

import pytest

from router import Estimate, InputError, Router, RoutingContext
from router.budgets import RateLimit, SpendCap
from router.calls import CallRequest, Usage
from router.errors import (
    AllAttemptsFailedError,
    BudgetExceededError,
    CallError,
    DeadlineExceededError,
    NoModelAvailableError,
)
from router.execution import CallPolicy, FakeExecutor
from router.execution.executors import Reply
from router.serving import Fleet, Serving
from tests.router.fakes import LABELS, model

BEST = model("best", 0.9, cost_usd=0.02, capabilities=frozenset({"tools"}))
GOOD = model("good", 0.8, cost_usd=0.01, input_usd_per_mtok=10.0, output_usd_per_mtok=100.0)
POOR = model("poor", 0.4, cost_usd=0.001, capabilities=frozenset({"tools"}))
DOWN = CallError("transient", "503", status=503)
LIMITED = CallError("rate_limit", "429", status=429, retry_after_s=20.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def serve(script: dict[str, list[object]] | None = None, *, clock: Clock | None = None, **options: object) -> Router:
    serving = {name: options.pop(name) for name in ("endpoints", "fallbacks", "calls", "limits", "spend") if name in options}
    executor = FakeExecutor(script)  # type: ignore[arg-type]
    return Router(
        [BEST, GOOD, POOR],
        prefer="quality",
        serving=Serving(executor=executor, **serving),  # type: ignore[arg-type]
        clock=clock or Clock(),
        **options,  # type: ignore[arg-type]
    )


def asked(router: Router) -> list[str]:
    return [request.endpoint for request in router.fleet.executor.requests]  # type: ignore[attr-defined]


def test_the_first_of_the_ranking_is_asked() -> None:
    router = serve({"best": ["forty-two"]})
    completion = router.complete("what is six by seven", request={"temperature": 0.0})
    assert (completion.text, completion.model, asked(router)) == ("forty-two", "best", ["best"])
    request = router.fleet.executor.requests[0]  # type: ignore[attr-defined]
    assert request.messages == [{"role": "user", "content": "what is six by seven"}]
    assert request.options == {"temperature": 0.0}
    assert completion.decision.model == "best"


def test_where_the_first_fails_the_next_answers_and_both_attempts_are_told() -> None:
    router = serve({"best": [DOWN]})
    completion = router.complete("hello")
    assert completion.model == "good"
    assert [(attempt.model, attempt.failure) for attempt in completion.attempts] == [("best", "transient"), ("good", None)]


def test_explicit_fallbacks_stand_in_for_the_rest_of_the_ranking() -> None:
    router = serve({"best": [DOWN]})
    assert router.complete("hello", fallbacks=["poor"]).model == "poor"
    with pytest.raises(AllAttemptsFailedError):
        serve({"best": [DOWN]}, calls=CallPolicy(max_attempts=1)).complete("hello", fallbacks=[])
    assert serve({"best": [DOWN]}, fallbacks={"best": ["poor"]}).complete("hello").model == "poor"
    with pytest.raises(InputError, match=r"fallbacks must name models that exist, were \['none'\]"):
        router.complete("hello", fallbacks=["none"])


def test_a_rate_limit_cools_a_model_down_for_the_very_next_decision() -> None:
    clock = Clock()
    router = serve({"best": [LIMITED, "back"]}, clock=clock)
    assert router.complete("hello").model == "good"
    decision = router.route("hello")
    assert decision.ranking == ("good", "poor", "best")
    assert "cooling down after failures, ranked last: best" in decision.reasons
    assert router.complete("hello").model == "good"
    clock.now += 23  # Retry-After of 20 s and at most a tenth of jitter
    assert router.complete("hello").text == "back"


def test_when_all_cool_down_routing_still_ranks_and_calls_say_when_to_come_back() -> None:
    clock = Clock()
    router = serve({name: [LIMITED] for name in ("best", "good", "poor")}, clock=clock)
    with pytest.raises(AllAttemptsFailedError):
        router.complete("hello")
    decision = router.route("hello")
    assert sorted(decision.ranking) == ["best", "good", "poor"]
    assert any("every model cools down" in reason for reason in decision.reasons)
    with pytest.raises(NoModelAvailableError) as refused:
        router.complete("hello")
    assert refused.value.retry_at is not None
    assert 1020 <= refused.value.retry_at <= 1022


def test_a_model_of_several_endpoints_outlives_one_of_them() -> None:
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


def test_awaited_calls_and_streams_do_the_same() -> None:
    async def both() -> tuple[str, str]:
        router = serve({"best": [DOWN], "good": ["one two"]})
        completion = await router.acomplete("count")
        async with await router.acomplete("count", stream=True) as stream:
            return completion.text, "".join([chunk.text async for chunk in stream])

    assert asyncio.run(both()) == ("one two", "one two")


def test_a_plain_function_is_an_executor() -> None:
    def shout(request: CallRequest) -> str:
        return str(request.messages[-1]["content"]).upper()

    router = Router([BEST], serving=Serving(executor=shout))
    assert router.complete("hello").text == "HELLO"
    assert asyncio.run(router.acomplete("hello")).text == "HELLO"


def test_without_an_executor_of_the_right_kind_a_call_says_what_to_do() -> None:
    async def answer(_: CallRequest) -> str:
        return "hello"

    with pytest.raises(InputError, match=r"make the router with serving=Serving\(executor=…\)"):
        Router([BEST]).complete("hello")
    awaited = Router([BEST], serving=Serving(executor=answer))
    with pytest.raises(InputError, match=r"await acomplete\(\)"):
        awaited.complete("hello")
    assert asyncio.run(awaited.acomplete("hello")).text == "hello"


def test_serving_must_name_models_that_exist_and_endpoints_of_one_model_each() -> None:
    with pytest.raises(InputError, match=r"endpoints must be of models that exist, were of \['x'\]"):
        Fleet([BEST], Serving(endpoints={"x": {"e": 1.0}}))
    with pytest.raises(InputError, match=r"fallbacks must name models that exist, were \['x'\]"):
        Fleet([BEST], Serving(fallbacks={"best": ["x"]}))
    with pytest.raises(InputError, match="an endpoint must serve one model"):
        Fleet([BEST, GOOD], Serving(endpoints={"best": {"e": 1.0}, "good": {"e": 1.0}}))


def test_a_model_whose_limit_per_minute_is_reached_is_passed_over() -> None:
    router = serve(limits={"best": RateLimit(requests_per_minute=2)})
    assert [router.complete("hello").model for _ in range(4)] == ["best", "best", "good", "good"]
    assert router.fleet.live.inflight("best") == 0
    alone = serve(limits={name: RateLimit(requests_per_minute=1) for name in ("best", "good", "poor")})
    assert [alone.complete("hello").model for _ in range(3)] == ["best", "good", "poor"]
    with pytest.raises(BudgetExceededError, match="limits per minute of best, good, poor are reached") as refused:
        alone.complete("hello")
    assert isinstance(refused.value.__cause__, NoModelAvailableError)


def test_a_spending_cap_refuses_or_asks_who_still_fits() -> None:
    refusing = serve(spend=SpendCap(usd=0.05))
    assert [refusing.complete("hello").model for _ in range(2)] == ["best", "best"]  # whose cost counts as expected: 0.02
    with pytest.raises(BudgetExceededError, match=r"0\.05 USD per 86400 s 0\.01 are left, best is expected to cost 0\.02"):
        refusing.complete("hello")
    thrifty = serve(spend=SpendCap(usd=0.05, on_spent="downgrade"))
    assert [thrifty.complete("hello").model for _ in range(3)] == ["best", "best", "poor"]


def test_what_an_answer_cost_counts_and_what_failed_does_not() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100)  # 0.01 + 0.01 USD
    router = serve({"best": [DOWN], "good": [Reply(text="ok", usage=usage)]}, spend=SpendCap(usd=1.0))
    assert router.complete("hello").cost_usd == pytest.approx(0.02)
    assert router.fleet.purse is not None
    assert router.fleet.purse.remaining_usd() == pytest.approx(0.98)
    failing = serve({name: [DOWN] for name in ("best", "good", "poor")}, spend=SpendCap(usd=1.0))
    with pytest.raises(AllAttemptsFailedError):
        failing.complete("hello")
    assert failing.fleet.purse is not None
    assert failing.fleet.purse.remaining_usd() == 1.0


def test_a_stream_that_is_given_up_counts_as_expected() -> None:
    router = serve({"best": ["one two three"]}, spend=SpendCap(usd=1.0))
    with router.complete("count", stream=True) as stream:
        next(iter(stream))
    assert router.fleet.purse is not None
    assert router.fleet.purse.remaining_usd() == pytest.approx(0.98)
    assert router.fleet.live.inflight("best") == 0


def test_feedback_moves_later_decisions_but_not_the_profiles() -> None:
    open_minded = {task: Estimate(mean=0.9, stderr=0.1, n=1) for task in LABELS}
    router = Router([replace(BEST, quality=open_minded), GOOD], prefer="quality", learn=True)
    before = router.profiles
    for _ in range(200):
        router.feedback(router.route("hello"), 0.0, model="best")
    decision = router.route("hello")
    assert decision.model == "good"
    # A fourteenth of 200 scores of 0 for each task: 100 · 0.9 / (100 + 200 / 14 / 0.25)
    assert decision.scores["best"].quality == pytest.approx(0.5727, abs=1e-4)
    assert router.profiles == before
    with pytest.raises(InputError, match="make it with learn=True"):
        serve().feedback(decision, 1.0)


def test_lengths_of_answers_move_the_expected_cost() -> None:
    reply = Reply(text="long", usage=Usage(input_tokens=10, output_tokens=5000))
    router = Router([GOOD], serving=Serving(executor=FakeExecutor({"good": [reply]})), learn=True)
    before = router.route("hello").scores["good"].cost_usd
    router.complete("hello")
    after = router.route("hello").scores["good"].cost_usd
    assert before is not None
    assert after is not None
    assert after > before


def test_observed_latency_outweighs_the_profiles() -> None:
    clock = Clock()
    fast, slow = model("fast", 0.5, latency_s=1.0), model("slow", 0.5, latency_s=5.0)

    def answer(request: CallRequest) -> str:
        clock.now += 30.0 if request.model == "fast" else 1.0
        return "ok"

    router = Router([fast, slow], prefer="fast", serving=Serving(executor=answer), clock=clock)
    assert [router.complete("hello").model for _ in range(2)] == ["fast", "slow"]
    assert router.route("hello").scores["fast"].latency_s == pytest.approx(30.0, rel=0.01)


def test_a_strategy_sees_live_facts_of_the_models_that_may_be_asked() -> None:
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
        # What comes of the first request to a model is not known while it is under way.
        [
            {"best": 0, "good": 1, "poor": 0},
            {"best": 1.0, "good": math.inf, "poor": 1.0},
            dict.fromkeys(("best", "good", "poor"), 1.0),
        ],
        [{"best": 0, "poor": 0}, {"best": 1.0, "poor": 1.0}, {"best": 1.0, "poor": 1.0}],
    ]


def test_a_router_that_serves_pickles_and_starts_afresh() -> None:
    router = Router([BEST, GOOD], serving=Serving(executor=_shout), learn=True)
    router.complete("hello")
    router.feedback(router.route("hello"), 1.0)
    copy = pickle.loads(pickle.dumps(router))  # noqa: S301 - made on this line
    assert copy.learner.export() == router.learner.export()  # type: ignore[union-attr]
    assert copy.complete("hello").text == "HELLO"
    assert copy.fleet.live.snapshot()["best"].completed == 1


def _shout(request: CallRequest) -> str:
    return str(request.messages[-1]["content"]).upper()


def test_errors_of_calls_pickle() -> None:
    error = CallError("rate_limit", "429", status=429, retry_after_s=3.0)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made on this line
    assert (copy.kind, copy.status, copy.retry_after_s, str(copy)) == ("rate_limit", 429, 3.0, "429")


def test_closing_a_router_closes_what_its_executor_keeps() -> None:
    class Keeper(FakeExecutor):
        closed: tuple[str, ...] = ()

        def close(self) -> None:
            self.closed += ("close",)

        async def aclose(self) -> None:
            self.closed += ("aclose",)

    keeper = Keeper()
    router = Router([BEST], serving=Serving(executor=keeper))
    router.close()
    asyncio.run(router.aclose())
    assert keeper.closed == ("close", "aclose")
    serve().close()  # nothing to close
    asyncio.run(serve().aclose())


def test_on_a_cold_start_every_request_goes_to_the_best_model() -> None:
    router = serve()
    attempts = []
    for _ in range(10):
        decision = router.route("hello")
        assert (decision.model, decision.reasons) == ("best", router.route("hello").reasons)
        attempts.append(router.fleet.live.begin(decision.model))
    assert router.fleet.live.inflight("best") == 10


def test_a_call_that_is_given_up_while_it_is_decided_puts_nothing_aside() -> None:
    def think(context: RoutingContext) -> tuple[str, ...]:
        time.sleep(0.2)
        return tuple(context.candidates)

    async def give_up(router: Router) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await router.acomplete("hello")

    router = serve(strategy=think, spend=SpendCap(usd=1.0))
    asyncio.run(give_up(router))
    assert router.fleet.purse is not None
    assert router.fleet.purse.remaining_usd() == 1.0


def test_the_deadline_covers_the_decision() -> None:
    clock = Clock()

    def think(context: RoutingContext) -> tuple[str, ...]:
        clock.now += 121.0
        return tuple(context.candidates)

    router = serve(strategy=think, clock=clock)
    with pytest.raises(DeadlineExceededError, match="no answer within the deadline of 120 s"):
        router.complete("hello")
    assert asked(router) == []
