"""Limits of use: requests and tokens per minute for each model, and USD per period for all models together."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from router.errors import InputError

if TYPE_CHECKING:
    from limits import RateLimitItem

OnSpent = Literal["refuse", "downgrade"]
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Requests and tokens that a model accepts per minute.

    Attributes:
        requests_per_minute: Number of requests, ≥ 1. None: no limit. Exact over every 60 s (moving window).
        tokens_per_minute: Number of tokens of prompts and answers together, ≥ 1. None: no limit. Measured over a sliding
            window of two weighted minutes, which needs two numbers instead of one entry per token.

    >>> from router import Serving
    >>> Serving(limits={"gpt-5.5": RateLimit(requests_per_minute=60)}).limits["gpt-5.5"].requests_per_minute
    60
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            # bool is a subclass of int, but True is no count.
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"{name} must be a whole number, at least 1, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendCap:
    """Most USD that may be spent in a period.

    Attributes:
        usd: Cap for any period of `window_s`, > 0.
        window_s: Length of the period in seconds, > 0.
        on_spent: `refuse`: refuse a call whose expected cost would exceed the cap. `downgrade`: call the models that still
            fit instead, and refuse the call only if none fits.

    >>> from router import Serving
    >>> Serving(spend=SpendCap(usd=20, window_s=3600, on_spent="downgrade")).spend.usd
    20
    """

    usd: float
    window_s: float = _DAY_S
    on_spent: OnSpent = "refuse"

    def __post_init__(self) -> None:
        for name in ("usd", "window_s"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
                raise InputError(f"{name} of a spend cap must be positive, got {value!r}")
        if self.on_spent not in ("refuse", "downgrade"):
            raise InputError(f"on_spent must be 'refuse' or 'downgrade', got {self.on_spent!r}")


class RateLimiter:
    """Admits requests within the limits of their model. Thread-safe.

    Args:
        limits: Limit of each model. A model that is missing has no limit.
        storage: Storage of the package `limits` that counts. None: it counts in this process only.

    Raises:
        InputError: If the package `limits`, which does the counting, is not installed.
    """

    def __init__(self, limits: Mapping[str, RateLimit], *, storage: Any = None) -> None:
        try:
            from limits import RateLimitItemPerMinute
            from limits.storage import MemoryStorage
            from limits.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
        except ImportError as error:
            raise InputError("rate limits need the package 'limits'; pip install 'contextual-llm-router[limits]'") from error
        storage = MemoryStorage() if storage is None else storage
        self._by_request, self._by_token = MovingWindowRateLimiter(storage), SlidingWindowCounterRateLimiter(storage)
        # The two limits of a model share one storage. The namespaces keep their counters apart.
        per_minute = RateLimitItemPerMinute
        self._requests = {
            m: per_minute(v.requests_per_minute, namespace="r") for m, v in limits.items() if v.requests_per_minute
        }
        self._tokens = {m: per_minute(v.tokens_per_minute, namespace="t") for m, v in limits.items() if v.tokens_per_minute}
        # Reentrant: the garbage collector may end an abandoned stream while this thread holds the lock.
        self._lock = threading.RLock()

    def has_limit(self, model: str) -> bool:
        """Return whether a model has a limit."""
        return model in self._requests or model in self._tokens

    def admit(self, model: str, *, tokens: int, share: float = 1.0) -> bool:
        """Count a request if both limits allow it, and return whether they do. Otherwise nothing is counted.

        Args:
            model: Name of the model.
            tokens: Estimated tokens of prompt and answer together.
            share: Share of the limits that may be used, in (0, 1]. One request always may.
        """
        requests, by_token = self._requests.get(model), self._tokens.get(model)
        if requests is None and by_token is None:
            return True
        if by_token is None and share == 1:
            return requests is None or self._by_request.hit(requests, model)
        with self._lock:
            # Test the requests first and count them last, so that a request refused for its tokens counts nowhere.
            if requests is not None and not self._by_request.test(requests, model, cost=1 + _hold_back(requests, share, 1)):
                return False
            cost = max(1, tokens)
            if by_token is not None:
                held = _hold_back(by_token, share, cost)
                if held and not self._by_token.test(by_token, model, cost=cost + held):
                    return False
                if not self._by_token.hit(by_token, model, cost=cost):
                    return False
            return requests is None or self._by_request.hit(requests, model)

    def correct(self, model: str, *, more_tokens: int) -> None:
        """Count tokens that a request used beyond its estimate. Saved tokens are not given back."""
        by_token = self._tokens.get(model)
        if by_token is not None and more_tokens > 0:
            self._by_token.hit(by_token, model, cost=more_tokens)

    def count(self, model: str, *, requests: int, tokens: int) -> None:
        """Count requests and tokens that are used already, as far as they fit into the limits."""
        for count, items, used in ((self._by_request, self._requests, requests), (self._by_token, self._tokens, tokens)):
            if model in items and used > 0:
                count.hit(items[model], model, cost=min(used, items[model].amount))

    def used(self, model: str) -> tuple[int, int]:
        """Return the requests and the tokens that count now. 0 without such a limit."""
        requests, tokens = self._read(model)
        return requests[1] - requests[0], tokens[1] - tokens[0]

    def left(self, model: str) -> float:
        """Return the share of the limits of a model that is left, in [0, 1]: that of the tighter one."""
        return min((left / amount for left, amount in self._read(model) if amount), default=1.0)

    def _read(self, model: str) -> list[tuple[int, int]]:
        """Return how many requests and tokens are left, each with the limit. (0, 0) without one."""
        pairs = ((self._by_request, self._requests.get(model)), (self._by_token, self._tokens.get(model)))
        return [
            (0, 0) if item is None else (count.get_window_stats(item, model).remaining, item.amount) for count, item in pairs
        ]


def _hold_back(item: RateLimitItem, share: float, cost: int) -> int:
    """Return the part of a limit that may not be used. At least `cost` may."""
    return min(item.amount - math.floor(item.amount * share), max(0, item.amount - cost)) if share < 1 else 0


class SpendTracker:
    """Keeps spending under a cap. Thread-safe. It counts in this process only.

    Args:
        cap: The cap.
        clock: Seconds that never go back.

    Attributes:
        cap: The cap.
    """

    def __init__(self, cap: SpendCap, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.cap = cap
        self._clock = clock
        self._spent: deque[tuple[float, float]] = deque()  # time, USD; oldest first
        self._total = self._reserved = 0.0
        # Reentrant: the garbage collector may end an abandoned stream while this thread holds the lock.
        self._lock = threading.RLock()

    def remaining_usd(self) -> float:
        """Return the USD that may still be spent now, without the reserved ones, ≥ 0."""
        with self._lock:
            return self._remaining()

    def used_usd(self) -> float:
        """Return the USD that are spent or reserved now, ≥ 0."""
        with self._lock:
            self._remaining()
            return self._total + self._reserved

    def reserve(self, expected_usd: float) -> bool:
        """Reserve an expected cost and return True if it fits. Every reservation must be settled."""
        with self._lock:
            if expected_usd > self._remaining():
                return False
            self._reserved += expected_usd
            return True

    def settle(self, expected_usd: float, actual_usd: float) -> None:
        """Replace a reservation by the actual cost of the call, which is 0 if the call failed."""
        with self._lock:
            self._reserved = max(0.0, self._reserved - expected_usd)
            if actual_usd > 0:
                self._spent.append((self._clock(), actual_usd))
                self._total += actual_usd

    def _remaining(self) -> float:
        oldest = self._clock() - self.cap.window_s
        while self._spent and self._spent[0][0] <= oldest:
            self._total -= self._spent.popleft()[1]
        if not self._spent:
            # Remove the rounding error that adding and subtracting leave behind.
            self._total = 0.0
        return max(0.0, self.cap.usd - self._total - self._reserved)
