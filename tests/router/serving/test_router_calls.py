"""Calls of a router: learning, closing and the deadline."""

import asyncio
import pickle
from dataclasses import replace

import pytest

from router import Estimate, InputError, Router, RoutingContext
from router.calls import Reply, Usage
from router.errors import (
    AllAttemptsFailedError,
    CallError,
    DeadlineExceededError,
)
from router.execution.fake import FakeExecutor
from router.serving.serving import Serving
from tests.router.fakes import LABELS
from tests.router.health.fakes import FakeClock
from tests.router.serving.fakes import BEST, DOWN, GOOD, asked, serve


def test_awaited_calls_and_streams_fall_back_too() -> None:
    async def both() -> tuple[str, str]:
        router = serve({"best": [DOWN], "good": ["one two"]})
        completion = await router.acomplete("count")
        async with await router.acomplete("count", stream=True) as stream:
            return completion.text, "".join([chunk.text async for chunk in stream])

    assert asyncio.run(both()) == ("one two", "one two")


def test_feedback_moves_later_decisions_but_not_the_profiles() -> None:
    uncertain = {task: Estimate(mean=0.9, stderr=0.1, n=1) for task in LABELS}
    router = Router([replace(BEST, quality=uncertain), GOOD], prefer="quality", learn=True)
    before = router.profiles
    for _ in range(200):
        router.feedback(router.route("hello"), 0.0, model="best")
    decision = router.route("hello")
    assert decision.model == "good"
    # A fourteenth of 200 scores of 0 for each task is n = 14.29. The prior counts as 0.25 / 0.1² = 25 scores, less the share
    # of the memory of 500 that is full: 25 · (1 - n / 500) = 24.29. So 24.29 · 0.9 / (24.29 + 14.29).
    assert decision.scores["best"].quality == pytest.approx(0.5667, abs=1e-4)
    assert router.profiles == before
    with pytest.raises(InputError, match="make it with learn=True"):
        serve().feedback(decision, 1.0)


def test_feedback_on_an_answer_counts_for_the_model_that_gave_it() -> None:
    uncertain = {task: Estimate(mean=0.9, stderr=0.1, n=1) for task in LABELS}
    models = [replace(profile, quality=uncertain) for profile in (BEST, GOOD)]
    serving = Serving(executor=FakeExecutor({"best": [DOWN]}))
    router = Router(models, prefer="quality", serving=serving, learn=True, clock=FakeClock())
    answer = router.complete("hello")
    assert (answer.decision.model, answer.model) == ("best", "good")
    before = answer.decision.scores
    for _ in range(20):
        router.feedback(answer, 0.0)
    after = router.route("hello").scores
    assert after["good"].quality < before["good"].quality
    assert after["best"].quality == before["best"].quality
    # The argument still names another model.
    router.feedback(answer, 0.0, model="best")
    assert router.route("hello").scores["best"].quality < before["best"].quality
    with pytest.raises(InputError, match="feedback needs a completion or a decision of the router, got str"):
        router.feedback("four", 1.0)  # type: ignore[arg-type]


def test_lengths_of_answers_move_the_expected_cost() -> None:
    reply = Reply(text="long", usage=Usage(input_tokens=10, output_tokens=5000))
    router = Router([GOOD], serving=Serving(executor=FakeExecutor({"good": [reply]})), learn=True)
    before = router.route("hello").scores["good"].cost_usd
    router.complete("hello")
    after = router.route("hello").scores["good"].cost_usd
    assert before is not None
    assert after is not None
    assert after > before


def test_errors_of_calls_pickle() -> None:
    error = CallError("rate_limit", "429", status=429, retry_after_s=3.0, code="slow", param="n", detail="wait")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made on this line
    assert (copy.kind, copy.status, copy.retry_after_s, str(copy)) == ("rate_limit", 429, 3.0, "429")
    failed = pickle.loads(pickle.dumps(AllAttemptsFailedError("all", failure=error)))  # noqa: S301 - made on this line
    assert (failed.status, failed.code, failed.param, failed.detail) == (429, "slow", "n", "wait")
    assert AllAttemptsFailedError("all").status is None


def test_closing_a_router_closes_its_executor() -> None:
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
    serve().close()  # there is nothing to close
    asyncio.run(serve().aclose())


def test_the_deadline_covers_the_decision() -> None:
    clock = FakeClock()

    def think(context: RoutingContext) -> tuple[str, ...]:
        clock.now += 121.0
        return tuple(context.candidates)

    router = serve(strategy=think, clock=clock)
    with pytest.raises(DeadlineExceededError, match="no answer within the deadline of 120 s"):
        router.complete("hello")
    assert asked(router) == []
