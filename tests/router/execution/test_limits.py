"""Laws of limits. They hold for the limits of one process and for those that several processes share in Redis."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from router.errors import InputError
from router.execution.limits import RateLimit, RateLimiter, SpendCap, SpendTracker
from tests.router.state.server import RedisServer
from tests.router.state.shared import Sharing

MakeLimiter = Callable[[Mapping[str, RateLimit]], Any]


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[Sharing]:
    server = RedisServer(tmp_path)
    with Sharing(server) as sharing:
        yield sharing
    server.stop()


@pytest.fixture(params=["process", "redis"])
def make_limiter(request: pytest.FixtureRequest) -> MakeLimiter:
    if request.param == "process":
        return RateLimiter
    state = request.getfixturevalue("sharing").add()
    return lambda limits: state.make_limiter(limits, group="test")


class Budget:
    """Makes a budget, and moves the time that it counts."""

    def __init__(self, sharing: Sharing | None) -> None:
        self._sharing, self.now = sharing, 0.0

    def make(self, cap: SpendCap) -> Any:
        if self._sharing is None:
            return SpendTracker(cap, clock=lambda: self.now)
        return self._sharing.add().make_spend_tracker(cap, name="test", clock=lambda: self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        if self._sharing is not None:
            self._sharing.exchange()
            self._sharing.make_costs_older("test", seconds)
            self._sharing.exchange()


@pytest.fixture(params=["process", "redis"])
def budget(request: pytest.FixtureRequest) -> Budget:
    return Budget(None if request.param == "process" else request.getfixturevalue("sharing"))


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wall clock of the package `limits`, at the start of a minute. Change its only element to move it."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_a_limit_of_n_admits_exactly_n_a_minute_under_threads(minute: list[float], make_limiter: MakeLimiter) -> None:
    limiter = make_limiter({"a": RateLimit(requests_per_minute=100)})
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


def test_tokens_beyond_the_estimate_count_too(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter({"a": RateLimit(tokens_per_minute=1000)})
    assert limiter.admit("a", tokens=400)
    limiter.correct("a", more_tokens=500)
    if not isinstance(limiter, RateLimiter):
        limiter.exchange(has_forgotten=False)
    assert not limiter.admit("a", tokens=101)
    assert limiter.admit("a", tokens=100)


def test_tokens_count_for_two_minutes_at_most(minute: list[float]) -> None:
    limiter = RateLimiter({"a": RateLimit(tokens_per_minute=1000)})
    assert limiter.admit("a", tokens=1000)
    minute[0] += 121
    assert limiter.admit("a", tokens=1000)


def test_a_request_refused_for_its_tokens_is_not_counted(minute: list[float], make_limiter: MakeLimiter) -> None:
    limiter = make_limiter({"a": RateLimit(requests_per_minute=1, tokens_per_minute=10)})
    assert not limiter.admit("a", tokens=11)
    assert limiter.admit("a", tokens=10)
    assert not limiter.admit("a", tokens=1)


def test_each_model_has_its_own_count_and_models_without_a_limit_are_free(
    minute: list[float], make_limiter: MakeLimiter
) -> None:
    limiter = make_limiter({"a": RateLimit(requests_per_minute=1), "b": RateLimit(requests_per_minute=1)})
    assert (limiter.admit("a", tokens=1), limiter.admit("b", tokens=1), limiter.admit("a", tokens=1)) == (True, True, False)
    assert all(limiter.admit("c", tokens=10**6) for _ in range(100))


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "10"])
def test_a_limit_must_be_a_positive_whole_number(value: object) -> None:
    with pytest.raises(InputError, match="requests_per_minute must be a whole number, at least 1"):
        RateLimit(requests_per_minute=value)  # type: ignore[arg-type]


def test_spent_and_reserved_costs_count_until_the_window_has_passed(budget: Budget) -> None:
    tracker = budget.make(SpendCap(usd=1.0, window_s=100))
    assert tracker.reserve(0.6)
    assert not tracker.reserve(0.5)
    tracker.settle(0.6, 0.7)
    budget.advance(50)
    assert tracker.reserve(0.2)
    assert tracker.remaining_usd() == pytest.approx(0.1)
    tracker.settle(0.2, 0.0)  # it failed
    budget.advance(0)
    assert not tracker.reserve(0.4)
    assert tracker.remaining_usd() == pytest.approx(0.3)
    budget.advance(51)
    assert tracker.reserve(1.0)
    assert tracker.remaining_usd() == 0.0


def test_a_call_that_cost_more_than_expected_leaves_nothing_and_no_debt(budget: Budget) -> None:
    tracker = budget.make(SpendCap(usd=1.0))
    assert tracker.reserve(0.9)
    tracker.settle(0.9, 1.5)
    budget.advance(0)
    assert tracker.remaining_usd() == 0.0
    assert not tracker.reserve(0.01)
    assert tracker.reserve(0.0)  # a free call is always affordable


def test_threads_cannot_spend_more_than_the_cap(budget: Budget) -> None:
    tracker, won = budget.make(SpendCap(usd=1.0)), list[bool]()
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
