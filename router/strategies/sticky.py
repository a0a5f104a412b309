"""A strategy comes in, one that keeps the model of each session goes out, because a warm prompt cache saves money."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from router.errors import InputError
from router.strategies.contextual import contextual, good_enough
from router.types import RoutingContext, Strategy


class Sticky:
    """Rank the model of a session first, then the others.

    The session (`context.key`) gets the first model of `inner` and keeps it. It moves in two cases:

    - `inner` ranks a model first whose utility is higher by more than `switch_gain`.
    - Its model is no candidate any more, or is no longer good enough for the `quality_floor` or `max_loss`.

    While no candidate is better by more than `switch_gain`, `inner` is not asked. So an `inner` with turns deals them to
    sessions, not to requests. The other models are then ranked by the prompt. Without a key, `inner` ranks alone.

    Thread-safe: simultaneous requests of one session go to one model. A pickled copy has no sessions.

    Args:
        inner: Chooses the model of a session.
        switch_gain: Utility that a cold prompt cache costs, ≥ 0. The default is about the cost of reading 1,700 tokens of
            conversation again at 1 USD per million. A warm cache saves nine tenths of that. A point of quality (0.01) is
            worth 0.0005 USD here, as in `balanced`.
        capacity: Number of sessions to remember, ≥ 1. The session with the longest silence is forgotten first.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, inner: Strategy = contextual, *, switch_gain: float = 0.03, capacity: int = 10_000) -> None:
        if not switch_gain >= 0:
            raise InputError(f"switch_gain must be 0 or more, got {switch_gain}")
        if capacity < 1:
            raise InputError(f"capacity must be 1 or more, got {capacity}")
        self._inner, self._switch_gain, self._capacity = inner, switch_gain, capacity
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, context: RoutingContext) -> list[str]:
        """Return the ranking, and remember the model of the session."""
        if not context.key:
            return list(self._inner(context))
        remembered = self._recall(context.key)
        kept = remembered if remembered is not None and _may_stay(remembered, context) else None
        # `inner` may count turns, so it is only asked if the session could move.
        if kept is not None and not any(self._gains(other, kept, context) for other in context.candidates):
            return _put_first(kept, contextual(context))
        ranking = self._inner(context)
        if kept is None or self._gains(ranking[0], kept, context):
            kept = self._keep(context, ranking[0], instead_of=remembered)
        return _put_first(kept, ranking)

    def __reduce__(self) -> tuple[partial[Sticky], tuple[Strategy]]:
        """Pickle without the sessions, because they describe the caches that this process warmed."""
        return partial(Sticky, switch_gain=self._switch_gain, capacity=self._capacity), (self._inner,)

    def _gains(self, other: str, kept: str, context: RoutingContext) -> bool:
        """Return whether another model is better by more than a cold cache costs."""
        return context.scores[other].utility - context.scores[kept].utility > self._switch_gain

    def _recall(self, key: str) -> str | None:
        """Return the model of a session, and mark the session as used. None if it has none."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, context: RoutingContext, model: str, *, instead_of: str | None) -> str:
        """Remember the model of the session and return it. If another thread chose one in the meantime, that one stays."""
        with self._lock:
            current = self._kept.get(context.key)
            if current is not None and current != instead_of and _may_stay(current, context):
                return current
            self._kept[context.key] = model
            self._kept.move_to_end(context.key)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
            return model


def _may_stay(model: str, context: RoutingContext) -> bool:
    return model in good_enough(context)


def _put_first(model: str, ranking: Sequence[str]) -> list[str]:
    return [model, *(other for other in ranking if other != model)]
