"""Take the targets of a call and begin an attempt at the best one that is able, available and large enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from router.calls import Call, CallTarget
from router.errors import InputError, NoCandidateError
from router.health.live import Attempt, Eligibility
from router.score.candidates import find_unable


class Gate(Protocol):
    """Decides which endpoints a call may ask now. A `LiveState` is one."""

    def eligible(self, names: Sequence[str]) -> Eligibility:
        """Return which of these endpoints are available now."""
        ...

    def begin(self, name: str, *, ignore_trip: bool = False) -> Attempt | None:
        """Count a request to an endpoint as in flight. None if the endpoint is not available now."""
        ...


class TargetChooser:
    """The targets of one call: which ones are able to serve it, and which ones have been tried.

    Args:
        call: The call.
        gate: Decides which endpoints are available now.

    Attributes:
        tried: Endpoints that have been asked.

    Raises:
        InputError: If the call has no target.
        NoCandidateError: If no target is able to serve the call. It names the reasons.
    """

    def __init__(self, call: Call, gate: Gate) -> None:
        self._able, self._gate, self._tokens = _find_able(call), gate, call.tokens
        self.tried: set[str] = set()
        # A context window that proved too small for the request. 0: none so far.
        self._outgrown = 0

    @property
    def endpoints(self) -> list[str]:
        """Endpoints of all able targets, best first, each one once."""
        return list(dict.fromkeys(target.endpoint for target in self._able))

    def untried(self) -> list[CallTarget]:
        """Return the able targets that have not been asked and may have enough room, best first."""
        return [target for target in self._able if target.endpoint not in self.tried and self._has_room(target)]

    def first_tried(self) -> CallTarget:
        """Return the best target that has been asked."""
        return next(target for target in self._able if target.endpoint in self.tried)

    def begin(self, targets: Iterable[CallTarget] | None = None) -> tuple[CallTarget, Attempt] | None:
        """Begin an attempt at the first of these targets that is available now. None if none is.

        Args:
            targets: Targets to choose from, best first. None: all able ones.
        """
        # Panic depends on how many of all able endpoints are left, not on how many of these.
        eligibility = self._gate.eligible(self.endpoints)
        for target in self._able if targets is None else targets:
            if target.endpoint not in eligibility.names:
                continue
            # Another call may have taken the only probe in the meantime.
            attempt = self._gate.begin(target.endpoint, ignore_trip=eligibility.panic)
            if attempt is not None:
                self.tried.add(target.endpoint)
                return target, attempt
        return None

    def find_blocked(self, endpoints: Sequence[str]) -> Mapping[str, float | None]:
        """Return which of these endpoints are blocked, with the end of each cooldown. None if it is not known."""
        return self._gate.eligible(endpoints).blocked

    def exclude_smaller(self, target: CallTarget) -> None:
        """Skip all targets without more room than this one, for which the request was too long."""
        # With an unknown window, the estimate of the request's length takes its place.
        self._outgrown = max(target.context_window or self._tokens, 1)

    def _has_room(self, target: CallTarget) -> bool:
        # An unknown window counts as too small after a request was too long: nothing shows that it is larger.
        return self._outgrown == 0 or (target.context_window or 0) > self._outgrown


def _find_able(call: Call) -> list[CallTarget]:
    """Return the targets that are able to serve the call, best first."""
    if not call.targets:
        raise InputError("targets must name at least one endpoint, got none")
    unable = find_unable({target.model: target for target in call.targets}, needs=call.needs, tokens=call.tokens)
    able = [target for target in call.targets if target.model not in unable]
    if not able:
        raise NoCandidateError(unable)
    return able
