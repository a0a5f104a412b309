"""The rules of a call: attempts, fallbacks, pauses and the deadline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.calls import CallTarget
from router.errors import (
    AllAttemptsFailedError,
    CallError,
    DeadlineExceededError,
    ServingError,
)
from router.execution.policy import CallPolicy
from router.execution.steps import Ask, Outcome, Pause
from tests.router.execution.fakes import PROMPT, FakeEndpoints
from tests.router.execution.plans import (
    BAD,
    DOWN,
    FIRST,
    LAST,
    LATE,
    LIMITED,
    OVERLOADED,
    REFUSED,
    REPLY,
    TOO_LONG,
    TOTALS,
    UNABLE,
    asked,
    end,
    kinds,
    tried,
)
from tests.router.health.fakes import fail


def test_the_best_target_is_asked_first_and_its_answer_ends_the_call() -> None:
    endpoints = FakeEndpoints("a", "b")
    plan = endpoints.plan(
        CallTarget(model="large", endpoint="a", input_usd_per_mtok=1.0, output_usd_per_mtok=5.0), endpoints.targets[1]
    )
    step = next(plan)
    assert isinstance(step, Ask)
    assert (step.request.model, step.request.endpoint) == ("large", "a")
    assert endpoints.health("a").inflight == 1
    endpoints.clock.now += 2.0
    completion = end(plan, REPLY)
    assert (completion.text, completion.model, completion.endpoint) == ("four", "large", "a")
    assert completion.cost_usd == pytest.approx(0.002)  # 1,000 × 1 USD + 200 × 5 USD per million
    (record,) = completion.attempts
    assert (record.seconds, record.failure, record.error, record.backoff_s) == (2.0, None, "", 0.0)
    assert endpoints.health("a").completed == 1
    assert endpoints.at_rest()


@pytest.mark.parametrize("failure", [DOWN, LIMITED, REFUSED], ids=["transient", "rate limit", "auth"])
def test_a_failure_of_the_endpoint_falls_back_at_once_in_the_order_of_the_ranking(failure: CallError) -> None:
    endpoints = FakeEndpoints("a", "b", "c")
    plan = endpoints.plan()
    assert tried(plan, failure, failure) == ["a", "b", "c"]
    completion = end(plan, REPLY)
    assert [record.failure for record in completion.attempts] == [failure.kind, failure.kind, None]
    assert [record.backoff_s for record in completion.attempts] == [0.0, 0.0, 0.0]


def test_an_endpoint_is_asked_once_and_there_are_three_attempts_in_all() -> None:
    endpoints = FakeEndpoints("a", "b", "c", "d")
    plan = endpoints.plan()
    assert tried(plan, DOWN, OVERLOADED) == ["a", "b", "c"]
    with pytest.raises(AllAttemptsFailedError, match="a: InternalServerError 503; b: InternalServerError 529") as failed:
        plan.send(LIMITED)
    assert kinds(failed.value) == [("a", "transient"), ("b", "transient"), ("c", "rate_limit")]
    assert failed.value.__cause__ is LIMITED
    assert endpoints.at_rest()


def test_after_a_round_of_failures_the_best_is_asked_again_after_a_pause() -> None:
    endpoints = FakeEndpoints("a", "b")
    plan = endpoints.plan()
    assert tried(plan, DOWN) == ["a", "b"]
    assert plan.send(DOWN) == Pause(seconds=0.5)
    endpoints.clock.sleep(0.5)
    assert asked(plan.send(None)) == "a"
    with pytest.raises(AllAttemptsFailedError, match="max_attempts=3 is reached"):
        plan.send(DOWN)


@pytest.mark.parametrize("refusal", [REFUSED, UNABLE, TOO_LONG], ids=["auth", "unable", "too long"])
def test_refusals_do_not_count_as_attempts_and_each_endpoint_refuses_once(refusal: CallError) -> None:
    endpoints = FakeEndpoints("a", "b", "c", "d", "e")
    plan = endpoints.plan(policy=CallPolicy(max_attempts=2))
    assert tried(plan, refusal, DOWN, refusal, refusal) == ["a", "b", "c", "d", "e"]
    with pytest.raises(AllAttemptsFailedError, match="max_attempts=2 is reached") as failed:
        plan.send(DOWN)
    assert [kind for _, kind in kinds(failed.value)] == [refusal.kind, "transient", refusal.kind, refusal.kind, "transient"]


def test_more_than_ten_refusals_count_as_attempts() -> None:
    plan = FakeEndpoints(*"abcdefghijklmn").plan(policy=CallPolicy(max_attempts=2))
    assert tried(plan, *[REFUSED] * 11) == list("abcdefghijkl")
    with pytest.raises(AllAttemptsFailedError, match="max_attempts=2 is reached"):
        plan.send(REFUSED)


def test_if_every_endpoint_refuses_the_call_ends_with_the_last_refusal() -> None:
    endpoints = FakeEndpoints("a", "b")
    plan = endpoints.plan()
    words = CallError("unable", "BadRequestError 400", status=400, code="unsupported_value", param="n", detail="n must be 1")
    assert tried(plan, REFUSED) == ["a", "b"]
    with pytest.raises(AllAttemptsFailedError, match="there is no other endpoint") as failed:
        plan.send(words)
    error = failed.value
    assert (error.failure, error.status, error.code, error.param) == (words, 400, "unsupported_value", "n")
    assert error.detail == "n must be 1"
    assert error.detail not in str(error) + repr(error) + repr(error.attempts)


def test_what_this_request_cannot_get_from_an_endpoint_does_not_count_against_it() -> None:
    endpoints = FakeEndpoints("a", "b")
    for _ in range(12):
        plan = endpoints.plan()
        assert tried(plan, UNABLE) == ["a", "b"]
        end(plan, REPLY)
    health = endpoints.health("a")
    assert (health.state, health.penalty_s, health.failures["unable"]) == ("closed", 0.0, 12)


def test_an_endpoint_that_refused_is_not_asked_again_though_it_failed_before() -> None:
    endpoints = FakeEndpoints("a")
    plan = endpoints.plan()
    assert tried(plan) == ["a"]
    assert plan.send(DOWN) == Pause(seconds=0.5)
    endpoints.clock.sleep(0.5)
    assert asked(plan.send(None)) == "a"
    with pytest.raises(AllAttemptsFailedError, match="there is no other endpoint"):
        plan.send(UNABLE)


def test_later_attempts_are_reported_like_the_first_and_the_next_call_sees_their_cooldowns() -> None:
    endpoints = FakeEndpoints("a", "b", "c")
    assert tried(endpoints.plan(), LIMITED, LIMITED) == ["a", "b", "c"]
    assert (endpoints.failures("a"), endpoints.failures("b")) == ({"rate_limit": 1}, {"rate_limit": 1})
    assert tried(endpoints.plan()) == ["c"]


@pytest.mark.parametrize("failure", [BAD, CallError("cancelled", "the caller left")])
def test_after_a_faulty_request_or_a_caller_who_left_no_other_endpoint_is_asked_and_none_trips(failure: CallError) -> None:
    endpoints = FakeEndpoints("a", "b")
    plan = endpoints.plan()
    assert tried(plan) == ["a"]
    with pytest.raises(AllAttemptsFailedError) as failed:
        plan.send(failure)
    assert kinds(failed.value) == [("a", failure.kind)]
    assert endpoints.health("a").state == "closed"


def test_a_single_endpoint_is_retried_after_a_random_pause_that_doubles_up_to_a_bound() -> None:
    endpoints = FakeEndpoints("a")
    plan = endpoints.plan(policy=CallPolicy(max_attempts=8))
    assert tried(plan) == ["a"]
    pauses = []
    for _ in range(7):
        step = plan.send(DOWN)
        assert isinstance(step, Pause)
        pauses.append(step.seconds)
        endpoints.clock.sleep(step.seconds)
        assert asked(plan.send(None)) == "a"
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert [record.backoff_s for record in end(plan, REPLY).attempts] == [0.0, *pauses]


def test_a_single_endpoint_with_a_rate_limit_is_asked_again_when_the_server_says_so() -> None:
    endpoints = FakeEndpoints("a")
    plan = endpoints.plan()
    next(plan)
    step = plan.send(LIMITED)
    assert isinstance(step, Pause)
    assert 7.0 <= step.seconds <= 7.71  # and up to 10 % more, so that not all come back at once
    endpoints.clock.sleep(step.seconds)
    assert asked(plan.send(None)) == "a"


def test_a_single_endpoint_is_not_waited_for_beyond_the_deadline() -> None:
    plan = FakeEndpoints("a").plan(policy=CallPolicy(deadline_s=7.0))
    next(plan)
    with pytest.raises(AllAttemptsFailedError, match="available again in time"):
        plan.send(LIMITED)


def test_a_refused_key_is_not_tried_again() -> None:
    plan = FakeEndpoints("a").plan()
    next(plan)
    with pytest.raises(AllAttemptsFailedError, match="there is no other endpoint"):
        plan.send(REFUSED)


def test_an_endpoint_whose_only_alternative_cools_down_is_retried_too() -> None:
    endpoints = FakeEndpoints("a", "b", "c")
    fail(endpoints.live, "b", "rate_limit", retry_after_s=60)
    plan = endpoints.plan(*endpoints.targets[:2])
    next(plan)
    assert plan.send(DOWN) == Pause(seconds=0.5)


def test_an_attempt_gets_what_is_left_of_the_deadline() -> None:
    endpoints = FakeEndpoints("a", "b", "c")
    plan = endpoints.plan(stream=True, policy=CallPolicy(deadline_s=40.0, first_token_s=20.0))
    step = next(plan)
    assert isinstance(step, Ask)
    assert (step.within_s, step.request.timeout_s) == (20.0, 40.0)
    assert (step.request.connect_timeout_s, step.request.chunk_timeout_s) == (5.0, 20.0)
    endpoints.clock.now += 37.0
    step = plan.send(DOWN)
    assert isinstance(step, Ask)
    # Until the first token three quarters, because "c" could still be asked.
    assert (step.within_s, step.request.timeout_s, step.request.connect_timeout_s) == (2.25, 3.0, 3.0)


def test_a_whole_answer_leaves_time_for_a_fallback_while_there_is_one() -> None:
    endpoints = FakeEndpoints("a", "b")
    plan = endpoints.plan()
    step = next(plan)
    assert isinstance(step, Ask)
    assert (step.within_s, step.request.timeout_s) == (90.0, 90.0)
    endpoints.clock.now += 10.0
    step = plan.send(DOWN)
    assert isinstance(step, Ask)
    assert step.within_s == 110.0
    alone = next(FakeEndpoints("a").plan())
    assert isinstance(alone, Ask)
    assert alone.within_s == 120.0


@pytest.mark.parametrize(
    ("failure", "counted"), [(LATE, {"cancelled": 1}), (DOWN, {"transient": 1}), (LIMITED, {"rate_limit": 1})]
)
def test_after_the_deadline_no_endpoint_is_asked_and_the_timeout_is_not_its_failure(
    failure: CallError, counted: dict[str, int]
) -> None:
    endpoints = FakeEndpoints("a", "b")
    plan = endpoints.plan()
    next(plan)
    endpoints.clock.now += 120.0
    with pytest.raises(DeadlineExceededError, match="120 s") as late:
        plan.send(failure)
    assert endpoints.failures("a") == counted
    assert len(late.value.attempts) == 1
    assert endpoints.at_rest()


def test_a_pause_that_outlasts_the_deadline_ends_the_call() -> None:
    endpoints = FakeEndpoints("a")
    plan = endpoints.plan()
    next(plan)
    assert isinstance(plan.send(DOWN), Pause)
    endpoints.clock.now += 120.0
    with pytest.raises(DeadlineExceededError):
        plan.send(None)


def test_the_prompt_is_in_no_repr_and_no_error() -> None:
    plan = FakeEndpoints("a").plan()
    step = next(plan)
    assert isinstance(step, Ask)
    assert step.request.messages[0]["content"] == PROMPT
    with pytest.raises(AllAttemptsFailedError) as failed:
        plan.send(BAD)
    assert PROMPT not in repr(step) + repr(failed.value) + repr(failed.value.attempts)


OUTCOMES = st.sampled_from([REPLY, FIRST, LAST, TOTALS, DOWN, LIMITED, REFUSED, UNABLE, BAD, TOO_LONG, LATE, None])


STEPS = st.lists(st.tuples(OUTCOMES, st.sampled_from([0.0, 1.0, 50.0])), max_size=12)


@given(names=st.sampled_from(["a", "ab", "abcd"]), steps=STEPS, stream=st.booleans())
def test_however_a_call_ends_nothing_stays_in_flight_and_each_attempt_is_reported_once(
    names: str, steps: list[tuple[Outcome, float]], stream: bool
) -> None:
    endpoints = FakeEndpoints(*names)
    plan = endpoints.plan(stream=stream)
    asks, refused, outcome = [], [], None
    try:
        step = next(plan)
        for outcome, seconds in steps:
            asks += [asked(step)] if isinstance(step, Ask) else []
            if isinstance(step, Ask) and outcome in (REFUSED, UNABLE, TOO_LONG):
                refused.append(asked(step))
            assert endpoints.health("a").inflight + sum(endpoints.health(name).inflight for name in names[1:]) <= 1
            endpoints.clock.now += seconds
            step = plan.send(None if isinstance(step, Pause) else outcome)
        asks += [asked(step)] if isinstance(step, Ask) else []
    except (StopIteration, ServingError):
        pass
    plan.close()
    assert endpoints.at_rest()
    assert len(asks) <= 3 + len(refused)
    assert len(set(refused)) == len(refused)
    reported = [health.completed + sum(health.failures.values()) for health in endpoints.live.snapshot().values()]
    assert sum(reported) == len(asks)
