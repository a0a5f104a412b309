"""What the parts of the gateway share of one request: the attempts, the parts of the answer, the last answer."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from router.calls import Chunk, Usage
from router.gateway.protocol import WireFormat
from router.gateway.wire import Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of a server as the client gets it.

    Attributes:
        model: The model that gave it.
        endpoint: The endpoint that gave it.
        status: The HTTP status.
        headers: The headers that clients read, by their lower-case names.
        body: The body. For a stream, one part of it.
    """

    model: str
    endpoint: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


@dataclass(slots=True, kw_only=True)
class SeenAttempt:
    """One attempt at a server.

    Attributes:
        known: Names of the parameters that the router has read from the body.
        model: Name of the model.
        endpoint: Name of the endpoint.
        began_at: When it began, by `time.monotonic`.
        seconds: How long it took.
        first_s: Seconds until the first part of a stream. None without one.
        usage: Usage that the server reported.
        finished: Whether a stream has come to its finish reason.
        end: `ok`, or the class of the failure.
    """

    model: str
    endpoint: str
    began_at: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    first_s: float | None = None
    usage: Usage = field(default_factory=Usage)
    finished: bool = False
    end: str = "running"

    def add(self, chunk: Chunk) -> None:
        """Take a chunk of a stream into account."""
        self.first_s = time.monotonic() - self.began_at if self.first_s is None else self.first_s
        self.usage = chunk.usage or self.usage
        self.finished = self.finished or chunk.finish_reason is not None


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request of a client and what comes back. The attempts at several servers share it.

    Attributes:
        format: The protocol.
        path: Path of the request behind a server's base URL.
        body: The body of the request.
        headers: Headers of the client that servers read, without keys.
        model: Model that was asked last. Empty before the first attempt.
        endpoint: Endpoint that was asked last.
        answer: The last answer: the one for the client, or the last refusal.
        answer_id: Name that the server gave the answer. Empty if it gave none.
        attempts: The attempts so far.
    """

    format: WireFormat
    path: str
    body: Body = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    known: Collection[str] = ()
    model: str = ""
    endpoint: str = ""
    answer: Answer | None = None
    answer_id: str = ""
    attempts: list[SeenAttempt] = field(default_factory=list)

    def choose(self, answer: Answer) -> None:
        """Take an answer for the client. After a cascade it need not be that of the last attempt."""
        self.answer, self.model, self.endpoint = answer, answer.model, answer.endpoint
