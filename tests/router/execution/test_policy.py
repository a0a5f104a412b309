from collections.abc import Iterable
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.calls import Chunk, Completion, Reply, Target, Usage, cost_of
from router.errors import (
    AllAttemptsFailedError,
    CallError,
    DeadlineExceededError,
    InputError,
    NoCandidateError,
    NoModelAvailableError,
    ServingError,
    StreamInterruptedError,
)
from router.execution import Ask, CallPolicy, Command, More, Outcome, Pause, Plan, RetryBudget
from router.types import FailureClass
from tests.router.execution.fakes import PROMPT, USAGE, Fleet
from tests.router.health.clock import begin, fail

REPLY = Reply(text="four", finish_reason="stop", usage=USAGE)
DOWN = CallError("transient", "InternalServerError 503", status=503)
LIMITED = CallError("rate_limit", "RateLimitError 429", status=429, retry_after_s=7)
REFUSED = CallError("auth", "AuthenticationError 401", status=401)
BAD = CallError("request", "BadRequestError 400", status=400)
TOO_LONG = CallError("request", "BadRequestError 400", status=400, too_long=True)
LATE = CallError("transient", "nothing came within 30 s")
OVERLOADED = CallError("transient", "InternalServerError 529", status=529)


def asked(step: Command) -> str:
    assert isinstance(step, Ask)
    return step.request.endpoint


def tried(plan: Plan, *outcomes: Outcome) -> list[str]:
    """Send these outcomes in turn and tell which endpoints were asked until the plan wanted more."""
    endpoints = [asked(next(plan))]
    for outcome in outcomes:
        endpoints.append(asked(plan.send(outcome)))
    return endpoints


def end(plan: Plan, outcome: Outcome) -> Completion:
    with pytest.raises(StopIteration) as stopped:
        plan.send(outcome)
    assert isinstance(stopped.value.value, Completion)
    return stopped.value.value


def kinds(error: ServingError) -> list[tuple[str, FailureClass | None]]:
    return [(record.endpoint, record.failure) for record in error.attempts]


# Attempts and fallback


def test_the_best_target_is_asked_first_and_its_answer_ends_the_call() -> None:
    fleet = Fleet("a", "b")
    plan = fleet.plan(Target(model="large", endpoint="a", input_usd_per_mtok=1.0, output_usd_per_mtok=5.0), fleet.targets[1])
    step = next(plan)
    assert isinstance(step, Ask)
    assert (step.request.model, step.request.endpoint) == ("large", "a")
    assert fleet.health("a").inflight == 1
    fleet.clock.now += 2.0
    completion = end(plan, REPLY)
    assert (completion.text, completion.model, completion.endpoint) == ("four", "large", "a")
    assert completion.cost_usd == pytest.approx(0.002)  # 1,000 × 1 USD + 200 × 5 USD per million
    (record,) = completion.attempts
    assert (record.seconds, record.failure, record.error, record.backoff_s) == (2.0, None, "", 0.0)
    assert fleet.health("a").completed == 1
    assert fleet.at_rest()


@pytest.mark.parametrize("failure", [DOWN, LIMITED, REFUSED], ids=["transient", "rate limit", "auth"])
def test_a_failure_of_the_endpoint_falls_back_at_once_in_the_order_of_the_ranking(failure: CallError) -> None:
    fleet = Fleet("a", "b", "c")
    plan = fleet.plan()
    assert tried(plan, failure, failure) == ["a", "b", "c"]
    completion = end(plan, REPLY)
    assert [record.failure for record in completion.attempts] == [failure.kind, failure.kind, None]
    assert [record.backoff_s for record in completion.attempts] == [0.0, 0.0, 0.0]


def test_an_endpoint_is_asked_once_and_there_are_three_attempts_in_all() -> None:
    fleet = Fleet("a", "b", "c", "d")
    plan = fleet.plan()
    assert tried(plan, DOWN, OVERLOADED) == ["a", "b", "c"]
    with pytest.raises(AllAttemptsFailedError, match="a: InternalServerError 503; b: InternalServerError 529") as failed:
        plan.send(LIMITED)
    assert kinds(failed.value) == [("a", "transient"), ("b", "transient"), ("c", "rate_limit")]
    assert failed.value.__cause__ is LIMITED
    assert fleet.at_rest()


def test_with_every_target_tried_nobody_is_asked_again() -> None:
    plan = Fleet("a", "b").plan()
    assert tried(plan, DOWN) == ["a", "b"]
    with pytest.raises(AllAttemptsFailedError, match="nobody else"):
        plan.send(DOWN)


def test_later_attempts_are_reported_like_the_first_and_a_cooldown_is_seen_by_the_very_next_call() -> None:
    fleet = Fleet("a", "b", "c")
    assert tried(fleet.plan(), LIMITED, LIMITED) == ["a", "b", "c"]
    assert (fleet.failures("a"), fleet.failures("b")) == ({"rate_limit": 1}, {"rate_limit": 1})
    assert tried(fleet.plan()) == ["c"]


@pytest.mark.parametrize("failure", [BAD, CallError("cancelled", "the caller left")])
def test_a_request_at_fault_or_a_caller_who_left_asks_nobody_else_and_trips_nobody(failure: CallError) -> None:
    fleet = Fleet("a", "b")
    plan = fleet.plan()
    assert tried(plan) == ["a"]
    with pytest.raises(AllAttemptsFailedError) as failed:
        plan.send(failure)
    assert kinds(failed.value) == [("a", failure.kind)]
    assert fleet.health("a").state == "closed"


def window(name: str, tokens: int | None) -> Target:
    return Target(model=name, endpoint=name, context_window=tokens)


@pytest.mark.parametrize(
    ("windows", "second"),
    [
        ([8000, 8000, 16000], "c"),
        ([8000, None, 16000], "c"),
        ([8000, 9000, 16000], "b"),
        ([8000, 4000, None], None),
        ([None, 900, 1100], "c"),
    ],
    ids=["as large", "unknown", "larger", "none larger", "first unknown: larger than the estimate"],
)
def test_a_request_that_was_too_long_goes_only_to_a_model_known_to_have_more_room(
    windows: list[int | None], second: str | None
) -> None:
    fleet = Fleet("a", "b", "c")
    plan = fleet.plan(*(window(name, tokens) for name, tokens in zip("abc", windows, strict=True)), tokens=1000)
    assert tried(plan) == ["a"]
    if second is None:
        with pytest.raises(AllAttemptsFailedError):
            plan.send(TOO_LONG)
    else:
        assert asked(plan.send(TOO_LONG)) == second
    plan.close()
    assert set(fleet.failures("a")) == {"request"}


def test_a_fallback_never_has_less_room_than_the_prompt_needs() -> None:
    fleet = Fleet("a", "b", "c")
    plan = fleet.plan(window("a", 32000), window("b", 4000), window("c", 16000), tokens=10000)
    assert tried(plan, DOWN) == ["a", "c"]


def test_where_no_window_holds_the_estimate_the_largest_stay() -> None:
    plan = Fleet("a", "b", "c").plan(window("a", 4000), window("b", 32000), window("c", 16000), tokens=90000)
    assert tried(plan) == ["b"]


def test_only_targets_with_the_needed_capabilities_are_asked() -> None:
    seeing = frozenset({"vision", "tools"})
    fleet = Fleet("a", "b")
    blind, able = Target(model="a", endpoint="a"), Target(model="b", endpoint="b", capabilities=seeing)
    assert tried(fleet.plan(blind, able, needs=frozenset({"vision"}))) == ["b"]
    with pytest.raises(NoCandidateError, match="a: lacks vision"):
        next(fleet.plan(blind, needs=frozenset({"vision"})))


def test_a_call_needs_a_target() -> None:
    with pytest.raises(InputError, match="targets"):
        next(Fleet().plan())


# Retrying the only endpoint


def test_a_lone_endpoint_is_retried_after_a_random_pause_that_doubles_up_to_a_bound() -> None:
    fleet = Fleet("a")
    plan = fleet.plan(policy=CallPolicy(max_attempts=8))
    assert tried(plan) == ["a"]
    pauses = []
    for _ in range(7):
        step = plan.send(DOWN)
        assert isinstance(step, Pause)
        pauses.append(step.seconds)
        fleet.clock.sleep(step.seconds)
        assert asked(plan.send(None)) == "a"
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert [record.backoff_s for record in end(plan, REPLY).attempts] == [0.0, *pauses]


def test_a_lone_endpoint_with_a_rate_limit_is_asked_again_when_the_server_says_so() -> None:
    fleet = Fleet("a")
    plan = fleet.plan()
    next(plan)
    step = plan.send(LIMITED)
    assert isinstance(step, Pause)
    assert 7.0 <= step.seconds <= 7.71  # and up to 10 % more, so that not all come back at once
    fleet.clock.sleep(step.seconds)
    assert asked(plan.send(None)) == "a"


def test_a_lone_endpoint_is_not_waited_for_beyond_the_deadline() -> None:
    plan = Fleet("a").plan(policy=CallPolicy(deadline_s=7.0))
    next(plan)
    with pytest.raises(AllAttemptsFailedError, match="before the deadline"):
        plan.send(LIMITED)


def test_a_refused_key_is_not_tried_again() -> None:
    plan = Fleet("a").plan()
    next(plan)
    with pytest.raises(AllAttemptsFailedError, match="nobody else"):
        plan.send(REFUSED)


def test_an_endpoint_whose_only_alternative_cools_down_is_retried_too() -> None:
    fleet = Fleet("a", "b", "c")
    fail(fleet.live, "b", "rate_limit", retry_after_s=60)
    plan = fleet.plan(*fleet.targets[:2])
    next(plan)
    assert plan.send(DOWN) == Pause(seconds=0.5)


# Who may be asked


def test_with_everybody_cooling_down_the_error_tells_when_to_come_back_and_charges_nobody() -> None:
    fleet = Fleet("a", "b")
    for name, seconds in (("a", 60), ("b", 30)):
        fail(fleet.live, name, "rate_limit", retry_after_s=seconds)
    before = fleet.live.snapshot()
    with pytest.raises(NoModelAvailableError) as refused:
        next(fleet.plan())
    assert refused.value.retry_at is not None
    assert 1030 <= refused.value.retry_at <= 1033
    assert [health.failures for health in fleet.live.snapshot().values()] == [h.failures for h in before.values()]
    assert fleet.at_rest()


def test_in_a_panic_tripped_endpoints_are_asked_all_the_same() -> None:
    fleet = Fleet("a", "b")
    for name in ("a", "b"):
        fail(fleet.live, name, times=5)
    assert fleet.health("a").state == "open"
    assert tried(fleet.plan(), DOWN) == ["a", "b"]


def test_the_best_is_asked_though_others_try_it_for_the_first_time() -> None:
    fleet = Fleet("a", "b")
    begin(fleet.live, "a")
    assert tried(fleet.plan()) == ["a"]


# Time


def test_an_attempt_gets_what_is_left_of_the_deadline() -> None:
    fleet = Fleet("a", "b", "c")
    plan = fleet.plan(stream=True, policy=CallPolicy(deadline_s=40.0))
    step = next(plan)
    assert isinstance(step, Ask)
    assert (step.within_s, step.request.timeout_s) == (30.0, 40.0)
    assert (step.request.connect_timeout_s, step.request.chunk_timeout_s) == (5.0, 20.0)
    fleet.clock.now += 37.0
    step = plan.send(DOWN)
    assert isinstance(step, Ask)
    assert (step.within_s, step.request.timeout_s, step.request.connect_timeout_s) == (3.0, 3.0, 3.0)


def test_a_whole_answer_leaves_time_for_a_fallback_while_there_is_one() -> None:
    fleet = Fleet("a", "b")
    plan = fleet.plan()
    step = next(plan)
    assert isinstance(step, Ask)
    assert (step.within_s, step.request.timeout_s) == (90.0, 90.0)
    fleet.clock.now += 10.0
    step = plan.send(DOWN)
    assert isinstance(step, Ask)
    assert step.within_s == 110.0
    alone = next(Fleet("a").plan())
    assert isinstance(alone, Ask)
    assert alone.within_s == 120.0


@pytest.mark.parametrize(
    ("failure", "counted"), [(LATE, {"cancelled": 1}), (DOWN, {"transient": 1}), (LIMITED, {"rate_limit": 1})]
)
def test_after_the_deadline_nobody_is_asked_and_impatience_is_not_held_against_the_endpoint(
    failure: CallError, counted: dict[str, int]
) -> None:
    fleet = Fleet("a", "b")
    plan = fleet.plan()
    next(plan)
    fleet.clock.now += 120.0
    with pytest.raises(DeadlineExceededError, match="120 s") as late:
        plan.send(failure)
    assert fleet.failures("a") == counted
    assert len(late.value.attempts) == 1
    assert fleet.at_rest()


def test_a_pause_that_outlasts_the_deadline_ends_the_call() -> None:
    fleet = Fleet("a")
    plan = fleet.plan()
    next(plan)
    assert isinstance(plan.send(DOWN), Pause)
    fleet.clock.now += 120.0
    with pytest.raises(DeadlineExceededError):
        plan.send(None)


@pytest.mark.parametrize("field", ["deadline_s", "first_token_s", "max_attempts", "backoff_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_numbers_of_the_policy_are_positive(field: str, value: float) -> None:
    with pytest.raises(InputError, match=field):
        CallPolicy(**{field: value})  # type: ignore[arg-type]


def test_attempts_are_whole_and_the_retry_budget_may_be_zero() -> None:
    with pytest.raises(InputError, match=r"max_attempts must be a whole number, positive, was 2\.5"):
        CallPolicy(max_attempts=2.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="extra_attempts must be a whole number, not negative, was -1"):
        CallPolicy(extra_attempts=-1)
    assert CallPolicy(extra_attempts=0, extra_attempts_share=0).extra_attempts == 0


# The retry budget


@pytest.mark.parametrize(("calls", "limit"), [(1, 3), (19, 3), (20, 4), (24, 4), (25, 5), (100, 20)])
def test_the_budget_admits_exactly_three_extra_attempts_or_a_fifth_of_the_calls(calls: int, limit: int) -> None:
    budget = RetryBudget(CallPolicy())
    with ExitStack() as inflight:
        for _ in range(calls):
            inflight.enter_context(budget.call())
        granted = [inflight.enter_context(budget.extra_attempt()) for _ in range(limit + 2)]
    assert granted == [True] * limit + [False] * 2
    assert (budget._calls, budget._extra) == (0, 0)


def test_without_budget_a_failure_is_final() -> None:
    fleet = Fleet("a", "b", policy=CallPolicy(extra_attempts=1))
    first, second = fleet.plan(), fleet.plan()
    assert tried(first, DOWN) == ["a", "b"]
    assert tried(second) == ["a"]
    with pytest.raises(AllAttemptsFailedError, match="too many further attempts"):
        second.send(DOWN)
    end(first, REPLY)
    assert fleet.at_rest()


def test_an_extra_attempt_gives_its_place_back() -> None:
    fleet = Fleet("a", "b", policy=CallPolicy(extra_attempts=1))
    for _ in range(3):
        plan = fleet.plan()
        assert tried(plan, DOWN) == ["a", "b"]
        end(plan, REPLY)


# Streams


def chunks(plan: Plan, *outcomes: Outcome) -> list[Command]:
    return [plan.send(outcome) for outcome in outcomes]


FIRST, LAST = Chunk(text="fo"), Chunk(text="ur", finish_reason="stop")
TOTALS = Chunk(text="", usage=USAGE)


def test_a_stream_is_handed_over_chunk_by_chunk_and_is_complete_with_its_finish_reason() -> None:
    fleet = Fleet("a")
    plan = fleet.plan(stream=True)
    next(plan)
    fleet.clock.now += 1.5
    assert plan.send(FIRST) == More(within_s=20.0)
    fleet.clock.now += 100.0
    assert plan.send(LAST) == More(within_s=18.5)
    assert plan.send(TOTALS) == More(within_s=18.5)
    completion = end(plan, None)
    assert (completion.text, completion.finish_reason, completion.usage) == ("four", "stop", USAGE)
    (record,) = completion.attempts
    assert (record.first_token_s, record.seconds) == (1.5, 101.5)
    health = fleet.health("a")
    assert (health.completed, health.ttft_s) == (1, 1.5)
    assert health.s_per_token == pytest.approx(0.5)  # 100 s for 200 tokens


@pytest.mark.parametrize("failure", [DOWN, LATE, None], ids=["failure", "timeout", "no chunk at all"])
def test_a_stream_falls_back_before_its_first_chunk(failure: CallError | None) -> None:
    fleet = Fleet("a", "b")
    plan = fleet.plan(stream=True)
    assert tried(plan, failure) == ["a", "b"]
    assert chunks(plan, FIRST, LAST) == [More(within_s=20.0)] * 2
    assert [record.failure for record in end(plan, None).attempts] == ["transient", None]


@pytest.mark.parametrize("failure", [DOWN, LATE, None], ids=["failure", "timeout", "no finish reason"])
def test_a_stream_that_breaks_after_its_first_chunk_raises_what_had_arrived_and_asks_nobody_else(
    failure: CallError | None,
) -> None:
    fleet = Fleet("a", "b")
    plan = fleet.plan(stream=True)
    next(plan)
    chunks(plan, FIRST, Chunk(text="u"))
    with pytest.raises(StreamInterruptedError) as broken:
        plan.send(failure)
    assert broken.value.partial_text == "fou"
    assert kinds(broken.value) == [("a", "transient")]
    assert fleet.failures("a") == {"transient": 1}
    assert fleet.at_rest()


def test_after_the_finish_reason_nothing_spoils_the_answer() -> None:
    fleet = Fleet("a")
    plan = fleet.plan(stream=True)
    next(plan)
    chunks(plan, FIRST, LAST)
    assert end(plan, DOWN).text == "four"
    assert (fleet.health("a").completed, fleet.failures("a")) == (1, {})


def test_a_stream_that_outlasts_the_deadline_is_interrupted_without_blame() -> None:
    fleet = Fleet("a")
    plan = fleet.plan(stream=True)
    next(plan)
    plan.send(FIRST)
    fleet.clock.now += 120.0
    with pytest.raises(StreamInterruptedError, match="deadline of 120 s") as broken:
        plan.send(Chunk(text="u"))
    assert broken.value.partial_text == "fou"
    assert fleet.failures("a") == {"cancelled": 1}


@pytest.mark.parametrize(
    ("sent", "completed", "failures"),
    [((), 0, {"cancelled": 1}), ((FIRST,), 0, {"cancelled": 1}), ((FIRST, LAST), 1, {})],
    ids=["before the first chunk", "in the middle", "after the finish reason"],
)
def test_leaving_early_counts_as_cancelled_unless_the_answer_is_complete(
    sent: Iterable[Chunk], completed: int, failures: dict[str, int]
) -> None:
    fleet = Fleet("a")
    plan = fleet.plan(stream=True)
    next(plan)
    chunks(plan, *sent)
    assert fleet.health("a").inflight == 1
    plan.close()
    assert (fleet.health("a").completed, fleet.failures("a")) == (completed, failures)
    assert fleet.at_rest()


# Cost, secrets, and whatever may happen


@pytest.mark.parametrize(
    ("usage", "prices", "cost_usd"),
    [
        (Usage(input_tokens=10, output_tokens=20), (3.0, 15.0), 0.00033),
        (Usage(input_tokens=10, output_tokens=20, cost_usd=0.5), (3.0, 15.0), 0.5),
        (Usage(input_tokens=10, output_tokens=20), (0.0, 0.0), 0.0),
        (Usage(input_tokens=10, output_tokens=20), (3.0, None), None),
        (Usage(input_tokens=10), (3.0, 15.0), None),
    ],
    ids=["by price", "as charged", "free", "price unknown", "tokens unknown"],
)
def test_a_cost_is_what_was_charged_or_tokens_times_price_or_unknown(
    usage: Usage, prices: tuple[float | None, float | None], cost_usd: float | None
) -> None:
    target = Target(model="m", endpoint="m", input_usd_per_mtok=prices[0], output_usd_per_mtok=prices[1])
    assert cost_of(usage, target) == (None if cost_usd is None else pytest.approx(cost_usd))


def test_the_prompt_stands_in_no_repr_and_no_error() -> None:
    plan = Fleet("a").plan()
    step = next(plan)
    assert isinstance(step, Ask)
    assert step.request.messages[0]["content"] == PROMPT
    with pytest.raises(AllAttemptsFailedError) as failed:
        plan.send(BAD)
    assert PROMPT not in repr(step) + repr(failed.value) + repr(failed.value.attempts)


OUTCOMES = st.sampled_from([REPLY, FIRST, LAST, TOTALS, DOWN, LIMITED, REFUSED, BAD, TOO_LONG, LATE, None])
STEPS = st.lists(st.tuples(OUTCOMES, st.sampled_from([0.0, 1.0, 50.0])), max_size=12)


@given(names=st.sampled_from(["a", "ab", "abcd"]), steps=STEPS, stream=st.booleans())
def test_however_a_call_ends_nothing_stays_in_flight_and_each_attempt_is_reported_once(
    names: str, steps: list[tuple[Outcome, float]], stream: bool
) -> None:
    fleet = Fleet(*names)
    plan = fleet.plan(stream=stream)
    asks, outcome = [], None
    try:
        step = next(plan)
        for outcome, seconds in steps:
            asks += [asked(step)] if isinstance(step, Ask) else []
            assert fleet.health("a").inflight + sum(fleet.health(name).inflight for name in names[1:]) <= 1
            fleet.clock.now += seconds
            step = plan.send(None if isinstance(step, Pause) else outcome)
        asks += [asked(step)] if isinstance(step, Ask) else []
    except (StopIteration, ServingError):
        pass
    plan.close()
    assert fleet.at_rest()
    assert len(asks) <= 3
    assert len(set(asks)) in (len(asks), 1)
    reported = [health.completed + sum(health.failures.values()) for health in fleet.live.snapshot().values()]
    assert sum(reported) == len(asks)
