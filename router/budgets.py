"""What may be asked of a model, and spent altogether, in a time: requests and tokens per minute, USD per day."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from router.errors import InputError

OnSpent = Literal["refuse", "downgrade"]
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What a model takes in a minute.

    Attributes:
        requests_per_minute: At least 1; None: any number. Exact over every 60 s (a moving window).
        tokens_per_minute: Of prompts and answers together, at least 1; None: any number. Over a sliding window of two
            weighed minutes, which holds two numbers instead of one per token.

    >>> from router import Serving
    >>> Serving(limits={"gpt-5.5": RateLimit(requests_per_minute=60)}).limits["gpt-5.5"].requests_per_minute
    60
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"{name} must be a whole number, at least 1, was {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendCap:
    """What may be spent.

    Attributes:
        usd: In any `window_s`, > 0.
        window_s: Seconds, > 0.
        on_spent: `refuse`: a call whose expected cost would exceed the cap is refused. `downgrade`: the models that still
            fit are asked instead, and it is refused only where none does.

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
                raise InputError(f"{name} of a spend cap must be positive, was {value!r}")
        if self.on_spent not in ("refuse", "downgrade"):
            raise InputError(f"on_spent must be 'refuse' or 'downgrade', was {self.on_spent!r}")


class RateLimiter:
    """Admits requests within the limits of their model. Thread-safe; counts in this process alone.

    Args:
        limits: By model; models that are missing have none.

    Raises:
        InputError: If the package `limits`, which does the counting, is not installed.
    """

    def __init__(self, limits: Mapping[str, RateLimit]) -> None:
        try:
            from limits import RateLimitItemPerMinute
            from limits.storage import MemoryStorage
            from limits.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
        except ImportError as error:
            raise InputError("rate limits need the package 'limits'; pip install 'contextual-llm-router[limits]'") from error
        storage = MemoryStorage()
        self._by_request, self._by_token = MovingWindowRateLimiter(storage), SlidingWindowCounterRateLimiter(storage)
        per_minute = RateLimitItemPerMinute
        self._requests = {
            m: per_minute(v.requests_per_minute, namespace="r") for m, v in limits.items() if v.requests_per_minute
        }
        self._tokens = {m: per_minute(v.tokens_per_minute, namespace="t") for m, v in limits.items() if v.tokens_per_minute}
        self._lock = threading.RLock()  # the garbage collector may end an abandoned stream inside a locked section

    def admit(self, model: str, *, tokens: int) -> bool:
        """Count one request of about so many tokens, if both limits have room; count nothing otherwise."""
        requests, by_token = self._requests.get(model), self._tokens.get(model)
        if requests is None and by_token is None:
            return True
        with self._lock:
            if requests is not None and not self._by_request.test(requests, model):
                return False
            if by_token is not None and not self._by_token.hit(by_token, model, cost=max(1, tokens)):
                return False
            return requests is None or self._by_request.hit(requests, model)

    def correct(self, model: str, *, more_tokens: int) -> None:
        """Count tokens that a request took beyond what it was admitted with; tokens saved are not given back."""
        by_token = self._tokens.get(model)
        if by_token is not None and more_tokens > 0:
            self._by_token.hit(by_token, model, cost=more_tokens)


class Purse:
    """Keeps spending under a cap. Thread-safe; counts in this process alone.

    Args:
        cap: The cap.
        clock: Seconds, monotonic.
    """

    def __init__(self, cap: SpendCap, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.cap = cap
        self._clock = clock
        self._spent: deque[tuple[float, float]] = deque()  # when, USD; oldest first
        self._total = self._reserved = 0.0
        self._lock = threading.RLock()  # the garbage collector may end an abandoned stream inside a locked section

    def remaining_usd(self) -> float:
        """Return what may still be spent at this moment, reservations taken off; never negative."""
        with self._lock:
            return self._remaining()

    def reserve(self, expected_usd: float) -> bool:
        """Put an expected cost aside, if it fits; every reservation that was made must be settled."""
        with self._lock:
            if expected_usd > self._remaining():
                return False
            self._reserved += expected_usd
            return True

    def settle(self, expected_usd: float, actual_usd: float) -> None:
        """Replace a reservation by what the call cost, which is 0 where it failed."""
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
            self._total = 0.0  # what adding and taking off leaves behind
        return max(0.0, self.cap.usd - self._total - self._reserved)
