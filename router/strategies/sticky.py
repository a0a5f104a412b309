"""A strategy comes in, one that keeps the model of each session goes out, because a warm prompt cache saves money."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from router.errors import InputError
from router.strategies.contextual import contextual, good_enough
from router.types import Ranking, RoutingContext, Strategy

# A model is stronger than another if its expected quality is higher by at least this.
_STRONGER = 0.02


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a session.

    Attributes:
        model: Its model.
        task: The task of its latest request.
        requests: Number of requests with this task in a row.
        tokens: Size of the latest prompt, which the model's cache holds.
        at_s: Time of the latest request, by the clock of this process.
        is_raised: Whether the model is a stronger one, because the session was stuck.
    """

    model: str
    task: str | None
    requests: int = 1
    tokens: int = 0
    at_s: float = 0.0
    is_raised: bool = False


class Sessions:
    """Remembers sessions. Thread-safe.

    Args:
        capacity: Number of sessions to remember, ≥ 1. The session with the longest silence is forgotten first.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: str) -> bool:
        return key in self._sessions

    def recall(self, key: str, *, now_s: float) -> Session | None:
        """Return what is known of a session, and mark it as used. None if it is new.

        Args:
            key: Its key.
            now_s: Time by the clock of this process.
        """
        del now_s
        with self._lock:
            if key in self._sessions:
                self._sessions.move_to_end(key)
            return self._sessions.get(key)

    def keep(self, key: str, session: Session, before: Session | None, *, accepts: Callable[[str], bool]) -> Session:
        """Remember a session and return what is remembered.

        Args:
            key: Its key.
            session: What to remember.
            before: What was known when `session` was made.
            accepts: Returns whether a model can be chosen. If another thread has chosen such a model in the meantime, that
                one stays.
        """
        with self._lock:
            current = self._sessions.get(key)
            if current is not None and current is not before and accepts(current.model):
                return current
            return self._put(key, session)

    def replace(self, key: str, session: Session) -> Session:
        """Remember a session, whatever was known before, and return it."""
        with self._lock:
            return self._put(key, session)

    def _put(self, key: str, session: Session) -> Session:
        self._sessions[key] = session
        self._sessions.move_to_end(key)
        if len(self._sessions) > self._capacity:
            self._sessions.popitem(last=False)
        return session


class Sticky:
    """Rank the model of a session first, then the others.

    The session (`context.key`) gets the first model of `inner` and keeps it, as long as this pays. It moves in these cases:

    - Its model is no candidate any more, or is no longer good enough for the `quality_floor` or `max_loss`.
    - The session is stuck. Then a stronger model takes over, until the task changes.
    - `inner` ranks a model first that gains more over the rest of the session than a cold prompt cache costs.

    Inside a tool call only the first two move it. The last one is decided by numbers:

        gain = u(new) − u(old) − s(old, held) + n · (u(new) + s(new, tokens) − u(old) − s(old, tokens))

    Here u is the utility of a request without a cache. s(m, x) is what m's cache saves on x tokens, on the same scale.
    `held` are the tokens that the cache of the old model still holds, none after its lifetime. n is the number of requests
    with this task that are still to come. It is estimated by the number so far, as for anything that is observed at a random
    moment of its life (Gott, 1993, Implications of the Copernican principle, Nature 363:315-319). So a session does not
    move for a single request of another task.

    While no candidate gains, `inner` is not asked. So an `inner` with turns deals them to sessions, not to requests. The
    other models are then ranked by the prompt. Without a key, `inner` ranks alone.

    Thread-safe: simultaneous requests of one session go to one model. A pickled copy has no sessions.

    Args:
        inner: Chooses the model of a session.
        switch_gain: Utility by which a model must be better on each request, ≥ 0. Smaller differences are within the error
            of the estimates.
        capacity: Number of sessions to remember, ≥ 1. The session with the longest silence is forgotten first.

    Attributes:
        sessions: What is remembered of them. Several processes can share it.
        capacity: Number of sessions to remember.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, inner: Strategy = contextual, *, switch_gain: float = 0.01, capacity: int = 10_000) -> None:
        if not switch_gain >= 0:
            raise InputError(f"switch_gain must be 0 or more, got {switch_gain}")
        if capacity < 1:
            raise InputError(f"capacity must be 1 or more, got {capacity}")
        self._inner, self._switch_gain, self.capacity = inner, switch_gain, capacity
        self.sessions = Sessions(capacity=capacity)

    def __call__(self, context: RoutingContext) -> Ranking:
        """Return the ranking, and remember the model of the session."""
        if not context.key:
            return _explain(self._inner(context))
        before = self.sessions.recall(context.key, now_s=context.now_s)
        ranking, is_raised = self._choose(before, context)
        kept = self._keep(context, ranking[0], before, is_raised=is_raised)
        return Ranking(_put_first(kept, ranking), reasons=ranking.reasons)

    def __reduce__(self) -> tuple[partial[Sticky], tuple[Strategy]]:
        """Pickle without the sessions, because they describe the caches that this process warmed."""
        return partial(Sticky, switch_gain=self._switch_gain, capacity=self.capacity), (self._inner,)

    def _choose(self, before: Session | None, context: RoutingContext) -> tuple[Ranking, bool]:
        """Return the ranking for a session, and whether its first model is a stronger one because the session was stuck."""
        if before is None:
            return _explain(self._inner(context)), False
        old = before.model
        if old not in good_enough(context):
            return _explain(self._inner(context), f"the session leaves {old}, which cannot be chosen now"), False
        # The same request again, from a client that retries, shows no new trouble.
        if context.stuck and context.tokens != before.tokens:
            return _strengthen(before, context)
        if context.in_tool_call:
            return _stay(old, context, f"the session keeps {old} inside a tool call"), before.is_raised
        if before.is_raised:
            return self._reconsider(before, context)
        return self._weigh(before, context), False

    def _reconsider(self, before: Session, context: RoutingContext) -> tuple[Ranking, bool]:
        """Return the ranking of a session that a stronger model took over."""
        if context.prediction.task == before.task:
            return _stay(
                before.model, context, f"the session keeps the stronger {before.model} until the task changes"
            ), True
        reason = f"the task has changed, so the session no longer needs the stronger {before.model}"
        return _explain(self._inner(context), reason), False

    def _weigh(self, before: Session, context: RoutingContext) -> Ranking:
        """Return the ranking of a session that may move if this pays."""
        old = before.model
        gains = {new: gain for new in context.candidates if (gain := self._find_gain(new, before, context)) > 0}
        # `inner` may count turns, so it is only asked if the session could move.
        ranking = _explain(self._inner(context)) if gains else None
        if ranking is not None and ranking[0] in gains:
            new = ranking[0]
            reason = f"the session moves from {old} to {new}, which gains {gains[new]:.2g} of utility over its rest"
            return Ranking(ranking, reasons=[*ranking.reasons, reason])
        best = max(context.candidates, key=lambda name: _find_value(name, context))
        is_behind = _find_value(best, context) - _find_value(old, context) > self._switch_gain
        reasons = [f"the session keeps {old}, because {best} would gain less than a cold prompt cache costs"]
        return _stay(old, context, *(reasons if is_behind else ()))

    def _find_gain(self, new: str, before: Session, context: RoutingContext) -> float:
        """Return the utility that another model gains over the rest of the session. 0 if it gains too little a request."""
        old = before.model
        gain = _find_value(new, context) - _find_value(old, context)
        later = gain + _find_saving(new, context.tokens, context) - _find_saving(old, context.tokens, context)
        if new == old or later <= self._switch_gain:
            return 0.0
        profile = context.profiles.get(old)
        is_warm = profile is not None and context.now_s - before.at_s < profile.cache_lifetime_s
        held = min(before.tokens, context.tokens) if is_warm else 0
        coming = before.requests if context.prediction.task == before.task else 0
        return gain - _find_saving(old, held, context) + coming * later

    def _keep(self, context: RoutingContext, model: str, before: Session | None, *, is_raised: bool) -> str:
        """Remember the model of the session and return it. One that another request has chosen in the meantime stays."""
        task = context.prediction.task
        goes_on = before is not None and before.task == task
        session = Session(
            model=model,
            task=task,
            requests=before.requests + 1 if before is not None and goes_on else 1,
            tokens=context.tokens,
            at_s=context.now_s,
            is_raised=is_raised,
        )
        return self.sessions.keep(context.key, session, before, accepts=lambda other: other in good_enough(context)).model


def _find_value(model: str, context: RoutingContext) -> float:
    """Return the utility of a request without a cache. If a good enough model is asked for, only its cost counts."""
    score = context.scores[model]
    if context.preference.weighs:
        return score.utility
    return -(score.cost_usd or 0.0) if model in good_enough(context) else -math.inf


def _find_saving(model: str, tokens: int, context: RoutingContext) -> float:
    """Return the utility that a warm cache saves a model on some tokens."""
    profile = context.profiles.get(model)
    if profile is None or profile.input_usd_per_mtok is None or profile.cached_input_usd_per_mtok is None:
        return 0.0
    saved_usd = tokens * (profile.input_usd_per_mtok - profile.cached_input_usd_per_mtok) / 1e6
    return 0.01 * saved_usd / context.preference.usd_per_point if context.preference.weighs else saved_usd


def _find_stronger(model: str, context: RoutingContext) -> str | None:
    """Return the model of the highest utility among those of clearly better quality. None if there is none."""
    scores = context.scores
    better = [name for name in context.candidates if scores[name].bound >= scores[model].bound + _STRONGER]
    return max(better, key=lambda name: scores[name].utility, default=None)


def _strengthen(before: Session, context: RoutingContext) -> tuple[Ranking, bool]:
    """Return the ranking of a session that is stuck, and whether a stronger model leads it."""
    old, stronger = before.model, _find_stronger(before.model, context)
    if stronger is None:
        return _stay(old, context, f"{context.stuck}, but no model is stronger than {old}"), before.is_raised
    return _stay(stronger, context, f"{context.stuck}, so the stronger {stronger} takes over from {old}"), True


def _explain(ranking: Sequence[str], *reasons: str) -> Ranking:
    """Return a ranking, with more reasons."""
    return Ranking(ranking, reasons=[*(ranking.reasons if isinstance(ranking, Ranking) else ()), *reasons])


def _stay(model: str, context: RoutingContext, *reasons: str) -> Ranking:
    """Return a model first, then the others by the prompt."""
    return Ranking(_put_first(model, contextual(context)), reasons=reasons)


def _put_first(model: str, ranking: Sequence[str]) -> list[str]:
    return [model, *(other for other in ranking if other != model)]
