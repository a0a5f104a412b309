"""Take reports of requests and report how busy and how fast each endpoint is, and whether it is available now."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from router.errors import InputError
from router.health.breaker import Admission, CircuitBreaker
from router.health.endpoint import FAILURE_CLASSES, EndpointHealth, EndpointState
from router.health.latency import TYPICAL_OUTPUT_TOKENS, summarize_paces
from router.health.news import Heard, Told
from router.health.policy import HealthPolicy
from router.types import FailureClass

_log = logging.getLogger("contextual_llm_router")
_DEFAULT_POLICY: Final = HealthPolicy()
# Other processes hear of such failures at once.
_URGENT: Final = frozenset({"transient", "rate_limit", "auth"})
# Another process has the probe. It is asked again after so many seconds.
_ELSEWHERE_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligibility:
    """Which of some endpoints are available now.

    Attributes:
        names: The available endpoints, in the order given.
        blocked: The other endpoints, each with the end of its cooldown by the clock of the live state. The time is None if
            it depends on a request in flight.
        panic: Whether `names` contains tripped endpoints because too few are left otherwise. Call `begin` with
            `ignore_trip=True` then.
    """

    names: tuple[str, ...]
    blocked: Mapping[str, float | None] = field(default_factory=dict)
    panic: bool = False


class Attempt:
    """One request to one endpoint. It counts as in flight until it is reported, exactly once.

    The first report counts, later ones do nothing. Leaving the `with` block without a report counts as `cancelled`, also
    after an exception. Reports may come from any thread.
    """

    __slots__ = ("_admission", "_endpoint", "_first_token_at", "_live", "_reported")

    def __init__(self, live: LiveState, endpoint: EndpointState, admission: Admission) -> None:
        self._live, self._endpoint, self._admission = live, endpoint, admission
        self._first_token_at: float | None = None
        self._reported = False

    def first_token(self) -> None:
        """Report that the first token has come. Only the first report counts."""
        if self._first_token_at is None:
            self._first_token_at = self._live._clock()

    def succeed(self, *, output_tokens: int | None = None) -> None:
        """Report that the answer is complete.

        Args:
            output_tokens: Length of the answer. None if the response does not say.
        """
        live, endpoint = self._live, self._endpoint
        with live._lock:
            if self._close():
                now = live._clock()
                first_token_at = self._first_token_at
                endpoint.succeeded(
                    self._admission, now, live._pace_summary, first_token_at=first_token_at, output_tokens=output_tokens
                )
                live._update_pace_summary()
        if live.on_move is not None and self._admission.probe:
            live.on_move()

    def fail(self, kind: FailureClass, *, retry_after_s: float | None = None, context_limit: int | None = None) -> None:
        """Report a failure. A refused key or an unknown model is also logged as an error.

        Args:
            kind: Class of the failure.
            retry_after_s: Wait that the server asked for, obeyed for a `rate_limit`. Any value that is not positive and
                finite is ignored.
            context_limit: Tokens that the endpoint accepts, as it said itself. It is remembered. None if it did not.

        Raises:
            InputError: If the class is unknown. Nothing is reported then.
        """
        if kind not in FAILURE_CLASSES:
            raise InputError(f"kind must be one of {', '.join(FAILURE_CLASSES)}, got {kind!r}")
        live, endpoint = self._live, self._endpoint
        with live._lock:
            if not self._close():
                return
            endpoint.failed(self._admission, kind, live._clock(), live._pace_summary, retry_after_s=retry_after_s)
            if context_limit is not None and context_limit > 0:
                endpoint.context_limit = live._context_limits[endpoint.name] = context_limit
        if live.on_move is not None and kind in _URGENT:
            live.on_move()
        # Outside the lock, because a log handler may be slow.
        if kind == "auth":
            _log.error(
                "endpoint %s refused the key, has no credit or has no such model: check its configuration", endpoint.name
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.fail("cancelled")

    def _close(self) -> bool:
        """Stop counting it as in flight. Return False if that was done before. Call it with the lock held."""
        # The with block always ends with a report, usually after the real one.
        if self._reported:
            return False
        self._reported = True
        self._endpoint.inflight -= 1
        return True


class LiveState:
    """Counts, latencies and breakers of a fixed set of endpoints, learned from the requests made to them.

    Safe for many threads and for asyncio: it has one lock and never waits while holding it. Every method raises an
    `InputError` for an unknown endpoint. Several processes can share what they learn, see `tell` and `hear`.

    Args:
        weights: Name and capacity, > 0, of every endpoint. A single endpoint never trips.
        policy: Thresholds, time constants and cooldowns.
        clock: Seconds that never go back.
        rng: Source of the jitter of cooldowns. None: a new generator, seeded by the system.

    Attributes:
        claim_probe: Returns whether this process may send the probe to an endpoint, by its name. Another process may have
            it. None: there is no other process.
        on_move: Called when something has happened that other processes should hear of at once. None: nothing is.

    Raises:
        InputError: If a weight is not positive and finite.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        *,
        policy: HealthPolicy = _DEFAULT_POLICY,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        for name, weight in weights.items():
            if not 0 < weight < math.inf:
                raise InputError(f"the weight of endpoint {name!r} must be positive and finite, got {weight!r}")
        rng = rng or random.Random()  # noqa: S311 - no secret depends on it
        self._policy, self._clock = policy, clock
        # Reentrant: the garbage collector may close an abandoned stream, which then reports, while this thread has the lock.
        self._lock = threading.RLock()
        self._pace_summary = summarize_paces((), policy)
        self.claim_probe: Callable[[str], bool] | None = None
        self.on_move: Callable[[], None] | None = None
        # Kept together too, because every decision asks for them and there are usually none.
        self._context_limits: dict[str, int] = {}
        self._endpoints = {
            name: EndpointState(name, weight, policy, CircuitBreaker(policy, rng, may_trip=len(weights) > 1))
            for name, weight in weights.items()
        }

    def load(self, name: str, *, output_tokens: float = TYPICAL_OUTPUT_TOKENS) -> float:
        """Return predicted seconds × (in flight + 1) / weight, > 0, but at least the penalty for a recent failure.

        The load is infinite while the request that gives the first sample is in flight. A strategy that goes by load
        therefore tries a new endpoint once and waits for the result. One that goes by quality does not look at it.

        Args:
            name: The endpoint.
            output_tokens: Expected length of the answer, ≥ 0.
        """
        if not 0 <= output_tokens < math.inf:
            raise InputError(f"output_tokens must be finite and not negative, got {output_tokens!r}")
        endpoint = self._find(name)
        with self._lock:
            return endpoint.load(output_tokens, self._clock(), self._pace_summary)

    def inflight(self, name: str) -> int:
        """Return the number of requests in flight, ≥ 0."""
        # No lock: reading one number is atomic in CPython.
        endpoint = self._find(name)
        return endpoint.inflight + endpoint.inflight_elsewhere

    def context_limits(self) -> Mapping[str, int]:
        """Return the tokens that endpoints accept, for those that said so themselves."""
        return dict(self._context_limits)

    def weight(self, name: str) -> float:
        """Return the capacity at this moment, > 0. It is less than the given one during a slow start."""
        endpoint = self._find(name)
        with self._lock:
            return endpoint.weight(self._clock())

    def eligible(self, names: Sequence[str], *, failed: Collection[str] = ()) -> Eligibility:
        """Return which of these endpoints are available now.

        Trips are ignored if fewer than half (`panic_share`) would be available otherwise, so also for a single endpoint.
        Rate limits and refused keys are never ignored.

        Args:
            names: The endpoints, each one once.
            failed: Those that have just failed for the caller. They stay available, but do not count for that share.
        """
        endpoints = [self._find(name) for name in names]
        with self._lock:
            now = self._clock()
            for endpoint in endpoints:
                if endpoint.breaker.blocked_until > now:
                    return self._split(endpoints, now, failed)
        # The usual case: nothing is blocked, and no set was built to find that out.
        return Eligibility(names=tuple(names))

    def begin(self, name: str, *, ignore_trip: bool = False) -> Attempt | None:
        """Count a request to an endpoint as in flight. None if the endpoint is not available now.

        It is not available while it cools down, and while the one probe that decides about its recovery is out.

        Args:
            name: The endpoint.
            ignore_trip: Ignore trips (panic). Only a rate limit or a refused key then makes it unavailable.
        """
        endpoint = self._find(name)
        # Outside the lock, because other processes are asked.
        is_left = self.claim_probe is not None and endpoint.breaker.needs_probe(self._clock()) and not self.claim_probe(name)
        with self._lock:
            if is_left:
                endpoint.breaker.leave_probe(self._clock() + _ELSEWHERE_S)
            admission = endpoint.breaker.admit(self._clock(), ignore_trip=ignore_trip)
            if admission is None:
                return None
            attempt = Attempt(self, endpoint, admission)
            endpoint.inflight += 1
            return attempt

    def snapshot(self, *, own: bool = False) -> Mapping[str, EndpointHealth]:
        """Return the state of every endpoint, all at the same moment.

        Args:
            own: Whether to count the requests of this process only.
        """
        with self._lock:
            now = self._clock()
            return {name: state.health(now, self._pace_summary, own=own) for name, state in self._endpoints.items()}

    def tell(self) -> list[Told]:
        """Return what other processes have to hear of each endpoint. It counts as told."""
        with self._lock:
            now = self._clock()
            return [endpoint.tell(now, self._pace_summary) for endpoint in self._endpoints.values()]

    def take_back(self, told: Sequence[Told]) -> None:
        """Keep what could not be told, to tell it later."""
        with self._lock:
            for each in told:
                self._find(each.name).take_back(each)

    def tell_again(self) -> None:
        """Tell everything again next time, because the others have forgotten it."""
        with self._lock:
            for endpoint in self._endpoints.values():
                endpoint.tell_again()

    def hear(self, heard: Mapping[str, Heard], told: Sequence[Told]) -> None:
        """Take over what all processes know together.

        Args:
            heard: What they know of each endpoint, `told` included.
            told: What this process had told them.
        """
        with self._lock:
            now, moved = self._clock(), False
            for each in told:
                endpoint = self._find(each.name)
                endpoint.hear(heard[each.name], each, now, self._pace_summary)
                if endpoint.context_limit is not None:
                    self._context_limits[endpoint.name] = endpoint.context_limit
                moved = moved or endpoint.breaker.news.moved
            self._update_pace_summary()
        if moved and self.on_move is not None:
            self.on_move()

    def _split(self, endpoints: Sequence[EndpointState], now: float, failed: Collection[str]) -> Eligibility:
        """Separate available endpoints from blocked ones."""
        held = {endpoint.name for endpoint in endpoints if endpoint.breaker.is_held(now)}
        tripped = {endpoint.name for endpoint in endpoints if endpoint.breaker.is_tripped(now)} - held
        n_available = len({endpoint.name for endpoint in endpoints} - held - tripped - set(failed))
        # Panic only helps if it makes another endpoint available, so never without a tripped one.
        panic = bool(tripped) and n_available < self._policy.panic_share * len(endpoints)
        blocked = held | (set() if panic else tripped)
        return Eligibility(
            names=tuple(endpoint.name for endpoint in endpoints if endpoint.name not in blocked),
            blocked={e.name: e.breaker.retry_at(now) for e in endpoints if e.name in blocked},
            panic=panic,
        )

    def _find(self, name: str) -> EndpointState:
        try:
            return self._endpoints[name]
        except KeyError:
            raise InputError(f"endpoint {name!r} is unknown; known: {', '.join(self._endpoints)}") from None

    def _update_pace_summary(self) -> None:
        paces = [endpoint.latency.pace for endpoint in self._endpoints.values()]
        self._pace_summary = summarize_paces([pace for pace in paces if pace is not None], self._policy)
