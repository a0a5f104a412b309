"""Count calls and extra attempts in flight and decide whether one more extra attempt may begin."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from router.execution.policy import CallPolicy


class RetryBudget:
    """Limits the attempts beyond each call's first, so that an outage is not answered by a storm of retries. Thread-safe.

    Args:
        policy: Its `extra_attempts` and `extra_attempts_share` are used.
    """

    def __init__(self, policy: CallPolicy) -> None:
        self._least, self._share = policy.extra_attempts, policy.extra_attempts_share
        # Reentrant: the garbage collector may end an abandoned stream while this thread holds the lock.
        self._lock = threading.RLock()
        self._calls = self._extra = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call as in flight inside the `with` block."""
        with self._lock:
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1

    @contextmanager
    def extra_attempt(self) -> Iterator[bool]:
        """Give whether one more attempt may begin, and count it as in flight inside the `with` block if so."""
        with self._lock:
            # The minimum lets a quiet process retry too: a share of one or two calls would be no attempt at all.
            granted = self._extra < max(self._least, math.floor(self._share * self._calls))
            self._extra += granted
        try:
            yield granted
        finally:
            with self._lock:
                self._extra -= granted
