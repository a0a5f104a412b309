"""Everything that a process shares, exchanged by one thread in the background."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from router.execution.limits import RateLimit, SpendCap
from router.state.learned import SharedLearning
from router.state.limits import SharedRateLimiter, SharedSpendTracker
from router.state.link import RedisLink
from router.state.live import SharedLive
from router.state.notes import Notes
from router.state.sessions import SharedSessions

if TYPE_CHECKING:
    from router.health.live import LiveState
    from router.score.feedback import Learner
    from router.state.settings import RedisState
    from router.strategies.sticky import Sessions

# Least pause between two exchanges. Many events at once make one exchange.
_LEAST_S = 0.02
# A process that listens looks so often whether it should end.
_LISTEN_S = 0.5
_T = TypeVar("_T")


class _Part(Protocol):
    """A part of the state that is exchanged."""

    def exchange(self, *, has_forgotten: bool) -> None:
        """Tell what is new and hear what others told."""

    def flush(self) -> None:
        """Tell what is new and cannot wait for the next exchange."""


class _Bell:
    """Wakes the thread that exchanges, or ends it.

    Attributes:
        is_loud: Whether an exchange is due, and not only a flush.
        is_closed: Whether the thread should end.
    """

    def __init__(self) -> None:
        self._rung, self.is_loud, self.is_closed = threading.Event(), False, False

    def ring(self) -> None:
        """Let the next exchange begin."""
        self.is_loud = True
        self._rung.set()

    def ring_softly(self) -> None:
        """Let the parts tell what cannot wait."""
        self._rung.set()

    def close(self) -> None:
        """Let no exchange begin any more."""
        self.is_closed = True
        self._rung.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it rings, but not longer than so many seconds. Return whether it is closed."""
        self._rung.wait(seconds)
        self._rung.clear()
        return self.is_closed


class SharedState:
    """What a process shares with others through Redis. Thread-safe.

    A thread exchanges what is new, every `sync_s` and after events that matter. Another one listens to the calls of other
    processes, in which such events have happened. Both end with the process, or with `close`.

    Args:
        settings: Where the state is.
        url: URL of the server.

    Raises:
        InputError: If the URL is invalid, or the package `redis` is missing.
    """

    def __init__(self, settings: RedisState, url: str) -> None:
        self._settings = settings
        self._link = RedisLink(url, prefix=settings.prefix, timeout_s=settings.timeout_s)
        self._live: SharedLive | None = None
        self._parts: list[_Part] = []
        self._epoch = ""
        self._bell, self._lock = _Bell(), threading.Lock()
        weakref.finalize(self, self._bell.close)

    @property
    def problem(self) -> str | None:
        """Why the server is not used now. None if it is used."""
        return self._link.problem

    @property
    def replicas(self) -> int:
        """Number of processes that share the state, as last heard, ≥ 1."""
        return 1 if self._live is None else self._live.replicas

    def share_live(self, live: LiveState) -> None:
        """Share a live state, and begin to exchange."""
        self._live = SharedLive(live, self._link, call_s=self._settings.sync_s)
        live.on_move = self._bell.ring
        self.exchange()
        often = (weakref.ref(self), self._bell, self._link, self._settings.sync_s)
        listen = (self._link, self._live.replica, self._bell, self._settings.sync_s)
        for work, arguments in ((_exchange_often, often), (_listen, listen)):
            threading.Thread(target=work, args=arguments, name="llm-router-state", daemon=True).start()

    def share_learning(self, learner: Learner, on_news: Callable[[], None]) -> None:
        """Share what a learner learns. `on_news` is called when others have learned something."""
        self._parts.append(SharedLearning(learner, self._link, on_news))

    def make_limiter(self, limits: Mapping[str, RateLimit], *, group: str) -> SharedRateLimiter:
        """Return a limiter of all processes. `group` keeps limiters of different things apart."""
        limiter = SharedRateLimiter(limits, self._link, group=group, count_replicas=lambda: self.replicas)
        self._parts.append(limiter)
        return limiter

    def make_spend_tracker(
        self, cap: SpendCap, *, name: str, clock: Callable[[], float] = time.monotonic
    ) -> SharedSpendTracker:
        """Return a budget of all processes. `name` keeps budgets of different things apart."""
        tracker = SharedSpendTracker(
            cap, self._link, name=name, count_replicas=lambda: self.replicas, clock=clock, wake=self._bell.ring_softly
        )
        self._parts.append(tracker)
        return tracker

    def make_sessions(self, capacity: int) -> Sessions:
        """Return the memory of the sessions of all processes."""
        sessions = SharedSessions(self._link, capacity=capacity, wake=self._bell.ring_softly)
        self._parts.append(sessions)
        return sessions

    def make_notes(self, kind: type[_T], *, group: str, urgent: bool = False) -> Notes[_T]:
        """Return a memory of facts of all processes.

        Args:
            kind: The type of a fact.
            group: Keeps facts about different things apart.
            urgent: Whether other processes may need a fact at once.
        """
        notes = Notes(kind, self._link, group=group, wake=self._bell.ring_softly if urgent else None)
        self._parts.append(notes)
        return notes

    def exchange(self) -> bool:
        """Tell what is new and hear what others told, now. Return whether the server answered."""
        with self._lock:
            if self._live is None or not self._live.exchange():
                return False
            # While a server that has forgotten everything is told again, nobody relies on it.
            has_forgotten, self._epoch = self._epoch not in ("", self._link.epoch), self._link.epoch
            before = self._link.failures
            for part in self._parts:
                part.exchange(has_forgotten=has_forgotten)
            if self._link.failures > before:
                return False
            self._link.recover()
            return True

    def flush(self) -> None:
        """Let the parts tell what cannot wait, if the server is used."""
        if self._link.problem is None:
            with self._lock:
                for part in self._parts:
                    part.flush()

    def close(self) -> None:
        """Stop exchanging, and give back what this process holds."""
        self._bell.close()
        if self._live is not None:
            self._live.leave()
        self._link.client.connection_pool.disconnect()


def _exchange_often(shared: weakref.ref[SharedState], bell: _Bell, link: RedisLink, pause_s: float) -> None:
    """Exchange after each pause, and whenever the bell rings."""
    due_at = time.monotonic() + pause_s
    while not bell.wait(max(0.0, due_at - time.monotonic())):
        # Held only here: a state that nobody else holds must not go on for ever.
        state = shared()
        if state is None:
            return
        try:
            if bell.is_loud or time.monotonic() >= due_at:
                bell.is_loud, due_at = False, time.monotonic() + pause_s
                state.exchange()
            else:
                state.flush()
        except Exception as error:  # noqa: BLE001 - the thread must go on, and requests go on without it
            if bell.is_closed:
                return
            link.fail(error)
        del state
        time.sleep(_LEAST_S)


def _listen(link: RedisLink, replica: str, bell: _Bell, pause_s: float) -> None:
    """Ring the bell whenever another process calls."""
    calls: Any = None
    while not bell.is_closed:
        try:
            if calls is None:
                calls = link.client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                calls.subscribe(link.key("calls"))
            message = calls.get_message(timeout=_LISTEN_S)
            if message is not None and message["data"] != replica.encode():
                bell.ring()
        except Exception:  # noqa: BLE001 - without calls, processes hear of one another at the next exchange
            calls = None
            time.sleep(pause_s)
    if calls is not None:
        calls.close()
