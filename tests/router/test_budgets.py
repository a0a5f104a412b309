import threading
import time

import pytest

from router.budgets import Purse, RateLimit, RateLimiter, SpendCap
from router.errors import InputError


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wall clock that the counting looks at, at the start of a minute; set its only element to move it."""
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


def test_tokens_count_and_what_an_answer_took_more_too(minute: list[float]) -> None:
    limiter = RateLimiter({"a": RateLimit(tokens_per_minute=1000)})
    assert limiter.admit("a", tokens=400)
    limiter.correct("a", more_tokens=500)
    assert not limiter.admit("a", tokens=101)
    assert limiter.admit("a", tokens=100)
    minute[0] += 121
    assert limiter.admit("a", tokens=1000)


def test_a_request_that_the_tokens_refuse_is_not_counted(minute: list[float]) -> None:
    limiter = RateLimiter({"a": RateLimit(requests_per_minute=1, tokens_per_minute=10)})
    assert not limiter.admit("a", tokens=11)
    assert limiter.admit("a", tokens=10)
    assert not limiter.admit("a", tokens=1)


def test_models_do_not_count_for_one_another_and_those_without_a_limit_are_free(minute: list[float]) -> None:
    limiter = RateLimiter({"a": RateLimit(requests_per_minute=1), "b": RateLimit(requests_per_minute=1)})
    assert (limiter.admit("a", tokens=1), limiter.admit("b", tokens=1), limiter.admit("a", tokens=1)) == (True, True, False)
    assert all(limiter.admit("c", tokens=10**6) for _ in range(100))


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "10"])
def test_a_limit_that_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="requests_per_minute must be a whole number, at least 1"):
        RateLimit(requests_per_minute=value)  # type: ignore[arg-type]


def test_a_purse_holds_what_is_spent_and_put_aside_until_the_window_has_passed() -> None:
    now = [0.0]
    purse = Purse(SpendCap(usd=1.0, window_s=100), clock=lambda: now[0])
    assert purse.reserve(0.6)
    assert not purse.reserve(0.5)
    purse.settle(0.6, 0.7)
    assert purse.remaining_usd() == pytest.approx(0.3)
    now[0] = 50
    assert purse.reserve(0.3)
    purse.settle(0.3, 0.0)  # it failed
    assert purse.remaining_usd() == pytest.approx(0.3)
    now[0] = 100
    assert purse.remaining_usd() == 1.0


def test_a_call_that_cost_more_than_expected_leaves_nothing_but_no_debt() -> None:
    purse = Purse(SpendCap(usd=1.0), clock=lambda: 0.0)
    assert purse.reserve(0.9)
    purse.settle(0.9, 1.5)
    assert purse.remaining_usd() == 0.0
    assert purse.reserve(0.0)  # what is free is always affordable


def test_threads_cannot_spend_more_than_the_cap() -> None:
    purse, won = Purse(SpendCap(usd=1.0), clock=lambda: 0.0), []
    threads = [threading.Thread(target=lambda: won.extend(purse.reserve(0.125) for _ in range(10))) for _ in range(8)]
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
