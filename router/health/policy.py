"""Every number that the live state of the endpoints obeys."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

from router.errors import InputError

_MAY_BE_ZERO: Final = ("jitter_share", "panic_share")
_ORDERED: Final = (
    ("latency_decay_min_s", "latency_decay_max_s"),
    ("cooldown_s", "cooldown_max_s"),
    ("rate_limit_cooldown_s", "rate_limit_cooldown_max_s"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """When an endpoint counts as slow, as failing, and as well again. "Fleet median": of the endpoints' predicted seconds.

    Attributes:
        latency_decay_s: Time constant by which a latency is forgotten while none is known; afterwards it is
        latency_decay_medians: fleet medians, but at least
        latency_decay_min_s: this, and at most
        latency_decay_max_s: this.
        unknown_latency_s: What a request is taken to last while no endpoint has answered one.
        penalty_medians: Load after a failure, in fleet medians, but at least
        penalty_min_s: this; it falls in a straight line and is gone after
        penalty_decay_s: this.
        trip_consecutive_failures: Transient failures in a row that open the breaker.
        trip_failure_share: Share of transient failures, in (0, 1], that opens it too, over
        trip_window_s: this time, once there were
        trip_window_calls: this many calls in it.
        cooldown_s: How long it stays open after the first trip; n times as long after the nth in a row, but at most
        cooldown_max_s: this.
        jitter_share: Largest share, in [0, 1), by which cooldowns differ at random, so that not all come back at once.
        rate_limit_cooldown_s: Cooldown after a first rate limit without Retry-After; it doubles with each in a row.
        rate_limit_cooldown_max_s: Upper bound of that and of Retry-After.
        auth_cooldown_s: Cooldown after a refused key or an unknown model.
        slow_start_s: How long the weight takes to grow, in a straight line, to the whole after the breaker closed, from
        slow_start_share: this share, in (0, 1].
        panic_share: Trips are ignored while a smaller share, in [0, 1], of the endpoints is eligible.

    >>> from router import Serving
    >>> Serving(health=HealthPolicy(cooldown_s=10, trip_consecutive_failures=3)).health.cooldown_s
    10
    """

    latency_decay_s: float = 60.0
    latency_decay_medians: float = 30.0
    latency_decay_min_s: float = 10.0
    latency_decay_max_s: float = 120.0
    unknown_latency_s: float = 1.0
    penalty_medians: float = 30.0
    penalty_min_s: float = 5.0
    penalty_decay_s: float = 30.0
    trip_consecutive_failures: int = 5
    trip_failure_share: float = 0.5
    trip_window_s: float = 60.0
    trip_window_calls: int = 10
    cooldown_s: float = 30.0
    cooldown_max_s: float = 300.0
    jitter_share: float = 0.1
    rate_limit_cooldown_s: float = 5.0
    rate_limit_cooldown_max_s: float = 300.0
    auth_cooldown_s: float = 300.0
    slow_start_s: float = 30.0
    slow_start_share: float = 0.1
    panic_share: float = 0.5

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not (0 < value < math.inf or (value == 0 and name in _MAY_BE_ZERO)):
                raise InputError(f"{name} must be positive and finite, was {value!r}")
            if name.endswith("_share") and (value > 1 or (name == "jitter_share" and value == 1)):
                raise InputError(f"{name} must be a share, at most 1 (jitter_share: less than 1), was {value!r}")
        for low, high in _ORDERED:
            if getattr(self, low) > getattr(self, high):
                raise InputError(f"{low} must not exceed {high}, was {getattr(self, low)} > {getattr(self, high)}")
