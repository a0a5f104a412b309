"""Take a routing decision and return the plan of its call, from the live state of all models and their shared budgets."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from router.calls import Call, CallTarget, Completion
from router.decision import RoutingDecision
from router.errors import BudgetExceededError, InputError
from router.execution.limits import RateLimiter, SpendTracker
from router.execution.retry_budget import RetryBudget
from router.health.live import LiveState
from router.serving.accounting import RateLimitedGate, account
from router.serving.lazy import LazyMapping
from router.serving.serving import Serving, check_models, make_executor
from router.types import ModelProfile

if TYPE_CHECKING:
    from router.execution.steps import Plan


class Fleet:
    """The live state of all models, built from that of their endpoints, and the budgets that they share. Thread-safe.

    It pickles by its profiles and its `Serving`, without the live state.

    Args:
        profiles: The models.
        serving: How the models are called.
        clock: Seconds that never go back.
        rng: Source of jitter, backoff and the choice of an endpoint. None: a new generator, seeded by the system.

    Attributes:
        serving: How the models are called.
        live: Live state of the endpoints.
        spend_tracker: Keeps spending under the cap. None if there is no cap.
        executor: Makes the calls. None if the router only decides.

    Raises:
        InputError: If `serving` names a model that does not exist, or gives one endpoint to several models.
    """

    def __init__(
        self,
        profiles: Sequence[ModelProfile],
        serving: Serving,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._profiles = {profile.name: profile for profile in profiles}
        check_models(serving, self._profiles)
        self.serving = serving
        self._endpoints = {
            profile.name: dict(serving.endpoints.get(profile.name) or {profile.name: profile.weight}) for profile in profiles
        }
        weights = {name: weight for endpoints in self._endpoints.values() for name, weight in endpoints.items()}
        # Live state is kept by the endpoint's name. A shared name would mix the latencies of two models.
        if len(weights) < sum(map(len, self._endpoints.values())):
            raise InputError("an endpoint must serve one model only; give each model's endpoint its own name")
        self._model_of = {endpoint: model for model, endpoints in self._endpoints.items() for endpoint in endpoints}
        self._clock, self._rng = clock, rng or random.Random()  # noqa: S311 - no secret depends on it
        self.live = LiveState(weights, policy=serving.health, clock=clock, rng=self._rng)
        self._budget = RetryBudget(serving.calls)
        self._limiter = RateLimiter(serving.limits) if serving.limits else None
        self.spend_tracker = SpendTracker(serving.spend, clock=clock) if serving.spend else None
        self.executor = make_executor(serving.executor)

    def __reduce__(self) -> tuple[type[Fleet], tuple[Sequence[ModelProfile], Serving]]:
        # The live state shows what this process has seen. In another process it may be wrong.
        return Fleet, (tuple(self._profiles.values()), self.serving)

    def now(self) -> float:
        """Return the time by the fleet's clock."""
        return self._clock()

    def loads(self, models: Sequence[str]) -> Mapping[str, float]:
        """Return each model's load, which is that of its least loaded endpoint. Values are computed on access."""
        return LazyMapping(models, lambda model: min(map(self.live.load, self._endpoints[model])))

    def inflight(self, models: Sequence[str]) -> Mapping[str, int]:
        """Return each model's requests in flight, over all its endpoints. Values are computed on access."""
        return LazyMapping(models, lambda model: sum(map(self.live.inflight, self._endpoints[model])))

    def weights(self, models: Sequence[str]) -> Mapping[str, float]:
        """Return each model's capacity at this moment, over all its endpoints. Values are computed on access."""
        return LazyMapping(models, lambda model: sum(map(self.live.weight, self._endpoints[model])))

    def latency_s(self) -> dict[str, float]:
        """Return the seconds that a typical answer takes now, for the models that have answered."""
        health = self.live.snapshot()
        # Without an answer, the prediction is the median of the other endpoints and says nothing about this model.
        seen = {m: [health[e].predicted_s for e in es if health[e].completed] for m, es in self._endpoints.items()}
        return {model: min(seconds) for model, seconds in seen.items() if seconds}

    def find_cooling(self, models: Sequence[str]) -> dict[str, float | None]:
        """Return the models that cool down, each with the time when it is available again. None if it is not known."""
        names = [endpoint for model in models for endpoint in self._endpoints[model]]
        blocked = self.live.eligible(names).blocked
        if not blocked:
            return {}
        cooling: dict[str, float | None] = {}
        for model in models:
            endpoints = self._endpoints[model]
            # One available endpoint is enough to serve the model.
            if all(endpoint in blocked for endpoint in endpoints):
                cooling[model] = min((at for e in endpoints if (at := blocked[e]) is not None), default=None)
        return cooling

    def plan(
        self,
        decision: RoutingDecision,
        messages: Sequence[Mapping[str, Any]],
        *,
        options: Mapping[str, object],
        stream: bool,
        needs: frozenset[str],
        tokens: int,
        fallbacks: Sequence[str] | None,
        learn: Callable[[Completion], None],
        began_at: float,
    ) -> Plan:
        """Return the plan of a call to the models of a decision. It counts against the budgets from its first step on.

        Args:
            decision: The ranked models.
            messages: Chat messages in the OpenAI form.
            options: Passed on to the model unchanged.
            stream: Whether to return the answer in chunks.
            needs: Capabilities that the model must have.
            tokens: Upper estimate of the tokens of prompt and answer together.
            fallbacks: Models to ask if the first one fails, instead of the rest of the ranking and `Serving.fallbacks`.
            learn: Called with the completion of a successful call.
            began_at: Start of the deadline, by the fleet's clock.

        Raises:
            InputError: If a fallback does not exist.
            BudgetExceededError: In the first step, if the spending cap leaves no model.
        """
        # Imported here, so that importing the router stays fast.
        from router.execution.plan import plan_call

        order = self._order(decision, fallbacks)
        gate = RateLimitedGate(self.live, self._limiter, self._model_of, tokens)

        def steps() -> Plan:
            # Inside the generator, because a plan that is never started must not reserve anything.
            costs = {name: score.cost_usd or 0.0 for name, score in decision.scores.items()}
            models = self._reserve_cost(order, costs)
            call = Call(
                targets=[target for model in models for target in self._targets(model)],
                messages=messages,
                decision=decision,
                options=options,
                stream=stream,
                needs=needs,
                tokens=tokens,
            )
            policy, rng, clock = self.serving.calls, self._rng, self._clock
            plan = plan_call(call, live=gate, budget=self._budget, policy=policy, clock=clock, rng=rng, began_at=began_at)
            return (yield from account(plan, gate, self.spend_tracker, costs.get(models[0], 0.0), learn))

        return steps()

    def _order(self, decision: RoutingDecision, fallbacks: Sequence[str] | None) -> list[str]:
        """Return the models to ask, in order."""
        chain = self.serving.fallbacks.get(decision.model) if fallbacks is None else fallbacks
        if chain is None:
            return list(decision.ranking)
        unknown = [name for name in chain if name not in self._profiles]
        if unknown:
            raise InputError(f"fallbacks must name models that exist, got {unknown}; known: {list(self._profiles)}")
        # A chain may repeat the first model.
        return list(dict.fromkeys([decision.model, *chain]))

    def _reserve_cost(self, models: list[str], costs: Mapping[str, float]) -> list[str]:
        """Reserve the expected cost of the first model, and return the models to ask.

        If the cap downgrades, models that do not fit are skipped.
        """
        if self.spend_tracker is None:
            return models
        cap = self.spend_tracker.cap
        candidates = models[:1] if cap.on_spent == "refuse" else models
        for place, model in enumerate(candidates):
            if self.spend_tracker.reserve(costs.get(model, 0.0)):
                return models[place:]
        left = self.spend_tracker.remaining_usd()
        raise BudgetExceededError(
            f"{left:.3g} of {cap.usd:g} USD per {cap.window_s:g} s are left, but {models[0]} is expected to cost "
            f"{costs.get(models[0], 0.0):.3g} USD; wait, raise the cap or choose cheaper models"
        )

    def _targets(self, model: str) -> list[CallTarget]:
        """Return a model's endpoints in random order, but the less loaded one of the first two comes first."""
        # Power of two choices: if every caller took the least loaded endpoint, they would all take the same one at once.
        profile, names = self._profiles[model], list(self._endpoints[model])
        if len(names) > 1:
            self._rng.shuffle(names)
            names[:2] = sorted(names[:2], key=self.live.load)
        return [
            CallTarget(
                model=model,
                endpoint=name,
                context_window=profile.context_window,
                capabilities=profile.capabilities,
                input_usd_per_mtok=profile.input_usd_per_mtok,
                output_usd_per_mtok=profile.output_usd_per_mtok,
            )
            for name in names
        ]
