"""What a plan says has to be done, and what it is told of it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from router.calls import CallRequest, Chunk, Completion, Reply
from router.errors import CallError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Make an attempt; send its reply, its first chunk, its failure, or None where a stream ends without a chunk.

    Attributes:
        request: What to ask.
        within_s: Seconds until that must be known.
    """

    request: CallRequest
    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Wait; send None.

    Attributes:
        seconds: How long.
    """

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """Hand over the chunk that was sent last; then send the next one, the failure, or None at the end of the stream.

    Attributes:
        within_s: Seconds until that must be known.
    """

    within_s: float


Command = Ask | Pause | More
Outcome = Reply | Chunk | CallError | None
Plan = Generator[Command, Outcome, Completion]
