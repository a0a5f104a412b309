"""Take a routing decision and return the plan of its call, from the live state of all models and their shared budgets."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from router.calls import Call, CallTarget, Completion, Reply, name_target
from router.cascade import Cascade
from router.decision import RoutingDecision
from router.errors import BudgetExceededError, InputError
from router.execution.limits import RateLimiter, SpendTracker
from router.execution.retry_budget import RetryBudget
from router.health.live import LiveState
from router.serving.accounting import RateLimitedGate, Reservation, account
from router.serving.lazy import LazyMapping
from router.serving.places import find_places
from router.serving.serving import (
    Serving,
    check_fallbacks,
    check_models,
    find_known_endpoints,
    find_protocols,
    find_servers,
    make_executor,
)
from router.types import CALL_PRICES, ModelProfile, WireProtocol

if TYPE_CHECKING:
    from router.execution.cascade import CascadePlan
    from router.execution.deadline import Deadline
    from router.execution.steps import Plan
    from router.state.limits import SharedRateLimiter, SharedSpendTracker


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
        state: What several processes share. None: each process is for itself.
        executor: Makes the calls. None if the router only decides.
        unserved: The models that the executor has no endpoint for, each with the reason why it is no candidate.

    Raises:
        InputError: If `serving` names a model or an endpoint that does not exist. If an endpoint of the executor serves no
            model, or no model has an endpoint.
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
        self.executor = make_executor(serving.executor)
        places = find_places(profiles, serving.endpoints, find_known_endpoints(self.executor))
        self.unserved = {name: "the executor has no endpoint for it" for name in self._profiles if name not in places}
        self._protocols, self._servers = find_protocols(self.executor), find_servers(self.executor)
        users = Counter(endpoint for endpoints in places.values() for endpoint in endpoints)
        self._targets = {
            model: {
                name_target(endpoint, model, shared=users[endpoint] > 1): self._make_target(model, endpoint, users[endpoint])
                for endpoint in endpoints
            }
            for model, endpoints in places.items()
        }
        # Names in the live state, which keeps the models of a shared endpoint apart.
        self._endpoints = {model: list(targets) for model, targets in self._targets.items()}
        self._model_of = {name: model for model, names in self._endpoints.items() for name in names}
        weights = {t.name: places[m][t.endpoint] for m, targets in self._targets.items() for t in targets.values()}
        if len(weights) < sum(map(len, self._endpoints.values())):
            raise InputError("an endpoint has the name that a shared one has for a model; rename one of them")
        for chain in serving.fallbacks.values():
            self._check_served(chain)
        if serving.cascade is not None:
            self._check_verifier(serving.cascade)
        self._clock, self._rng = clock, rng or random.Random()  # noqa: S311 - no secret depends on it
        self.live = LiveState(weights, policy=serving.health, clock=clock, rng=self._rng)
        self._budget = RetryBudget(serving.calls)
        self.state = serving.state.connect() if serving.state else None
        self._limiter: RateLimiter | SharedRateLimiter | None = None
        self.spend_tracker: SpendTracker | SharedSpendTracker | None = None
        if serving.limits:
            state = self.state
            self._limiter = state.make_limiter(serving.limits, group="models") if state else RateLimiter(serving.limits)
        if serving.spend and self.state:
            self.spend_tracker = self.state.make_spend_tracker(serving.spend, name="all", clock=clock)
        elif serving.spend:
            self.spend_tracker = SpendTracker(serving.spend, clock=clock)
        if self.state:
            self.state.share_live(self.live)

    def __reduce__(self) -> tuple[type[Fleet], tuple[Sequence[ModelProfile], Serving]]:
        # The live state shows what this process has seen. In another process it may be wrong.
        return Fleet, (tuple(self._profiles.values()), self.serving)

    def close(self) -> None:
        """Stop sharing with other processes."""
        if self.state is not None:
            self.state.close()

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

    def context_limits(self) -> dict[str, int]:
        """Return the context window of the models whose endpoints said how many tokens they accept.

        A model is as large as its largest endpoint.
        """
        limits = self.live.context_limits()
        windows: dict[str, int] = {}
        for model in {self._model_of[name] for name in limits}:
            known = [limits.get(name, self._profiles[model].context_window) for name in self._endpoints[model]]
            # Nothing is known about an endpoint that said nothing and whose profile has no window.
            if None not in known:
                windows[model] = max(window for window in known if window is not None)
        return windows

    def find_silent(self, protocol: WireProtocol, endpoints: Collection[str] | None = None) -> dict[str, str]:
        """Return the models none of whose endpoints can take a request, each with the reason why it is no candidate.

        Args:
            protocol: The protocol of the request.
            endpoints: Names of the endpoints that may be asked. None: all.
        """
        found = {}
        for model, targets in self._targets.items():
            speaking = [target.endpoint for target in targets.values() if protocol in target.protocols]
            if not speaking:
                found[model] = f"no endpoint of it speaks the protocol {protocol!r}"
            elif endpoints is not None and not set(speaking) & set(endpoints):
                found[model] = "its endpoints are not among those that may be asked"
        return found

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
        accept: Callable[[Reply], bool] | None = None,
        timeout_s: float | None = None,
        protocol: WireProtocol = "chat",
        endpoints: Collection[str] | None = None,
        allowed: Collection[str] | None = None,
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
            accept: Returns whether a reply is good enough. None: every reply is.
            timeout_s: Deadline of the call in seconds. None: that of `Serving.calls`.
            protocol: The protocol of the request. Only endpoints that speak it are asked.
            endpoints: Names of the endpoints that may be asked. None: all.
            allowed: Models that `Serving.fallbacks` may lead to. None: all.

        Raises:
            InputError: If a fallback does not exist.
            BudgetExceededError: In the first step, if the spending cap leaves no model.
        """
        # Imported here, so that importing the router stays fast.
        from router.execution.deadline import Deadline
        from router.execution.plan import plan_call

        order = self._order(decision, fallbacks, allowed)
        gate = RateLimitedGate(self.live, self._limiter, self._model_of, tokens)

        def steps() -> Plan:
            # Inside the generator, because a plan that is never started must not reserve anything.
            costs = {name: score.cost_usd or 0.0 for name, score in decision.scores.items()}
            models = self._reserve_cost(order, costs)
            call = Call(
                targets=[
                    target
                    for model in models
                    for target in self._find_targets(model)
                    if protocol in target.protocols and (endpoints is None or target.endpoint in endpoints)
                ],
                messages=messages,
                decision=decision,
                options=options,
                stream=stream,
                needs=needs,
                tokens=tokens,
                accept=accept,
            )
            policy, rng, clock = self.serving.calls, self._rng, self._clock
            policy = policy if timeout_s is None else replace(policy, deadline_s=timeout_s)
            reservation = Reservation(self.spend_tracker, costs, models[0])
            start = partial(
                plan_call, live=gate, budget=self._budget, policy=policy, clock=clock, rng=rng, began_at=began_at
            )
            deadline = Deadline(policy.deadline_s, began_at, clock)
            cascade = self._make_cascade(call, models, start=start, reserve=reservation.add, deadline=deadline)
            plan = start(call) if cascade is None else cascade.run()
            return (yield from account(plan, gate, reservation, learn))

        if self.state is None:
            return steps()
        from router.execution.steps import begin

        # Other processes are asked now, in the thread that decides, and not in the event loop that makes the call.
        return begin(steps())

    def _make_cascade(
        self,
        call: Call,
        models: Sequence[str],
        *,
        start: Callable[..., Plan],
        reserve: Callable[[str], bool],
        deadline: Deadline,
    ) -> CascadePlan | None:
        """Return the cascade of a call. None if its decision has none, or the budget leaves no two models of it."""
        options, decided = self.serving.cascade, call.decision.cascade
        asked = [] if decided is None else [name for name in decided.models if name in models]
        if options is None or len(asked) < 2:  # noqa: PLR2004 - a cascade has two models
            return None
        from router.execution.cascade import CascadePlan

        targets = [] if options.model is None else self._find_targets(options.model)
        checkers = [target for target in targets if "chat" in target.protocols]
        return CascadePlan(call, asked, options, checkers=checkers, start=start, reserve=reserve, deadline=deadline)

    def _order(
        self, decision: RoutingDecision, fallbacks: Sequence[str] | None, allowed: Collection[str] | None
    ) -> list[str]:
        """Return the models to ask, in order."""
        chain, first = fallbacks, [decision.model] if decision.cascade is None else list(decision.cascade.models)
        if chain is None:
            chain = self.serving.fallbacks.get(decision.model)
            if chain is None:
                return list(decision.ranking)
            # Fallbacks of the router do not lead past what a call allows. Those that the call itself names may.
            chain = [name for name in chain if allowed is None or name in allowed]
        check_fallbacks("fallbacks", chain)
        self._check_served(chain)
        # A chain may repeat the first model.
        return list(dict.fromkeys([*first, *chain]))

    def _check_verifier(self, cascade: Cascade) -> None:
        """Raise an `InputError` if the model of a verifier cannot be called."""
        targets = {} if cascade.model is None else self._targets.get(cascade.model, {})
        if cascade.model is not None and not any("chat" in target.protocols for target in targets.values()):
            raise InputError(
                f"the verifier of a cascade needs a model with an endpoint for chat completions, got {cascade.model!r}; "
                f"known: {list(self._endpoints)}"
            )

    def _check_served(self, chain: Sequence[str]) -> None:
        unknown = [name for name in chain if name not in self._endpoints]
        if unknown:
            raise InputError(
                f"fallbacks must name models that exist and have an endpoint, got {unknown}; known: {list(self._endpoints)}"
            )

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

    def _find_targets(self, model: str) -> list[CallTarget]:
        """Return a model's endpoints in random order, but the less loaded one of the first two comes first."""
        # Power of two choices: if every caller took the least loaded endpoint, they would all take the same one at once.
        names, limits = list(self._endpoints.get(model, ())), self.live.context_limits()
        if len(names) > 1:
            self._rng.shuffle(names)
            names[:2] = sorted(names[:2], key=self.live.load)
        targets = [self._targets[model][name] for name in names]
        # An endpoint knows its own window better than the model's profile does.
        return [replace(t, context_window=limits[t.name]) if t.name in limits else t for t in targets]

    def _make_target(self, model: str, endpoint: str, n_models: int) -> CallTarget:
        profile = self._profiles[model]
        return CallTarget(
            model=model,
            endpoint=endpoint,
            base=profile.base,
            request=profile.request,
            shared=n_models > 1,
            context_window=profile.context_window,
            capabilities=profile.capabilities,
            **{name: getattr(profile, name) for name in CALL_PRICES},
            protocols=self._protocols.get(endpoint, frozenset({"chat"})),
            server=self._servers.get(endpoint, endpoint),
        )
