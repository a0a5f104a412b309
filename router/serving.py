"""The models as they are served: their endpoints, whom may be asked now, and what calls may use up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from router.budgets import Purse, RateLimit, RateLimiter, SpendCap
from router.calls import AsyncExecutor, AttemptRecord, Call, Completion, Executor, Target
from router.decision import RoutingDecision
from router.errors import BudgetExceededError, InputError, NoModelAvailableError, ServingError
from router.execution.limits import CallPolicy, RetryBudget
from router.health import Attempt, Eligibility, HealthPolicy, LiveState
from router.types import ModelProfile

if TYPE_CHECKING:
    from router.execution import Plan

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How models are called.

    Attributes:
        executor: Makes the calls: an `Executor`, an `AsyncExecutor` or any function that takes a `CallRequest` and returns a
            text; None: the router only decides.
        endpoints: By model, the endpoints that serve it and the capacity of each, > 0. A model that is missing has one,
            called like the model, of its profile's weight.
        fallbacks: By model, whom to ask in which order where it fails, instead of the rest of the ranking.
        calls: Deadline, attempts, backoff.
        health: When an endpoint counts as slow, failing or well again.
        limits: Requests and tokens per minute, by model.
        spend: What may be spent; None: anything.

    >>> from router import Router
    >>> router = Router.load(serving=Serving(executor=lambda request: f"{request.model} says hello"))
    >>> router.complete("hello", allowed={"gpt-5.5"}).text
    'gpt-5.5 says hello'
    """

    executor: Executor | AsyncExecutor | Callable[..., Any] | None = None
    endpoints: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    fallbacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    calls: CallPolicy = CallPolicy()  # noqa: RUF009 - a frozen value
    health: HealthPolicy = HealthPolicy()  # noqa: RUF009 - a frozen value
    limits: Mapping[str, RateLimit] = field(default_factory=dict)
    spend: SpendCap | None = None


class Fleet:
    """The live state of models, made of that of their endpoints, and the budgets they share. Thread-safe.

    Args:
        profiles: The models.
        serving: How they are called.
        clock: Seconds that never go back.
        rng: For jitter, backoff and the choice of an endpoint.

    Raises:
        InputError: If `serving` names a model that does not exist, or an endpoint of several models.
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
        _check_models(serving, self._profiles)
        self.serving = serving
        self._endpoints = {
            profile.name: dict(serving.endpoints.get(profile.name) or {profile.name: profile.weight}) for profile in profiles
        }
        weights = {name: weight for endpoints in self._endpoints.values() for name, weight in endpoints.items()}
        if len(weights) < sum(map(len, self._endpoints.values())):
            raise InputError("an endpoint must serve one model; give each model's endpoint a name of its own")
        self._clock, self._rng = clock, rng or random.Random()  # noqa: S311 - no secret hangs on it
        self.live = LiveState(weights, policy=serving.health, clock=clock, rng=self._rng)
        self._budget = RetryBudget(serving.calls)
        self._limiter = RateLimiter(serving.limits) if serving.limits else None
        self.purse = Purse(serving.spend, clock=clock) if serving.spend else None
        self.executor = _make_executor(serving.executor)

    def __reduce__(self) -> tuple[type[Fleet], tuple[Sequence[ModelProfile], Serving]]:
        """Leave the live state behind: it tells what this process saw."""
        return Fleet, (tuple(self._profiles.values()), self.serving)

    def now(self) -> float:
        """Return the time by the fleet's clock."""
        return self._clock()

    def loads(self, models: Sequence[str]) -> Mapping[str, float]:
        """Return each model's load, that of its least loaded endpoint; computed when it is looked up."""
        return _Lazy(models, lambda model: min(map(self.live.load, self._endpoints[model])))

    def inflight(self, models: Sequence[str]) -> Mapping[str, int]:
        """Return each model's requests in flight, over all its endpoints; computed when it is looked up."""
        return _Lazy(models, lambda model: sum(map(self.live.inflight, self._endpoints[model])))

    def weights(self, models: Sequence[str]) -> Mapping[str, float]:
        """Return each model's capacity at this moment, over all its endpoints; computed when it is looked up."""
        return _Lazy(models, lambda model: sum(map(self.live.weight, self._endpoints[model])))

    def latency_s(self) -> dict[str, float]:
        """Return the seconds that a typical answer takes now, of the models that have answered."""
        health = self.live.snapshot()
        seen = {m: [health[e].predicted_s for e in es if health[e].completed] for m, es in self._endpoints.items()}
        return {model: min(seconds) for model, seconds in seen.items() if seconds}

    def find_cooling(self, models: Sequence[str]) -> dict[str, float | None]:
        """Return the models that may not be asked now, and when each may be again; None where nobody can say."""
        names = [endpoint for model in models for endpoint in self._endpoints[model]]
        blocked = self.live.eligible(names).blocked
        if not blocked:
            return {}
        cooling: dict[str, float | None] = {}
        for model in models:
            endpoints = self._endpoints[model]
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
        """Plan a call to the models of a decision; what it uses up is counted against the budgets, from its first step on.

        Args:
            decision: Whom to ask, in its order.
            messages: What to ask.
            options: What is passed on as it is.
            stream: Whether the answer is wanted in chunks.
            needs: Capabilities the model must have.
            tokens: Upper estimate of what prompt and answer need.
            fallbacks: Whom to ask where the first fails, instead of the rest of the ranking and of `Serving.fallbacks`.
            learn: Is told the answer.
            began_at: When the caller asked, by the clock; the deadline runs from then.

        Raises:
            InputError: If a fallback does not exist.
            BudgetExceededError: In the first step, if the spending cap leaves no model.
        """
        from router.execution import plan_call

        order = self._order(decision, fallbacks)
        gate = _Gate(self.live, self._limiter, {e: m for m, es in self._endpoints.items() for e in es}, tokens)

        def steps() -> Plan:
            # A plan that is never begun must put nothing aside.
            costs = {name: score.cost_usd or 0.0 for name, score in decision.scores.items()}
            models = self._afford(order, costs)
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
            return (yield from _account(plan, gate, self.purse, costs.get(models[0], 0.0), learn))

        return steps()

    def _order(self, decision: RoutingDecision, fallbacks: Sequence[str] | None) -> list[str]:
        chain = self.serving.fallbacks.get(decision.model) if fallbacks is None else fallbacks
        if chain is None:
            return list(decision.ranking)
        unknown = [name for name in chain if name not in self._profiles]
        if unknown:
            raise InputError(f"fallbacks must name models that exist, were {unknown}; known: {list(self._profiles)}")
        return list(dict.fromkeys([decision.model, *chain]))

    def _afford(self, models: list[str], costs: Mapping[str, float]) -> list[str]:
        """Put the expected cost of the first model aside, or that of the first one that fits where the cap downgrades."""
        if self.purse is None:
            return models
        cap = self.purse.cap
        fitting = models[:1] if cap.on_spent == "refuse" else models
        for place, model in enumerate(fitting):
            if self.purse.reserve(costs.get(model, 0.0)):
                return models[place:]
        left = self.purse.remaining_usd()
        raise BudgetExceededError(
            f"of {cap.usd:g} USD per {cap.window_s:g} s {left:.3g} are left, {models[0]} is expected to cost "
            f"{costs.get(models[0], 0.0):.3g}; wait, raise the cap or choose cheaper models"
        )

    def _targets(self, model: str) -> list[Target]:
        """Return a model's endpoints, the less loaded of two at random first."""
        profile, names = self._profiles[model], list(self._endpoints[model])
        if len(names) > 1:
            self._rng.shuffle(names)
            names[:2] = sorted(names[:2], key=self.live.load)
        return [
            Target(
                model=model,
                endpoint=name,
                context_window=profile.context_window,
                capabilities=profile.capabilities,
                input_usd_per_mtok=profile.input_usd_per_mtok,
                output_usd_per_mtok=profile.output_usd_per_mtok,
            )
            for name in names
        ]


class _Lazy(Mapping[str, _T]):
    """A mapping whose values are computed when they are looked up: most strategies look at few of them."""

    def __init__(self, names: Sequence[str], compute: Callable[[str], _T]) -> None:
        self._names, self._compute = dict.fromkeys(names), compute

    def __getitem__(self, name: str) -> _T:
        if name not in self._names:
            raise KeyError(name)
        return self._compute(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Gate:
    """The live state as one call sees it: an endpoint whose rate limit is reached may not be asked, either."""

    def __init__(self, live: LiveState, limiter: RateLimiter | None, models: Mapping[str, str], tokens: int) -> None:
        self._live, self._limiter, self._models, self._tokens = live, limiter, models, tokens
        self.refused: set[str] = set()

    def eligible(self, names: Sequence[str]) -> Eligibility:
        return self._live.eligible(names)

    def begin(self, name: str, *, ignore_trip: bool = False) -> Attempt | None:
        attempt = self._live.begin(name, ignore_trip=ignore_trip)
        if attempt is None or self._limiter is None or self._limiter.admit(self._models[name], tokens=self._tokens):
            return attempt
        attempt.fail("cancelled")  # nobody was asked
        self.refused.add(self._models[name])
        return None

    def correct(self, model: str, used: int) -> None:
        if self._limiter is not None:
            self._limiter.correct(model, more_tokens=used - self._tokens)


def _account(plan: Plan, gate: _Gate, purse: Purse | None, expected_usd: float, learn: Callable[[Completion], None]) -> Plan:
    """Carry out a plan, and count what it used up whichever way it ends."""
    spent_usd = expected_usd  # so much is assumed of what is given up half way
    try:
        completion = yield from plan
        spent_usd = _spent(completion.attempts, expected_usd)
        gate.correct(completion.model, sum(filter(None, (completion.usage.input_tokens, completion.usage.output_tokens))))
        learn(completion)
        return completion
    except ServingError as error:
        spent_usd = _spent(error.attempts, expected_usd)
        if isinstance(error, NoModelAvailableError) and gate.refused:
            names = ", ".join(sorted(gate.refused))
            raise BudgetExceededError(f"the limits per minute of {names} are reached; wait or raise them") from error
        raise
    finally:
        if purse is not None:
            purse.settle(expected_usd, spent_usd)


def _spent(attempts: Sequence[AttemptRecord], expected_usd: float) -> float:
    """Return the USD that attempts cost; an answer whose cost is unknown counts as expected."""
    unknown_usd = {True: expected_usd, False: 0.0}
    return sum(unknown_usd[a.failure is None] if a.cost_usd is None else a.cost_usd for a in attempts)


def _make_executor(executor: object) -> object:
    if not callable(executor) or hasattr(executor, "acall"):
        return executor
    from router.execution import as_executor

    made: object = as_executor(executor)
    return made


def _check_models(serving: Serving, known: Mapping[str, ModelProfile]) -> None:
    for name in ("endpoints", "fallbacks", "limits"):
        unknown = [model for model in getattr(serving, name) if model not in known]
        if unknown:
            raise InputError(f"{name} must be of models that exist, were of {unknown}; known: {list(known)}")
    chained = sorted({model for chain in serving.fallbacks.values() for model in chain} - set(known))
    if chained:
        raise InputError(f"fallbacks must name models that exist, were {chained}; known: {list(known)}")
