"""Which targets of a call are asked."""

import pytest

from router.calls import CallTarget
from router.errors import (
    AllAttemptsFailedError,
    InputError,
    NoCandidateError,
    NoModelAvailableError,
)
from tests.router.execution.fakes import FakeEndpoints
from tests.router.execution.plans import DOWN, TOO_LONG, asked, tried
from tests.router.health.fakes import begin, fail


def window(name: str, tokens: int | None) -> CallTarget:
    return CallTarget(model=name, endpoint=name, context_window=tokens)


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
    endpoints = FakeEndpoints("a", "b", "c")
    plan = endpoints.plan(*(window(name, tokens) for name, tokens in zip("abc", windows, strict=True)), tokens=1000)
    assert tried(plan) == ["a"]
    if second is None:
        with pytest.raises(AllAttemptsFailedError):
            plan.send(TOO_LONG)
    else:
        assert asked(plan.send(TOO_LONG)) == second
    plan.close()
    assert set(endpoints.failures("a")) == {"request"}


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
    with pytest.raises(NoModelAvailableError) as refused:
        next(endpoints.plan())
    assert refused.value.retry_at is not None
    assert 1030 <= refused.value.retry_at <= 1033
    assert [health.failures for health in endpoints.live.snapshot().values()] == [h.failures for h in before.values()]
    assert endpoints.at_rest()


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
