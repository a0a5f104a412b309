"""Thresholds, time constants and cooldowns of the live state, as one value."""

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
    """When an endpoint counts as slow, as failing and as recovered.

    The "median" below is the median of the endpoints' predicted seconds for a typical answer.

    Attributes:
        latency_decay_s: Time constant for forgetting latencies while no latency is known.
        latency_decay_medians: The same time constant as a multiple of the median, once a latency is known.
        latency_decay_min_s: Lower bound of that time constant.
        latency_decay_max_s: Upper bound of that time constant.
        unknown_latency_s: Assumed seconds of a request while no endpoint has answered one.
        penalty_medians: Load after a failure, as a multiple of the median.
        penalty_min_s: Lower bound of that load.
        penalty_decay_s: Seconds until the penalty is gone. It falls linearly.
        trip_consecutive_failures: Number of transient failures in a row that open the breaker.
        trip_failure_share: Share of transient failures, in (0, 1], that opens the breaker too.
        trip_window_s: Period over which that share is measured.
        trip_window_calls: Least number of calls in that period before the share counts.
        cooldown_s: Seconds that the breaker stays open after the first trip. The nth trip in a row takes n times as long.
        cooldown_max_s: Upper bound of that cooldown.
        jitter_share: Largest random change of a cooldown, as a share in [0, 1). It keeps clients from coming back together.
        rate_limit_cooldown_s: Cooldown after a first rate limit without Retry-After. It doubles with each one in a row.
        rate_limit_cooldown_max_s: Upper bound of that cooldown and of Retry-After.
        auth_cooldown_s: Cooldown after a refused key or an unknown model.
        slow_start_s: Seconds in which the weight grows back, linearly, after the breaker closed.
        slow_start_share: Share of the weight, in (0, 1], at the start of that growth.
        panic_share: Trips are ignored if a smaller share of the endpoints, in [0, 1], is eligible.

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
            # Written as one chain so that NaN, which is neither above nor below anything, is refused too.
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and (0 < value < math.inf or (value == 0 and name in _MAY_BE_ZERO))):
                raise InputError(f"{name} must be a number, positive and finite, got {value!r}")
            # A jitter of 1 could shorten a cooldown to nothing.
            if name.endswith("_share") and (value > 1 or (name == "jitter_share" and value == 1)):
                raise InputError(f"{name} must be a share, at most 1 (jitter_share: less than 1), got {value!r}")
        for low, high in _ORDERED:
            if getattr(self, low) > getattr(self, high):
                raise InputError(f"{low} must not exceed {high}, got {getattr(self, low)} > {getattr(self, high)}")
