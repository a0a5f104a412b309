"""A session keeps its model until another is better by more than a cold prompt cache costs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from router.errors import InputError
from router.strategies.contextual import contextual, good_enough
from router.types import RoutingContext, Strategy


class Sticky:
    """Ranks a session's model first, the others after it.

    The session (`context.key`) gets the first of `inner` and keeps it. It moves only to a first of `inner` whose utility is
    higher by more than `switch_gain`, or when its model is no candidate any more or falls below the `quality_floor`. As
    long as no candidate is better by so much, `inner` is not asked, so that one with turns deals them to sessions, not to
    requests; the others are then ranked by the prompt. Without a key all is left to `inner`.

    Thread-safe: requests of one session that come at once go to one model. A pickled copy knows no sessions.

    Args:
        inner: Chooses a session's model.
        switch_gain: Utility that a cold prompt cache costs, ≥ 0. The default is about that of reading 1,700 tokens of
            conversation again at 1 USD per million, of which a warm cache saves nine tenths, where a point of quality
            (0.01) is worth 0.0005 USD, as in `balanced`.
        capacity: Sessions to remember, ≥ 1; the one that was silent longest is forgotten first.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, inner: Strategy = contextual, *, switch_gain: float = 0.03, capacity: int = 10_000) -> None:
        if not switch_gain >= 0:
            raise InputError(f"switch_gain must not be negative, was {switch_gain}")
        if capacity < 1:
            raise InputError(f"capacity must be at least 1, was {capacity}")
        self._inner, self._switch_gain, self._capacity = inner, switch_gain, capacity
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, context: RoutingContext) -> list[str]:
        """Rank the candidates, and remember the session's model."""
        if not context.key:
            return list(self._inner(context))
        remembered = self._recall(context.key)
        kept = remembered if remembered is not None and _may_stay(remembered, context) else None
        if kept is not None and not any(self._gains(other, kept, context) for other in context.candidates):
            return _put_first(kept, contextual(context))
        ranking = self._inner(context)
        if kept is None or self._gains(ranking[0], kept, context):
            kept = self._keep(context, ranking[0], instead_of=remembered)
        return _put_first(kept, ranking)

    def __reduce__(self) -> tuple[partial[Sticky], tuple[Strategy]]:
        """Leave the sessions behind: they tell which caches this process warmed."""
        return partial(Sticky, switch_gain=self._switch_gain, capacity=self._capacity), (self._inner,)

    def _gains(self, other: str, kept: str, context: RoutingContext) -> bool:
        return context.scores[other].utility - context.scores[kept].utility > self._switch_gain

    def _recall(self, key: str) -> str | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, context: RoutingContext, model: str, *, instead_of: str | None) -> str:
        """Remember the session's model and return it; the one that another thread chose meanwhile stays."""
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
