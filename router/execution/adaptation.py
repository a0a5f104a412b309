"""Take the parameters of a request and what a server accepts, and return the parameters that it takes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from router.errors import CallError
from router.execution.endpoint import Endpoint

_T = TypeVar("_T")
# A request is sent again at most twice with other parameters: for the length of the answer, and for the usage.
_MOST_ADAPTATIONS = 2
# The two names of one parameter. Each kind of server refuses one of them.
_OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
# A server that only dislikes the value must not get the same value under another name.
_REFUSED = re.compile(
    r"unsupported|not supported|n't support|not support|unrecognized|unknown|unexpected|extra inputs|extra_forbidden|"
    r"not permitted|not allowed|not implemented|invalid argument name",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """Changes that make the parameters of a request fit a server.

    Attributes:
        rename: Parameters that the server knows by another name.
        drop: Parameters that the server does not take.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()

    @classmethod
    def of(cls, endpoint: Endpoint) -> Adaptation:
        """Return the changes that an endpoint declares."""
        return cls(rename=endpoint.rename, drop=frozenset(endpoint.drop))

    def apply(self, options: Mapping[str, object], changes: list[str]) -> dict[str, object]:
        """Return the parameters for the server, and append a sentence for each change.

        A parameter that is dropped under one of its names is dropped under both.
        """
        adapted: dict[str, object] = {}
        for name, value in options.items():
            new = self.rename.get(name, name)
            if {name, new} & self.drop:
                _note(changes, f"{name} dropped")
                continue
            # If the caller gave both names, its own spelling of the server's name counts.
            if new != name and new in options:
                continue
            if new != name:
                _note(changes, f"{name} sent as {new}")
            # Parameters that the SDK does not know stand in there, under the same rules.
            is_body = name == "extra_body"
            adapted[new] = self.apply(value, changes) if is_body and isinstance(value, Mapping) else value
        return adapted

    def learn(self, failure: CallError, sent: Mapping[str, object]) -> Adaptation | None:
        """Return these changes with another one that the server asks for. None if it asks for none that is known.

        Args:
            failure: The server's refusal.
            sent: The parameters that it refused.
        """
        text = f"{failure.param or ''} {failure.code or ''} {failure.detail or ''}"
        if failure.kind not in ("unable", "request") or failure.too_long or not _REFUSED.search(text):
            return None
        if "stream_options" in sent and ("stream_options" in text or "include_usage" in text):
            return replace(self, drop=self.drop | {"stream_options"})
        for name, other in _OTHER_NAME.items():
            if name in sent and other not in sent and re.search(rf"\b{name}\b", text):
                # Undo a renaming instead of turning it round, so that no parameter goes in a circle.
                renamed = {old: new for old, new in self.rename.items() if new != name}
                return replace(self, rename=renamed | {name: other}) if self.rename.get(other) != name else None
        return None


class Adapter:
    """Sends requests in the form that each model's server takes, and remembers it. Thread-safe."""

    def __init__(self) -> None:
        # The models of one endpoint may differ in what they take.
        self._learned: dict[tuple[str, str], Adaptation] = {}

    async def send(
        self,
        place: tuple[str, str],
        endpoint: Endpoint,
        options: Mapping[str, object],
        changes: list[str],
        send: Callable[[dict[str, object]], Awaitable[_T]],
        *,
        learn: bool = True,
    ) -> _T:
        """Send a request, and again if the server refuses a parameter that has another name or can be left out.

        A change is remembered when a request with it has succeeded. So a server that repeats the words of one request in its
        refusal does not change the requests after it.

        Args:
            place: Name of the endpoint, and the model.
            endpoint: The endpoint.
            options: The parameters of the request.
            changes: Receives a sentence for each change.
            send: Sends the parameters that it is given, and returns the answer.
            learn: Whether the names are those of chat completions, which are known here. Others are only changed as the
                endpoint declares.

        Raises:
            CallError: If the server refuses the request for another reason.
        """
        known = self._learned.get(place) if learn else None
        adaptation, left = known or Adaptation.of(endpoint), _MOST_ADAPTATIONS if learn else 0
        while True:
            adapted = adaptation.apply(options, changes)
            try:
                answer = await send(adapted)
            except CallError as failure:
                learned = adaptation.learn(failure, adapted) if left else None
                if learned is None:
                    raise
                adaptation, left = learned, left - 1
            else:
                if left < _MOST_ADAPTATIONS and learn:
                    # Another call may have learned the same meanwhile. The last one to write knows at least its own change.
                    self._learned[place] = adaptation
                return answer


def _note(changes: list[str], change: str) -> None:
    # A request that is sent again makes the same changes again.
    if change not in changes:
        changes.append(change)
