"""The live state of every endpoint: how busy it is, how fast, and whether it may be asked now."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from router.errors import InputError
from router.health.breaker import Admission, CircuitBreaker
from router.health.endpoint import FAILURE_CLASSES, EndpointHealth, EndpointState
from router.health.latency import TYPICAL_OUTPUT_TOKENS, fleet_of
from router.health.policy import HealthPolicy
from router.types import FailureClass

_log = logging.getLogger("router")
_DEFAULT_POLICY: Final = HealthPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligibility:
    """Which of some endpoints may be asked now.

    Attributes:
        names: Those that may, in the order given.
        blocked: The others, and when each may be asked again, by the clock of the live state; None where that depends on a
            request under way.
        panic: Whether some are among `names` although they tripped, because too few are left otherwise; `begin` has to be
            told (`ignore_trip=True`).
    """

    names: tuple[str, ...]
    blocked: Mapping[str, float | None] = field(default_factory=dict)
    panic: bool = False


class Attempt:
    """One request to one endpoint, counted in flight until it is reported, exactly once.

    The first report counts; later ones do nothing. Leaving the `with` block unreported, by whatever exception, counts as
    `cancelled`. Reports may come from any thread.
    """

    __slots__ = ("_admission", "_endpoint", "_first_token_at", "_live", "_reported")

    def __init__(self, live: LiveState, endpoint: EndpointState, admission: Admission) -> None:
        self._live, self._endpoint, self._admission = live, endpoint, admission
        self._first_token_at: float | None = None
        self._reported = False

    def first_token(self) -> None:
        """Say that the first token has come; only the first time counts."""
        if self._first_token_at is None:
            self._first_token_at = self._live._clock()

    def succeed(self, *, output_tokens: int | None = None) -> None:
        """Report that the answer is complete, and its length where the response tells it."""
        live, endpoint = self._live, self._endpoint
        with live._lock:
            if self._close():
                now = live._clock()
                first_token_at = self._first_token_at
                endpoint.succeeded(
                    self._admission, now, live._fleet, first_token_at=first_token_at, output_tokens=output_tokens
                )
                live._learn_fleet()

    def fail(self, kind: FailureClass, *, retry_after_s: float | None = None) -> None:
        """Report a failure; a refused key or an unknown model is logged as an error.

        Args:
            kind: Its class.
            retry_after_s: What the server asked for, obeyed for a `rate_limit`; anything but a positive finite number
                counts as nothing.

        Raises:
            InputError: There is no such class; nothing was reported.
        """
        if kind not in FAILURE_CLASSES:
            raise InputError(f"kind must be one of {', '.join(FAILURE_CLASSES)}, was {kind!r}")
        live, endpoint = self._live, self._endpoint
        with live._lock:
            if not self._close():
                return
            endpoint.failed(self._admission, kind, live._clock(), live._fleet, retry_after_s=retry_after_s)
        if kind == "auth":
            _log.error("endpoint %s refused the key or has no such model: check its configuration", endpoint.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.fail("cancelled")

    def _close(self) -> bool:
        """Take it out of flight, under the lock; False where that was done before."""
        if self._reported:
            return False
        self._reported = True
        self._endpoint.inflight -= 1
        return True


class LiveState:
    """Counts, latencies and breakers of a fixed set of endpoints, learnt from the requests made to them.

    Safe to use from many threads and from asyncio: one lock, never held over a wait. An unknown name is an `InputError`.

    Args:
        weights: Every endpoint's name and capacity, > 0. One that is alone here never trips.
        policy: The numbers.
        clock: Seconds that never go back.
        rng: For the jitter of cooldowns.

    Raises:
        InputError: A weight is not positive and finite.
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
                raise InputError(f"the weight of endpoint {name!r} must be positive and finite, was {weight!r}")
        rng = rng or random.Random()  # noqa: S311 - no secret hangs on it
        self._policy, self._clock = policy, clock
        # Reentrant: an abandoned stream may be collected, and so report itself, while this very thread holds the lock.
        self._lock = threading.RLock()
        self._fleet = fleet_of((), policy)
        self._endpoints = {
            name: EndpointState(name, weight, policy, CircuitBreaker(policy, rng, may_trip=len(weights) > 1))
            for name, weight in weights.items()
        }

    def load(self, name: str, *, output_tokens: float = TYPICAL_OUTPUT_TOKENS) -> float:
        """Return predicted seconds × (in flight + 1) / weight, never below the penalty for a recent failure; > 0.

        Infinite while the request that will give the first sample is under way: whoever goes by load tries the unknown once
        and waits for what comes of it, whoever goes by quality does not care.

        Args:
            name: The endpoint.
            output_tokens: Expected length of the answer, ≥ 0.
        """
        if not 0 <= output_tokens < math.inf:
            raise InputError(f"output_tokens must be finite and not negative, was {output_tokens!r}")
        endpoint = self._find(name)
        with self._lock:
            return endpoint.load(output_tokens, self._clock(), self._fleet)

    def inflight(self, name: str) -> int:
        """Return how many requests are under way, ≥ 0."""
        return self._find(name).inflight

    def weight(self, name: str) -> float:
        """Return the capacity at this moment, > 0: less than the given one in a slow start."""
        endpoint = self._find(name)
        with self._lock:
            return endpoint.weight(self._clock())

    def eligible(self, names: Sequence[str]) -> Eligibility:
        """Tell which of these may be asked now, each named once.

        Trips are ignored where fewer than half (`panic_share`) could be asked otherwise, so also for one that is alone; a
        rate limit or a refused key never is.
        """
        endpoints = [self._find(name) for name in names]
        with self._lock:
            now = self._clock()
            for endpoint in endpoints:
                if endpoint.breaker.blocked_until > now:
                    return self._sort_out(endpoints, now)
        return Eligibility(names=tuple(names))

    def begin(self, name: str, *, ignore_trip: bool = False) -> Attempt | None:
        """Count a request to it as under way; None where it may not be asked now.

        That is while it cools down, and while the one probe that decides whether it is well again is out; with
        `ignore_trip` (panic) only while a rate limit or a refused key holds it back.
        """
        endpoint = self._find(name)
        with self._lock:
            admission = endpoint.breaker.admit(self._clock(), ignore_trip=ignore_trip)
            if admission is None:
                return None
            attempt = Attempt(self, endpoint, admission)
            endpoint.inflight += 1
            return attempt

    def snapshot(self) -> Mapping[str, EndpointHealth]:
        """Return what is known of every endpoint at this one moment."""
        with self._lock:
            now = self._clock()
            return {name: endpoint.health(now, self._fleet) for name, endpoint in self._endpoints.items()}

    def _sort_out(self, endpoints: Sequence[EndpointState], now: float) -> Eligibility:
        held = {endpoint.name for endpoint in endpoints if endpoint.breaker.held(now)}
        tripped = {endpoint.name for endpoint in endpoints if endpoint.breaker.tripped(now)} - held
        n_well = len(endpoints) - len(held | tripped)
        panic = bool(tripped) and n_well < self._policy.panic_share * len(endpoints)
        passed_over = held | (set() if panic else tripped)
        return Eligibility(
            names=tuple(endpoint.name for endpoint in endpoints if endpoint.name not in passed_over),
            blocked={e.name: e.breaker.retry_at(now) for e in endpoints if e.name in passed_over},
            panic=panic,
        )

    def _find(self, name: str) -> EndpointState:
        try:
            return self._endpoints[name]
        except KeyError:
            raise InputError(f"endpoint {name!r} is unknown; known: {', '.join(self._endpoints)}") from None

    def _learn_fleet(self) -> None:
        paces = [endpoint.latency.pace for endpoint in self._endpoints.values()]
        self._fleet = fleet_of([pace for pace in paces if pace is not None], self._policy)
