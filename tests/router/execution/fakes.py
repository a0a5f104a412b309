"""Calls whose every number can be worked out by hand."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

from router import Preference, RoutingDecision, TaskPrediction
from router.calls import Call, Target, Usage
from router.execution import CallPolicy, Plan, RetryBudget, plan_call
from router.health import EndpointHealth, LiveState
from tests.router.fakes import score
from tests.router.health.clock import FakeClock, seeded

PROMPT = "a secret that must not leak"
USAGE = Usage(input_tokens=1000, output_tokens=200)


class SleepyClock(FakeClock):
    """Stands still until somebody sleeps."""

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        self.advance(seconds)


class RealClock:
    """The time on the wall."""

    def __call__(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class HighestRandom(random.Random):
    """Draws the upper end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class Fleet:
    """Endpoints `a`, `b`, … of models of the same name, with live state, a retry budget and a fake clock."""

    def __init__(self, *names: str, policy: CallPolicy | None = None, clock: RealClock | None = None) -> None:
        self.clock: Any = clock or SleepyClock()
        self.policy = policy or CallPolicy()
        self.live = LiveState(dict.fromkeys(names, 1.0), clock=self.clock, rng=seeded())
        self.budget = RetryBudget(self.policy)
        self.targets = [Target(model=name, endpoint=name) for name in names]

    def plan(self, *targets: Target, policy: CallPolicy | None = None, **call: Any) -> Plan:
        asked = Call(
            targets=targets or self.targets,
            messages=[{"role": "user", "content": PROMPT}],
            decision=decision([target.model for target in targets or self.targets]),
            **call,
        )
        return plan_call(
            asked,
            live=self.live,
            budget=self.budget,
            policy=policy or self.policy,
            clock=self.clock,
            rng=HighestRandom(),
        )

    def health(self, name: str) -> EndpointHealth:
        return self.live.snapshot()[name]

    def failures(self, name: str) -> dict[str, int]:
        return {kind: n for kind, n in self.health(name).failures.items() if n}

    def at_rest(self) -> bool:
        """Whether nothing is counted in flight any more, neither requests nor calls nor extra attempts."""
        inflight = [health.inflight for health in self.live.snapshot().values()]
        return not any(inflight) and (self.budget._calls, self.budget._extra) == (0, 0)


def decision(models: Sequence[str]) -> RoutingDecision:
    return RoutingDecision(
        ranking=tuple(models),
        prediction=TaskPrediction(task="math", confidence=1.0, probabilities={"math": 1.0}, source="classifier"),
        scores={model: score(model, 0.5) for model in models},
        strategy="contextual",
        preference=Preference(),
        excluded={},
        reasons=(),
    )
