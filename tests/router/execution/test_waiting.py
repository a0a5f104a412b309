"""Calls that wait for a cooldown instead of failing, alone and many at once."""

import asyncio
from collections import Counter

import pytest

from router.calls import CallRequest, Completion
from router.errors import CallError, NoModelAvailableError, ServingError
from router.execution.async_driver import acomplete
from router.execution.executors import as_executor
from router.execution.fake import FakeExecutor
from router.execution.policy import CallPolicy
from tests.router.execution.fakes import FakeEndpoints, SimulatedClock
from tests.router.execution.ways import Way, in_every_way
from tests.router.health.fakes import fail

DOWN = CallError("transient", "503", status=503)
LIMITED = CallError("rate_limit", "429", status=429, retry_after_s=2.0)
THIRTY = CallPolicy(deadline_s=30.0)


def limit(endpoints: FakeEndpoints, seconds: float) -> None:
    for name in "ab":
        fail(endpoints.live, name, "rate_limit", retry_after_s=seconds)


@in_every_way
def test_if_every_endpoint_has_a_rate_limit_the_call_is_answered_when_the_first_one_ends(way: Way) -> None:
    endpoints = FakeEndpoints("a", "b", policy=THIRTY)
    completion = way(endpoints, FakeExecutor({name: [LIMITED, "ok"] for name in "ab"}))
    assert completion.text == "ok"
    # 2 s, and up to 10 % more, so that not all come back at once.
    assert 2.0 <= endpoints.clock.now - 1000 <= 2.21
    assert [attempt.failure for attempt in completion.attempts] == ["rate_limit", "rate_limit", None]
    assert completion.attempts[-1].backoff_s == pytest.approx(endpoints.clock.now - 1000)


@in_every_way
def test_if_every_endpoint_fails_once_the_call_is_answered_after_a_pause(way: Way) -> None:
    endpoints = FakeEndpoints("a", "b", policy=THIRTY)
    completion = way(endpoints, FakeExecutor({name: [DOWN, "ok"] for name in "ab"}))
    assert [attempt.endpoint for attempt in completion.attempts] == ["a", "b", "a"]
    assert endpoints.clock.now == 1000.5


@in_every_way
def test_while_every_endpoint_rests_a_new_call_waits(way: Way) -> None:
    endpoints = FakeEndpoints("a", "b", policy=THIRTY)
    limit(endpoints, 2.0)
    completion = way(endpoints, FakeExecutor({name: ["ok"] for name in "ab"}))
    assert (completion.text, len(completion.attempts)) == ("ok", 1)
    assert 2.0 <= endpoints.clock.now - 1000 <= 2.21


@in_every_way
def test_a_new_call_does_not_wait_for_a_rest_beyond_its_deadline(way: Way) -> None:
    endpoints = FakeEndpoints("a", "b", policy=THIRTY)
    limit(endpoints, 31.0)
    executor = FakeExecutor()
    with pytest.raises(NoModelAvailableError) as refused:
        way(endpoints, executor)
    assert refused.value.retry_at is not None
    assert 1031.0 <= refused.value.retry_at <= 1034.1
    assert (endpoints.clock.now, executor.requests) == (1000.0, [])


def call_at_once(endpoints: FakeEndpoints, n_calls: int, acts: dict[str, list[CallError | None]]) -> Counter[str]:
    """Make calls at once and return how often each endpoint answered.

    Args:
        endpoints: On simulated time.
        n_calls: Number of calls.
        acts: Acts of each endpoint by the second of the request after the start. The last one is repeated.
    """

    async def answer(request: CallRequest) -> str:
        script = acts[request.endpoint]
        failure = script[min(int(endpoints.clock() - 1000), len(script) - 1)]
        await asyncio.sleep(0.1)
        if failure is not None:
            raise failure
        return "ok"

    async def once() -> Completion:
        return await acomplete(endpoints.plan(), as_executor(answer))

    async def main() -> list[Completion | BaseException]:
        return await asyncio.gather(*(once() for _ in range(n_calls)), return_exceptions=True)

    ends = endpoints.clock.run(main())
    assert all(isinstance(end, Completion | ServingError) for end in ends), ends
    assert endpoints.at_rest()
    return Counter(end.endpoint if isinstance(end, Completion) else str(end) for end in ends)


@pytest.mark.parametrize("n_calls", [10, 40])
@pytest.mark.parametrize("failure", [DOWN, LIMITED], ids=["503", "429"])
def test_however_many_calls_fail_at_the_first_model_at_once_the_second_answers_them(
    n_calls: int, failure: CallError
) -> None:
    endpoints = FakeEndpoints("a", "b", policy=THIRTY, clock=SimulatedClock())
    assert call_at_once(endpoints, n_calls, {"a": [failure], "b": [None]}) == {"b": n_calls}


def test_many_calls_wait_at_once_for_the_end_of_rate_limits() -> None:
    endpoints = FakeEndpoints("a", "b", policy=THIRTY, clock=SimulatedClock())
    ends = call_at_once(endpoints, 40, {name: [LIMITED, LIMITED, None] for name in "ab"})
    assert ends["a"] + ends["b"] == 40
    assert endpoints.clock() - 1000 < 3.0


def test_many_calls_wait_for_the_first_models_rate_limit_though_the_second_is_down() -> None:
    alone = FakeEndpoints("a", policy=THIRTY, clock=SimulatedClock())
    assert call_at_once(alone, 40, {"a": [LIMITED, LIMITED, None]}) == {"a": 40}
    both = FakeEndpoints("a", "b", policy=CallPolicy(deadline_s=30.0, max_attempts=4), clock=SimulatedClock())
    assert call_at_once(both, 40, {"a": [LIMITED, LIMITED, None], "b": [DOWN]}) == {"a": 40}
