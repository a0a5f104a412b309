"""Answers that the caller does not accept."""

import asyncio
from collections.abc import Callable

import pytest

from router import Completion, InputError, Router
from router.calls import Reply, Usage
from router.errors import AllAttemptsFailedError
from router.execution.policy import CallPolicy
from tests.router.serving.fakes import DOWN, asked, serve

Ask = Callable[..., Completion]


def ask_sync(router: Router, **options: object) -> Completion:
    return router.complete("hello", **options)  # type: ignore[call-overload,no-any-return]


def ask_async(router: Router, **options: object) -> Completion:
    return asyncio.run(router.acomplete("hello", **options))  # type: ignore[call-overload,no-any-return]


both_ways = pytest.mark.parametrize("ask", [ask_sync, ask_async])


def is_long(reply: Reply) -> bool:
    return len(reply.text) > 5


@both_ways
def test_the_next_model_is_asked_until_an_answer_is_accepted(ask: Ask) -> None:
    usage = Usage(input_tokens=1000, output_tokens=100)
    router = serve({"best": ["short"], "good": [Reply(text="tiny", usage=usage)], "poor": ["a long answer"]})
    completion = ask(router, accept=is_long)
    assert (completion.text, completion.model) == ("a long answer", "poor")
    refused = "the answer was not accepted"
    attempts = [(attempt.model, attempt.failure, attempt.error) for attempt in completion.attempts]
    assert attempts == [("best", "rejected", refused), ("good", "rejected", refused), ("poor", None, "")]
    # 0.01 + 0.01 USD by the prices of this model. It did its work, so it is paid.
    assert completion.attempts[1].cost_usd == pytest.approx(0.02)


@both_ways
def test_an_answer_that_was_not_accepted_does_not_count_against_the_endpoint(ask: Ask) -> None:
    router = serve({"best": ["short"], "good": ["a long answer"]})
    for _ in range(6):
        assert ask(router, accept=is_long).model == "good"
    health = router.fleet.live.snapshot()["best"]
    assert (health.completed, sum(health.failures.values()), health.penalty_s, health.state) == (6, 0, 0.0, "closed")


@both_ways
def test_answers_that_were_not_accepted_count_as_attempts(ask: Ask) -> None:
    router = serve({}, calls=CallPolicy(max_attempts=2))
    with pytest.raises(AllAttemptsFailedError, match="max_attempts=2 is reached") as refused:
        ask(router, accept=lambda _: False)
    assert [attempt.model for attempt in refused.value.attempts] == ["best", "good"]
    assert asked(router) == ["best", "good"]


@both_ways
def test_a_model_whose_answer_was_not_accepted_is_not_asked_again(ask: Ask) -> None:
    router = serve({"best": ["short"]}, fallbacks={"best": []})
    with pytest.raises(AllAttemptsFailedError, match="there is no other endpoint"):
        ask(router, accept=is_long)
    assert asked(router) == ["best"]


@both_ways
def test_failures_are_not_shown_to_accept(ask: Ask) -> None:
    shown: list[str] = []

    def accept(reply: Reply) -> bool:
        shown.append(reply.text)
        return True

    assert ask(serve({"best": [DOWN], "good": ["yes"]}), accept=accept).text == "yes"
    assert shown == ["yes"]


@both_ways
def test_an_exception_of_accept_surfaces_and_leaves_nothing_in_flight(ask: Ask) -> None:
    def accept(reply: Reply) -> bool:
        raise KeyError(reply.finish_reason)

    router = serve({"best": ["short"]})
    with pytest.raises(KeyError, match="stop"):
        ask(router, accept=accept)
    assert asked(router) == ["best"]
    assert router.fleet.live.inflight("best") == 0


@pytest.mark.parametrize("options", [{"stream": True, "accept": is_long}, {"accept": "yes"}], ids=["stream", "no function"])
@both_ways
def test_accept_is_a_function_and_no_stream_has_it(ask: Ask, options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"accept must be a plain function of the reply,? and needs stream=False"):
        ask(serve(), **options)
