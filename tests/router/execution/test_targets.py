"""Which targets of a call are asked."""

from contextlib import suppress

import pytest

from router.calls import CallTarget
from router.errors import (
    AllAttemptsFailedError,
    CallError,
    InputError,
    NoCandidateError,
    NoModelAvailableError,
)
from router.execution.endpoint import Endpoint
from router.execution.policy import CallPolicy
from router.execution.steps import Pause
from router.health.policy import HealthPolicy
from tests.router.execution.fakes import FakeEndpoints
from tests.router.execution.plans import DOWN, REFUSED, REPLY, TOO_LONG, UNABLE, asked, end, tried
from tests.router.health.fakes import begin, fail


def window(name: str, tokens: int | None) -> CallTarget:
    return CallTarget(model=name, endpoint=name, context_window=tokens)


def ask_until_none_is_left(windows: list[int | None], tokens: int, limit: int | None) -> str:
    """Return the endpoints that are asked if the request is too long for each, and the first names a limit."""
    endpoints = FakeEndpoints(*"abcd"[: len(windows)])
    plan = endpoints.plan(*(window(name, w) for name, w in zip("abcd", windows, strict=False)), tokens=tokens)
    names = asked(next(plan))
    failure = CallError("unable", "400", status=400, too_long=True, context_limit=limit)
    with suppress(AllAttemptsFailedError):
        while True:
            names += asked(plan.send(failure))
            failure = TOO_LONG
    assert [endpoints.failures(name) for name in names] == [{"unable": 1}] * len(names)
    assert {endpoints.health(name).penalty_s for name in names} == {0.0}
    return names


@pytest.mark.parametrize(
    ("windows", "tokens", "limit", "asked_names"),
    [
        ([8000, 8000, 16000], 0, None, "ac"),
        ([8000, None, 16000], 0, None, "acb"),
        ([8000, 9000, 16000], 0, None, "abc"),
        ([8000, 4000, None], 0, None, "ac"),
        ([8000, 8000, 4000], 0, None, "a"),
        ([None, 900, 1100], 0, None, "abc"),
        ([8000, 8000, 4000], 1000, None, "abc"),
        ([8000, 2000, 4096, 2048], 1000, 2048, "ac"),
        ([8000, 9000, None], 0, 10000, "ac"),
        ([None, None, 9000], 0, 8192, "acb"),
    ],
    ids=[
        "as large as the first: skipped",
        "unknown: last",
        "larger, and then larger than that",
        "unknown: asked",
        "none larger",
        "first unknown: no window is ruled out",
        "the estimate fits the window: only this endpoint is smaller than its model",
        "named limit: windows up to it are skipped",
        "named limit above the profile of the first",
        "named limit, first unknown",
    ],
)
def test_a_request_that_was_too_long_skips_windows_that_are_no_larger_and_tries_unknown_ones_last(
    windows: list[int | None], tokens: int, limit: int | None, asked_names: str
) -> None:
    assert ask_until_none_is_left(windows, tokens, limit) == asked_names


def test_a_fallback_never_has_less_room_than_the_prompt_needs() -> None:
    endpoints = FakeEndpoints("a", "b", "c")
    plan = endpoints.plan(window("a", 32000), window("b", 4000), window("c", 16000), tokens=10000)
    assert tried(plan, DOWN) == ["a", "c"]


def test_if_no_window_holds_the_estimate_the_largest_one_is_asked() -> None:
    plan = FakeEndpoints("a", "b", "c").plan(window("a", 4000), window("b", 32000), window("c", 16000), tokens=90000)
    assert tried(plan) == ["b"]


def test_only_targets_with_the_needed_capabilities_are_asked() -> None:
    seeing = frozenset({"vision", "tools"})
    endpoints = FakeEndpoints("a", "b")
    blind, able = CallTarget(model="a", endpoint="a"), CallTarget(model="b", endpoint="b", capabilities=seeing)
    assert tried(endpoints.plan(blind, able, needs=frozenset({"vision"}))) == ["b"]
    with pytest.raises(NoCandidateError, match="a: lacks vision"):
        next(endpoints.plan(blind, needs=frozenset({"vision"})))


def test_a_call_needs_a_target() -> None:
    with pytest.raises(InputError, match="targets"):
        next(FakeEndpoints().plan())


def test_if_all_endpoints_cool_down_the_error_has_the_time_of_the_first_and_no_failure_is_counted() -> None:
    endpoints = FakeEndpoints("a", "b")
    for name, seconds in (("a", 60), ("b", 30)):
        fail(endpoints.live, name, "rate_limit", retry_after_s=seconds)
    before = endpoints.live.snapshot()
    with pytest.raises(NoModelAvailableError, match="cooling down") as refused:
        next(endpoints.plan(policy=CallPolicy(deadline_s=29.0)))
    assert refused.value.retry_at is not None
    assert 1030 <= refused.value.retry_at <= 1033
    assert [health.failures for health in endpoints.live.snapshot().values()] == [h.failures for h in before.values()]
    assert endpoints.at_rest()


def test_if_all_endpoints_cool_down_the_call_waits_for_the_first_that_returns_before_the_deadline() -> None:
    endpoints = FakeEndpoints("a", "b")
    for name, seconds in (("a", 60), ("b", 30)):
        fail(endpoints.live, name, "rate_limit", retry_after_s=seconds)
    plan = endpoints.plan()
    pause = next(plan)
    assert isinstance(pause, Pause)
    assert 30 <= pause.seconds <= 33.1
    endpoints.clock.sleep(pause.seconds)
    assert asked(plan.send(None)) == "b"
    (record,) = end(plan, REPLY).attempts
    assert record.backoff_s == pause.seconds


def test_a_call_that_waits_asks_an_endpoint_that_is_free_again_before_a_better_one_that_is_not() -> None:
    endpoints = FakeEndpoints("a", "b")
    for name in "ab":
        fail(endpoints.live, name, "rate_limit", retry_after_s=10)
    first_back = min("ab", key=lambda name: endpoints.health(name).retry_at or 0)
    plan = endpoints.plan()
    pause = next(plan)
    assert isinstance(pause, Pause)
    endpoints.clock.sleep(pause.seconds)
    assert asked(plan.send(None)) == first_back


def test_an_endpoint_that_another_call_probes_is_asked_once_the_probe_has_succeeded() -> None:
    endpoints = FakeEndpoints("a", "b")
    fail(endpoints.live, "a", times=5)
    endpoints.clock.sleep(33.1)
    probe = begin(endpoints.live, "a")
    plan = endpoints.plan()
    assert asked(next(plan)) == "b"
    assert plan.send(DOWN) == Pause(seconds=0.5)
    probe.succeed()
    endpoints.clock.sleep(0.5)
    assert asked(plan.send(None)) == "a"


def test_in_panic_tripped_endpoints_are_asked() -> None:
    endpoints = FakeEndpoints("a", "b")
    for name in ("a", "b"):
        fail(endpoints.live, name, times=5)
    assert endpoints.health("a").state == "open"
    assert tried(endpoints.plan(), DOWN) == ["a", "b"]


def test_the_best_is_asked_though_others_try_it_for_the_first_time() -> None:
    endpoints = FakeEndpoints("a", "b")
    begin(endpoints.live, "a")
    assert tried(endpoints.plan()) == ["a"]


@pytest.mark.parametrize("refusal", [UNABLE, REFUSED], ids=["unable", "auth"])
def test_a_tripped_endpoint_is_asked_if_every_other_one_has_refused_the_call(refusal: CallError) -> None:
    endpoints = FakeEndpoints("a", "b")
    fail(endpoints.live, "a", times=5)
    plan = endpoints.plan(policy=CallPolicy(deadline_s=10))
    assert tried(plan, refusal) == ["b", "a"]


def test_a_server_that_failed_last_is_asked_last_for_another_model() -> None:
    endpoints = FakeEndpoints("a/m", "b/m", "b/n", "a/n")
    targets = [CallTarget(model=name[2], endpoint=name[0], shared=True) for name in ("a/m", "b/m", "b/n", "a/n")]
    plan = endpoints.plan(*targets, policy=CallPolicy(max_attempts=4))
    # First a fails and then b. So a is the better guess for n, although b/n comes first in its order.
    assert tried(plan, DOWN, DOWN, DOWN) == ["a", "b", "a", "b"]


def two_servers(*models: str, health: HealthPolicy | None = None) -> tuple[FakeEndpoints, list[CallTarget]]:
    """Return servers a and b, and their targets, model by model."""
    names = [f"{server}/{model}" for model in models for server in "ab"]
    targets = [CallTarget(model=name[2:], endpoint=name[0], shared=True) for name in names]
    return FakeEndpoints(*names, health=health), targets


def test_the_last_attempt_asks_a_server_that_cools_down_rather_than_one_that_has_just_failed() -> None:
    endpoints, targets = two_servers("m", "n")
    for name in ("a/m", "a/n"):
        fail(endpoints.live, name, times=5)
    # The next best after one failure is another model of the same server: it may be the model that has failed.
    assert tried(endpoints.plan(*targets), DOWN, DOWN) == ["b", "b", "a"]


def test_endpoints_of_one_host_fail_as_one_server() -> None:
    endpoints = {
        name: Endpoint(base_url=f"http://{name[0]}.example:8000/{name[1]}", model=name[1])
        for name in ("am", "an", "bm", "bn")
    }
    assert endpoints["am"].server == endpoints["an"].server == "http://a.example:8000"
    targets = [CallTarget(model=name[1], endpoint=name, server=endpoints[name].server) for name in ("am", "bm", "an", "bn")]
    fleet = FakeEndpoints(*endpoints)
    for name in ("am", "an"):
        fail(fleet.live, name, times=5)
    assert tried(fleet.plan(*targets), DOWN, DOWN) == ["bm", "bn", "am"]


def test_the_last_attempt_asks_the_server_that_failed_first_in_the_call_although_other_calls_have_tripped_it() -> None:
    endpoints, targets = two_servers("m", "n")
    plan = endpoints.plan(*targets)
    assert asked(next(plan)) == "a"
    for name in ("a/m", "a/n"):
        fail(endpoints.live, name, times=5)
    assert asked(plan.send(DOWN)) == "b"
    assert asked(plan.send(DOWN)) == "a"
    assert end(plan, REPLY).model == "n"


def test_with_one_model_the_last_attempt_asks_the_best_server_again_although_other_calls_have_tripped_it() -> None:
    endpoints, targets = two_servers("m")
    plan = endpoints.plan(*targets)
    assert asked(next(plan)) == "a"
    fail(endpoints.live, "a/m", times=5)
    assert asked(plan.send(DOWN)) == "b"
    assert plan.send(DOWN) == Pause(seconds=0.5)
    endpoints.clock.sleep(0.5)
    assert asked(plan.send(None)) == "a"


def test_a_panic_share_of_zero_holds_for_the_last_attempt_too() -> None:
    endpoints, targets = two_servers("m", "n", health=HealthPolicy(panic_share=0))
    for name in ("a/m", "a/n"):
        fail(endpoints.live, name, times=5)
    plan = endpoints.plan(*targets)
    assert (asked(next(plan)), asked(plan.send(DOWN))) == ("b", "b")
    assert isinstance(plan.send(DOWN), Pause)
