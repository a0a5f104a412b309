"""Take the targets of a call and begin an attempt at the best one that is able, available and large enough."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from router.calls import Call, CallTarget
from router.errors import CallError, InputError, NoCandidateError
from router.health.live import Attempt, Eligibility
from router.score.candidates import find_unable
from router.types import FailureClass

# A target that failed in such a way may answer the same call later.
_PASSING: tuple[FailureClass, ...] = ("transient", "rate_limit")


class Gate(Protocol):
    """Decides which endpoints a call may ask now. A `LiveState` is one."""

    def eligible(self, names: Sequence[str], *, failed: Collection[str] = ()) -> Eligibility:
        """Return which of these endpoints are available now, given those that have just failed for the caller."""
        ...

    def begin(self, name: str, *, ignore_trip: bool = False) -> Attempt | None:
        """Count a request to an endpoint as in flight. None if the endpoint is not available now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """A target that may answer later.

    Attributes:
        target: The target.
        at: When its cooldown ends, by the clock of the live state. Minus infinity without one. None if another call's
            request decides when.
        failures: Number of times that it failed in this call.
        kind: Class of its last failure. None if it has not been asked.
    """

    target: CallTarget
    at: float | None
    failures: int
    kind: FailureClass | None


class TargetChooser:
    """The targets of one call: which ones are able to serve it, and which ones have been tried.

    Args:
        call: The call.
        gate: Decides which endpoints are available now.

    Attributes:
        last: Whether the next attempt is the last one. It rather goes to a server that cools down than to one that has just
            failed in this call: the servers may have changed places.

    Raises:
        InputError: If the call has no target.
        NoCandidateError: If no target is able to serve the call. It names the reasons.
    """

    def __init__(self, call: Call, gate: Gate) -> None:
        self._able, self._gate, self._tokens = _find_able(call), gate, call.tokens
        self.last = False
        self._tried: set[str] = set()
        # The failures of each target in this call, by name.
        self._failures: dict[str, list[FailureClass]] = {}
        # The servers that did not answer in this call, in the order of their last failures.
        self._silent: dict[str, None] = {}
        # The request has more tokens than this. 0: an endpoint has not called it too long.
        self._outgrown = 0

    @property
    def names(self) -> list[str]:
        """Names of all able targets, best first, each one once."""
        return list(dict.fromkeys(target.name for target in self._able))

    def untried(self) -> list[CallTarget]:
        """Return the able targets that have not been asked and may have enough room, best first.

        A server that has just failed probably fails for another model too. So each model's servers come in the order of
        their last failures in this call, those without one first. For the last attempt, this order comes before the models.
        After a request was too long, targets with an unknown window come last: nothing shows that theirs is larger.
        """
        left = [target for target in self._able if target.name not in self._tried and self._has_room(target)]
        if self._silent:
            models = list(dict.fromkeys(target.model for target in left))
            places = {server: place for place, server in enumerate(self._silent)}
            left.sort(key=lambda t: (0 if self.last else models.index(t.model), places.get(t.host, -1)))
        return sorted(left, key=lambda target: target.context_window is None) if self._outgrown else left

    def begin(self, targets: Iterable[CallTarget]) -> tuple[CallTarget, Attempt] | None:
        """Begin an attempt at the first of these targets that is available now. None if none is."""
        # Panic depends on how many of all endpoints that may still answer are left, not on how many of these.
        eligibility = self._find_eligible()
        for target in targets:
            if target.name not in eligibility.names:
                continue
            # Another call may have taken the only probe in the meantime.
            attempt = self._gate.begin(target.name, ignore_trip=eligibility.panic)
            if attempt is not None:
                self._tried.add(target.name)
                return target, attempt
        return None

    def fail(self, target: CallTarget, kind: FailureClass, failure: CallError) -> None:
        """Take a failure of a target into account for the next choice.

        Args:
            target: The target that failed.
            kind: Class of the failure, which may differ from that of the error after the deadline.
            failure: The failure.
        """
        self._failures.setdefault(target.name, []).append(kind)
        if kind == "transient":
            self._silent.pop(target.host, None)
            self._silent[target.host] = None
        if failure.too_long:
            self._outgrown = max(self._outgrown, self._find_outgrown(target, failure))

    def find_later(self) -> list[Later]:
        """Return the targets that may answer later, best first: cooling ones, and ones that failed in a way that may pass.

        An untried target without a cooldown is missing. Only the user's own rate limit can have kept it from beginning.
        """
        blocked = self.find_blocked()
        untried = {target.name for target in self.untried() if target.name in blocked}
        found = []
        for target in self._able:
            failures = self._failures.get(target.name, [])
            if target.name in untried or (failures and failures[-1] in _PASSING):
                at, kind = blocked.get(target.name, -math.inf), failures[-1] if failures else None
                found.append(Later(target=target, at=at, failures=len(failures), kind=kind))
        return found

    def find_blocked(self) -> Mapping[str, float | None]:
        """Return the blocked targets by name, with the end of each cooldown. None if it is not known."""
        return self._find_eligible().blocked

    def _find_eligible(self) -> Eligibility:
        """Return which targets are available to this call."""
        left = self._find_left()
        found = self._gate.eligible(left)
        failed = {target.name for target in self._able if target.host in self._silent}
        return self._gate.eligible(left, failed=failed) if self.last and failed.issuperset(found.names) else found

    def _find_left(self) -> list[str]:
        """Return the names of the targets that have not refused this call for good. Others replace no target any more."""
        return [name for name in self.names if self._failures.get(name, [None])[-1] in (None, *_PASSING)]

    def _find_outgrown(self, target: CallTarget, failure: CallError) -> int:
        """Return a number of tokens that the request exceeds. 0 if nothing is known about it."""
        window = target.context_window
        if failure.context_limit is not None:
            return failure.context_limit
        # The profile explains the failure if the request may exceed its window. Otherwise the endpoint has a smaller one,
        # which says nothing about the windows of others.
        return window if window is not None and (self._tokens == 0 or self._tokens > window) else 0

    def _has_room(self, target: CallTarget) -> bool:
        return target.context_window is None or target.context_window > self._outgrown


def _find_able(call: Call) -> list[CallTarget]:
    """Return the targets that are able to serve the call, best first."""
    if not call.targets:
        raise InputError("targets must name at least one endpoint, got none")
    unable = find_unable({target.name: target for target in call.targets}, needs=call.needs, tokens=call.tokens)
    able = [target for target in call.targets if target.name not in unable]
    if not able:
        raise NoCandidateError({target.model: unable[target.name] for target in call.targets})
    return able
