"""A clock that only moves when a test moves it, and requests that take exactly the given time."""

import random

from router.health.live import Attempt, LiveState
from router.health.policy import HealthPolicy
from router.types import FailureClass

EXACT = HealthPolicy(jitter_share=0.0)


class FakeClock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def seeded(seed: int = 0) -> random.Random:
    return random.Random(seed)  # noqa: S311 - reproducible, no secret


def begin(live: LiveState, name: str, *, ignore_trip: bool = False) -> Attempt:
    attempt = live.begin(name, ignore_trip=ignore_trip)
    assert attempt is not None
    return attempt


def answer(live: LiveState, clock: FakeClock, name: str, seconds: float, **reported: int) -> None:
    attempt = begin(live, name)
    clock.advance(seconds)
    attempt.succeed(**reported)


def fail(
    live: LiveState, name: str, kind: FailureClass = "transient", *, times: int = 1, retry_after_s: float | None = None
) -> None:
    for _ in range(times):
        begin(live, name).fail(kind, retry_after_s=retry_after_s)


def make_live(*names: str, clock: FakeClock, policy: HealthPolicy = EXACT) -> LiveState:
    return LiveState(dict.fromkeys(names, 1.0), policy=policy, clock=clock, rng=seeded())


def state(live: LiveState, name: str = "a") -> str:
    return live.snapshot()[name].state


def retry_at(live: LiveState) -> float:
    at = live.snapshot()["a"].retry_at
    assert at is not None
    return at


def trip(live: LiveState, name: str = "a") -> None:
    fail(live, name, times=5)
    assert state(live, name) == "open"
