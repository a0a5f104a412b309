"""Endpoints and clocks for calls whose numbers can be worked out by hand."""

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from router import Preference, RoutingDecision, TaskPrediction
from router.calls import Call, CallTarget, Usage
from router.execution.plan import plan_call
from router.execution.policy import CallPolicy
from router.execution.retry_budget import RetryBudget
from router.execution.steps import Plan
from router.health.endpoint import EndpointHealth
from router.health.live import LiveState
from router.health.policy import HealthPolicy
from tests.router.fakes import score
from tests.router.health.fakes import FakeClock, seeded
from tests.router.simulated_loop import SimulatedLoop, run_simulated

PROMPT = "a secret that must not leak"
_T = TypeVar("_T")
USAGE = Usage(input_tokens=1000, output_tokens=200)


class SleepyClock(FakeClock):
    """Only moves when a test moves it or a call pauses."""

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        self.advance(seconds)

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run(main)


class SimulatedClock:
    """The time of a simulated event loop. It jumps to the next timer when every task waits."""

    def __init__(self) -> None:
        self._loop = SimulatedLoop(now=1000.0)

    def __call__(self) -> float:
        return self._loop.time()

    async def asleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        return run_simulated(main, self._loop)


class RealClock:
    """The real time."""

    def __call__(self) -> float:
        return time.monotonic()


class HighestRandom(random.Random):
    """Draws the upper end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class FakeEndpoints:
    """Endpoints of models with the same names, with live state, a retry budget and a clock."""

    def __init__(
        self,
        *names: str,
        policy: CallPolicy | None = None,
        health: HealthPolicy | None = None,
        clock: SimulatedClock | RealClock | None = None,
    ) -> None:
        self.clock: Any = clock or SleepyClock()
        self.policy = policy or CallPolicy()
        weights, health = dict.fromkeys(names, 1.0), health or HealthPolicy()
        self.live = LiveState(weights, policy=health, clock=self.clock, rng=seeded())
        self.budget = RetryBudget(self.policy)
        self.targets = [CallTarget(model=name, endpoint=name) for name in names]

    def plan(self, *targets: CallTarget, policy: CallPolicy | None = None, **call: Any) -> Plan:
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
        """Whether nothing is in flight any more: no request, no call and no retry."""
        inflight = [health.inflight for health in self.live.snapshot().values()]
        return not any(inflight) and (self.budget._calls, self.budget._retries) == (0, 0)


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
