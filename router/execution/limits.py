"""Every number that a call obeys, and the budget of extra attempts that all calls share."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

from router.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPolicy:
    """How long a call may take, and how often it may be tried.

    Attributes:
        deadline_s: Seconds for everything: attempts, waits, and a stream to its last chunk.
        connect_s: Seconds until a connection must stand.
        first_token_s: Seconds until the first chunk of a stream.
        chunk_s: Seconds between two chunks of a stream.
        answer_s: Seconds for a whole answer (not a stream) while somebody else could still be asked. Without it a model
            that never answers would use up the deadline, and as that counts against nobody, be asked again next time.
        max_attempts: Attempts in all, over retries and fallbacks, ≥ 1.
        extra_attempts: How many attempts beyond each call's first may be in flight at once, over all calls, ≥ 0; or
        extra_attempts_share: this share of the calls in flight, ≥ 0, where that is more.
        backoff_s: Before the first retry of the same endpoint: at random up to this; twice as long before each further
            one, but at most
        backoff_max_s: this.

    >>> from router import Serving
    >>> Serving(calls=CallPolicy(deadline_s=30, max_attempts=2)).calls.max_attempts
    2
    """

    deadline_s: float = 120.0
    connect_s: float = 5.0
    first_token_s: float = 30.0
    chunk_s: float = 20.0
    answer_s: float = 90.0
    max_attempts: int = 3
    extra_attempts: int = 3
    extra_attempts_share: float = 0.2
    backoff_s: float = 0.5
    backoff_max_s: float = 8.0

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            kind, least = (int if isinstance(field.default, int) else (int, float)), 0 if name.startswith("extra_") else None
            if not (isinstance(value, kind) and math.isfinite(value) and (value > 0 or value == least)):
                rule = "a whole number" if kind is int else "a finite number"
                sign = "not negative" if least == 0 else "positive"
                raise InputError(f"{name} must be {rule}, {sign}, was {value!r}")


class RetryBudget:
    """Bounds the attempts beyond each call's first, so that a fleet in trouble is not asked ever more. Thread-safe.

    Args:
        policy: `extra_attempts` and `extra_attempts_share`.
    """

    def __init__(self, policy: CallPolicy) -> None:
        self._least, self._share = policy.extra_attempts, policy.extra_attempts_share
        # Reentrant: the garbage collector may end an abandoned stream in the middle of a locked section.
        self._lock = threading.RLock()
        self._calls = self._extra = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call as in flight."""
        with self._lock:
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1

    @contextmanager
    def extra_attempt(self) -> Iterator[bool]:
        """Tell whether one more attempt may begin, and count it as in flight if so."""
        with self._lock:
            granted = self._extra < max(self._least, math.floor(self._share * self._calls))
            self._extra += granted
        try:
            yield granted
        finally:
            with self._lock:
                self._extra -= granted
