"""Limits of use that hold for several processes together.

Without Redis, a process may hold what it has used itself, and an equal share of what was left when it last heard. If all
processes lose the server at the same time, they hold the whole limit together, and not more.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from router.execution.limits import RateLimit, RateLimiter, SpendCap, SpendTracker

if TYPE_CHECKING:
    from router.state.link import RedisLink

# A call lasts at most about so long. After that its reservation counts as lost with its process.
_RESERVATION_S = 1800
_MINUTE_S = 60.0
# What is left of a budget is known about so exactly in time. Reservations do not depend on it.
_FRESH_S = 1.0
_MOST_CORRECTIONS = 10_000
# A cost is kept in one of so many slots of the window.
_SLOTS = 1000


class SharedRateLimiter:
    """Admits requests within the limits, counted over all processes. Has the methods of `RateLimiter`.

    The clocks of the machines must agree, because the window is one of their time.

    Args:
        limits: Limit of each name.
        link: Leads to Redis.
        group: Keeps limiters of different things apart.
        count_replicas: Returns the number of processes.
    """

    def __init__(
        self, limits: Mapping[str, RateLimit], link: RedisLink, *, group: str, count_replicas: Callable[[], int]
    ) -> None:
        from limits.storage import RedisStorage

        pool = link.client.connection_pool
        storage = RedisStorage("redis://", connection_pool=pool, key_prefix=link.key("limits", group))
        self._own, self._all = RateLimiter(limits), RateLimiter(limits, storage=storage)
        self._link, self._count_replicas, self._names = link, count_replicas, tuple(limits)
        # Share of the limits that this process may use without the server, by name.
        self._shares: dict[str, float] = {}
        self._heard_at = -math.inf
        # Time, name and tokens of each request that was admitted while the server did not answer.
        self._untold: deque[tuple[float, str, int]] = deque()
        self._corrections: deque[tuple[str, int]] = deque(maxlen=_MOST_CORRECTIONS)

    def admit(self, model: str, *, tokens: int) -> bool:
        """Count a request if the limits allow it, and return whether they do. See `RateLimiter.admit`."""
        if not self._own.has_limit(model):
            return True
        admitted = self._link.ask(lambda: self._all.admit(model, tokens=tokens))
        if admitted is None:
            share = self._shares.get(model, 1 / self._count_replicas())
            admitted = self._own.admit(model, tokens=tokens, share=share)
            if admitted:
                self._untold.append((time.monotonic(), model, tokens))
                self._forget_old()
            return admitted
        if admitted:
            # What all have used is at least what this process has, so this admits too.
            self._own.admit(model, tokens=tokens)
        return admitted

    def correct(self, model: str, *, more_tokens: int) -> None:
        """Count tokens that a request used beyond its estimate."""
        self._own.correct(model, more_tokens=more_tokens)
        self._corrections.append((model, more_tokens))

    def exchange(self, *, has_forgotten: bool) -> None:
        """Tell again what this process has used, if the server has forgotten it."""
        used = {model: self._own.used(model) for model in self._names} if has_forgotten else self._sum_untold()
        self._untold.clear()
        while self._corrections and not has_forgotten:
            model, more_tokens = self._corrections.popleft()
            self._link.ask(partial(self._all.correct, model, more_tokens=more_tokens), trial=True)
        self._corrections.clear()
        for model, (requests, tokens) in used.items():
            self._link.ask(partial(self._all.count, model, requests=requests, tokens=tokens), trial=True)
        if time.monotonic() - self._heard_at > _FRESH_S:
            self._heard_at = time.monotonic()
            self._hear()

    def _hear(self) -> None:
        """Ask the server what is left, and remember what this process may use without it."""
        for model in self._names:
            left = self._link.ask(partial(self._all.left, model), trial=True)
            if left is not None:
                self._shares[model] = min(1.0, 1.0 - self._own.left(model) + left / self._count_replicas())

    def flush(self) -> None:
        """Do nothing: each request asks the server itself."""

    def _sum_untold(self) -> dict[str, tuple[int, int]]:
        """Return the requests and tokens of the last minute that the server has not heard of, by model."""
        self._forget_old()
        used: dict[str, tuple[int, int]] = {}
        for _, model, tokens in tuple(self._untold):
            requests, before = used.get(model, (0, 0))
            used[model] = (requests + 1, before + tokens)
        return used

    def _forget_old(self) -> None:
        while self._untold and self._untold[0][0] < time.monotonic() - _MINUTE_S:
            self._untold.popleft()


class SharedSpendTracker:
    """Keeps the spending of all processes under a cap. Has the methods of `SpendTracker`.

    A reservation is exact: the server makes it. The actual cost follows in the background, and until then the reservation
    holds its place.

    Args:
        cap: The cap.
        link: Leads to Redis.
        name: Keeps budgets of different things apart.
        count_replicas: Returns the number of processes.
        clock: Seconds that never go back.
        wake: Asks for an exchange soon.

    Attributes:
        cap: The cap.
    """

    def __init__(
        self,
        cap: SpendCap,
        link: RedisLink,
        *,
        name: str,
        count_replicas: Callable[[], int],
        clock: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.cap = cap
        self._own = SpendTracker(cap, clock=clock)
        self._link, self._count_replicas, self._wake = link, count_replicas, wake
        self._keys = [link.key("epoch"), *(link.key("spend", name, part) for part in ("costs", "sums", "reserved"))]
        self._lock = threading.RLock()
        # Names of the reservations that the server knows, by their USD. Which of several equal ones ends first is the same.
        self._reserved: defaultdict[float, list[str]] = defaultdict(list)
        self._to_settle: deque[tuple[str, float]] = deque()
        # What was spent without the server. One sum, or a long outage would be told call by call.
        self._untold_usd = 0.0
        self._remaining, self._heard_at = cap.usd, -math.inf
        # What this process may hold without the server.
        self._most_usd = cap.usd / count_replicas()

    def remaining_usd(self) -> float:
        """Return the USD that may still be spent now, as last heard. Without the server, those of this process."""
        return self._remaining if self._link.problem is None else max(0.0, self._most_usd - self._own.used_usd())

    def reserve(self, expected_usd: float) -> bool:
        """Reserve an expected cost and return True if it fits. Every reservation must be settled."""
        name, was_up = uuid.uuid4().hex, self._link.problem is None
        fits = self._tell(new=(name, expected_usd))
        if fits is None:
            with self._lock:
                if was_up:
                    # A server that is only slow may still make the reservation.
                    self._to_settle.append((_name(name, expected_usd), 0.0))
                if expected_usd > max(0.0, self._most_usd - self._own.used_usd()):
                    return False
                self._own.reserve(expected_usd)
                return True
        if fits:
            with self._lock:
                self._own.reserve(expected_usd)
                self._reserved[expected_usd].append(name)
        return fits

    def settle(self, expected_usd: float, actual_usd: float) -> None:
        """Replace a reservation by the actual cost of the call, which is 0 if the call failed."""
        with self._lock:
            self._own.settle(expected_usd, actual_usd)
            names = self._reserved[expected_usd]
            if names:
                self._to_settle.append((_name(names.pop(), expected_usd), actual_usd))
            else:
                self._untold_usd += actual_usd
            if not names:
                del self._reserved[expected_usd]
        self._wake()

    def exchange(self, *, has_forgotten: bool) -> None:
        """Tell the server the actual costs, or all of them again if it has forgotten them."""
        if has_forgotten:
            with self._lock:
                open_ = [usd for usd, names in self._reserved.items() for _ in names]
                self._reserved.clear()
                self._to_settle.clear()
                self._untold_usd = self._own.used_usd() - sum(open_)
            for usd in open_:
                name = uuid.uuid4().hex
                if self._tell(new=(name, usd), trial=True):
                    with self._lock:
                        self._reserved[usd].append(name)
        self.flush()
        if time.monotonic() - self._heard_at > _FRESH_S:
            self._tell(trial=True)

    def flush(self) -> None:
        """Tell the server the actual costs."""
        while self._to_settle:
            if self._tell(old=self._to_settle[0], trial=True) is None:
                return
            self._to_settle.popleft()
        with self._lock:
            # What has left the window does not count any more.
            usd, self._untold_usd = min(self._untold_usd, self._own.used_usd()), 0.0
        if usd > 0 and self._tell(old=("", usd), trial=True) is None:
            with self._lock:
                self._untold_usd += usd

    def _tell(
        self, *, new: tuple[str, float] | None = None, old: tuple[str, float] | None = None, trial: bool = False
    ) -> bool | None:
        """Make and settle a reservation. Return whether the new one fits. None if the server does not answer."""
        slot_s, (settled, actual) = self.cap.window_s / _SLOTS, old or ("", 0.0)
        asked = ("", "0") if new is None else (new[0], repr(float(new[1])))
        limits = [self.cap.usd, self.cap.window_s, _RESERVATION_S, slot_s]
        answer = self._link.run(
            "spend",
            self._keys,
            [self._link.epoch, *map(repr, map(float, limits)), *asked, settled, repr(float(actual))],
            trial=trial,
        )
        if answer is None:
            return None
        self._remaining, self._heard_at = float(answer[1]), time.monotonic()
        self._most_usd = self._own.used_usd() + self._remaining / self._count_replicas()
        return bool(answer[0])


def _name(reservation: str, usd: float) -> str:
    """Return the name of a reservation at the server, which contains its USD."""
    return f"{reservation}:{float(usd)!r}"
