"""Count calls and retries in flight and decide whether one more retry may begin."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from router.execution.policy import CallPolicy


class RetryBudget:
    """Limits the retries of failing endpoints, so that an outage is not answered by a storm of retries. Thread-safe.

    The first request of a call to another endpoint is no retry: a healthy model takes over however many calls need it.

    Args:
        policy: Its `extra_attempts` and `extra_attempts_share` are used.
    """

    def __init__(self, policy: CallPolicy) -> None:
        self._least, self._share = policy.extra_attempts, policy.extra_attempts_share
        # Reentrant: the garbage collector may end an abandoned stream while this thread holds the lock.
        self._lock = threading.RLock()
        self._calls = self._retries = 0

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

    def take(self) -> Retry | None:
        """Return one more retry, counted as in flight until it is released. None if there are too many."""
        with self._lock:
            # The minimum lets a quiet process retry too: a share of one or two calls would be no retry at all.
            if self._retries >= max(self._least, math.floor(self._share * self._calls)):
                return None
            self._retries += 1
            return Retry(self)

    def _give_back(self) -> None:
        with self._lock:
            self._retries -= 1


class Retry:
    """A retry in flight, until it is released."""

    def __init__(self, budget: RetryBudget) -> None:
        self._budget: RetryBudget | None = budget

    def release(self) -> None:
        """Stop counting it. A second release does nothing."""
        budget, self._budget = self._budget, None
        if budget is not None:
            budget._give_back()
