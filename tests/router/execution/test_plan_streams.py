"""The rules of a call that is a stream."""

from collections.abc import Iterable

import pytest

from router.calls import Chunk
from router.errors import (
    CallError,
    StreamInterruptedError,
)
from router.execution.steps import Command, More, Outcome, Plan
from tests.router.execution.fakes import USAGE, FakeEndpoints
from tests.router.execution.plans import (
    DOWN,
    FIRST,
    LAST,
    LATE,
    TOTALS,
    end,
    kinds,
    tried,
)


def chunks(plan: Plan, *outcomes: Outcome) -> list[Command]:
    return [plan.send(outcome) for outcome in outcomes]


def test_a_stream_is_released_chunk_by_chunk_and_is_complete_with_its_finish_reason() -> None:
    endpoints = FakeEndpoints("a")
    plan = endpoints.plan(stream=True)
    next(plan)
    endpoints.clock.now += 1.5
    assert plan.send(FIRST) == More(within_s=20.0)
    endpoints.clock.now += 100.0
    assert plan.send(LAST) == More(within_s=18.5)
    assert plan.send(TOTALS) == More(within_s=18.5)
    completion = end(plan, None)
    assert (completion.text, completion.finish_reason, completion.usage) == ("four", "stop", USAGE)
    (record,) = completion.attempts
    assert (record.first_token_s, record.seconds) == (1.5, 101.5)
    health = endpoints.health("a")
    assert (health.completed, health.ttft_s) == (1, 1.5)
    assert health.s_per_token == pytest.approx(0.5)  # 100 s for 200 tokens


@pytest.mark.parametrize("failure", [DOWN, LATE, None], ids=["failure", "timeout", "no chunk at all"])
def test_a_stream_falls_back_before_its_first_chunk(failure: CallError | None) -> None:
    endpoints = FakeEndpoints("a", "b")
    plan = endpoints.plan(stream=True)
    assert tried(plan, failure) == ["a", "b"]
    assert chunks(plan, FIRST, LAST) == [More(within_s=20.0)] * 2
    assert [record.failure for record in end(plan, None).attempts] == ["transient", None]


@pytest.mark.parametrize("failure", [DOWN, LATE, None], ids=["failure", "timeout", "no finish reason"])
def test_a_stream_that_breaks_after_its_first_chunk_raises_the_partial_text_and_asks_no_other_endpoint(
    failure: CallError | None,
) -> None:
    endpoints = FakeEndpoints("a", "b")
    plan = endpoints.plan(stream=True)
    next(plan)
    chunks(plan, FIRST, Chunk(text="u"))
    with pytest.raises(StreamInterruptedError) as broken:
        plan.send(failure)
    assert broken.value.partial_text == "fou"
    assert kinds(broken.value) == [("a", "transient")]
    assert endpoints.failures("a") == {"transient": 1}
    assert endpoints.at_rest()


def test_after_the_finish_reason_a_failure_does_not_spoil_the_answer() -> None:
    endpoints = FakeEndpoints("a")
    plan = endpoints.plan(stream=True)
    next(plan)
    chunks(plan, FIRST, LAST)
    assert end(plan, DOWN).text == "four"
    assert (endpoints.health("a").completed, endpoints.failures("a")) == (1, {})


def test_a_stream_that_outlasts_the_deadline_is_interrupted_and_counts_as_cancelled() -> None:
    endpoints = FakeEndpoints("a")
    plan = endpoints.plan(stream=True)
    next(plan)
    plan.send(FIRST)
    endpoints.clock.now += 120.0
    with pytest.raises(StreamInterruptedError, match="deadline of 120 s") as broken:
        plan.send(Chunk(text="u"))
    assert broken.value.partial_text == "fou"
    assert endpoints.failures("a") == {"cancelled": 1}


@pytest.mark.parametrize(
    ("sent", "completed", "failures"),
    [((), 0, {"cancelled": 1}), ((FIRST,), 0, {"cancelled": 1}), ((FIRST, LAST), 1, {})],
    ids=["before the first chunk", "in the middle", "after the finish reason"],
)
def test_leaving_early_counts_as_cancelled_unless_the_answer_is_complete(
    sent: Iterable[Chunk], completed: int, failures: dict[str, int]
) -> None:
    endpoints = FakeEndpoints("a")
    plan = endpoints.plan(stream=True)
    next(plan)
    chunks(plan, *sent)
    assert endpoints.health("a").inflight == 1
    plan.close()
    assert (endpoints.health("a").completed, endpoints.failures("a")) == (completed, failures)
    assert endpoints.at_rest()
