"""A clock that stands still until it is told, and requests that take exactly as long as they are told."""

import random

from router.health import Attempt, LiveState
from router.types import FailureClass


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


def answer(live: LiveState, clock: FakeClock, name: str, seconds: float, **told: int) -> None:
    attempt = begin(live, name)
    clock.advance(seconds)
    attempt.succeed(**told)


def fail(live: LiveState, name: str, kind: FailureClass = "transient", *, times: int = 1, **told: float) -> None:
    for _ in range(times):
        begin(live, name).fail(kind, **told)
