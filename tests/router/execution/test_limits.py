import threading
import time

import pytest

from router.errors import InputError
from router.execution.limits import RateLimit, RateLimiter, SpendCap, SpendTracker


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wall clock of the package `limits`, at the start of a minute. Change its only element to move it."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_a_limit_of_n_admits_exactly_n_a_minute_under_threads(minute: list[float]) -> None:
    limiter = RateLimiter({"a": RateLimit(requests_per_minute=100)})
    admitted: list[bool] = []
    threads = [
        threading.Thread(target=lambda: admitted.extend(limiter.admit("a", tokens=5) for _ in range(40))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 100
    minute[0] += 59
    assert not limiter.admit("a", tokens=5)
    minute[0] += 2
    assert limiter.admit("a", tokens=5)


def test_tokens_count_and_those_beyond_the_estimate_too(minute: list[float]) -> None:
    limiter = RateLimiter({"a": RateLimit(tokens_per_minute=1000)})
    assert limiter.admit("a", tokens=400)
    limiter.correct("a", more_tokens=500)
    assert not limiter.admit("a", tokens=101)
    assert limiter.admit("a", tokens=100)
    minute[0] += 121
    assert limiter.admit("a", tokens=1000)


def test_a_request_refused_for_its_tokens_is_not_counted(minute: list[float]) -> None:
    limiter = RateLimiter({"a": RateLimit(requests_per_minute=1, tokens_per_minute=10)})
    assert not limiter.admit("a", tokens=11)
    assert limiter.admit("a", tokens=10)
    assert not limiter.admit("a", tokens=1)


def test_each_model_has_its_own_count_and_models_without_a_limit_are_free(minute: list[float]) -> None:
    limiter = RateLimiter({"a": RateLimit(requests_per_minute=1), "b": RateLimit(requests_per_minute=1)})
    assert (limiter.admit("a", tokens=1), limiter.admit("b", tokens=1), limiter.admit("a", tokens=1)) == (True, True, False)
    assert all(limiter.admit("c", tokens=10**6) for _ in range(100))


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "10"])
def test_a_limit_must_be_a_positive_whole_number(value: object) -> None:
    with pytest.raises(InputError, match="requests_per_minute must be a whole number, at least 1"):
        RateLimit(requests_per_minute=value)  # type: ignore[arg-type]


def test_spent_and_reserved_costs_count_until_the_window_has_passed() -> None:
    now = [0.0]
    tracker = SpendTracker(SpendCap(usd=1.0, window_s=100), clock=lambda: now[0])
    assert tracker.reserve(0.6)
    assert not tracker.reserve(0.5)
    tracker.settle(0.6, 0.7)
    assert tracker.remaining_usd() == pytest.approx(0.3)
    now[0] = 50
    assert tracker.reserve(0.3)
    tracker.settle(0.3, 0.0)  # it failed
    assert tracker.remaining_usd() == pytest.approx(0.3)
    now[0] = 100
    assert tracker.remaining_usd() == 1.0


def test_a_call_that_cost_more_than_expected_leaves_nothing_and_no_debt() -> None:
    tracker = SpendTracker(SpendCap(usd=1.0), clock=lambda: 0.0)
    assert tracker.reserve(0.9)
    tracker.settle(0.9, 1.5)
    assert tracker.remaining_usd() == 0.0
    assert tracker.reserve(0.0)  # a free call is always affordable


def test_threads_cannot_spend_more_than_the_cap() -> None:
    tracker, won = SpendTracker(SpendCap(usd=1.0), clock=lambda: 0.0), []
    threads = [threading.Thread(target=lambda: won.extend(tracker.reserve(0.125) for _ in range(10))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(won) == 8


@pytest.mark.parametrize(
    "wrong", [{"usd": 0.0}, {"usd": float("nan")}, {"usd": 1.0, "window_s": -1}, {"usd": 1.0, "on_spent": "wait"}]
)
def test_a_cap_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="must be"):
        SpendCap(**wrong)  # type: ignore[arg-type]
