"""The protocol between a plan and its driver: the plan yields commands, the driver sends back their outcomes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

from router.calls import CallRequest, Chunk, Completion, Reply
from router.errors import CallError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Make an attempt. Send back its reply, its first chunk or its failure. Send None if a stream ends without a chunk.

    Attributes:
        request: The attempt to make.
        within_s: Seconds until the outcome must be known.
    """

    request: CallRequest
    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Wait, then send back None.

    Attributes:
        seconds: How long to wait.
    """

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """Give the last chunk to the caller. Then send back the next chunk, the failure, or None at the end of the stream.

    Attributes:
        within_s: Seconds until the outcome must be known.
    """

    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Keep the last chunk from the caller. Send back as after `More`.

    Attributes:
        within_s: Seconds until the outcome must be known.
    """

    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Give:
    """Give a chunk to the caller that was held. Then send back None.

    Attributes:
        chunk: The chunk.
    """

    chunk: Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Call a function of the user with a reply. Send back what it returns, or a failure if it takes too long.

    Attributes:
        function: The function. An asynchronous driver awaits what it returns, if that can be awaited.
        reply: The reply.
        within_s: Seconds that an asynchronous driver waits for it.
    """

    function: Callable[[Reply], object]
    reply: Reply
    within_s: float


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a function of the user returned about a reply.

    Attributes:
        value: The value.
    """

    value: object


Command = Ask | Pause | More | Hold | Give | Evaluate
Outcome = Reply | Chunk | CallError | Opinion | None
Plan = Generator[Command, Outcome, Completion]


def begin(plan: Plan) -> Plan:
    """Take the first step of a plan now, and return the plan with all its steps.

    The first step may ask other processes, so a driver that must not wait lets another thread take it.
    """
    return _resume(plan, advance(plan, None))


def _resume(plan: Plan, step: Command | Completion) -> Plan:
    with closing(plan):
        while not isinstance(step, Completion):
            step = advance(plan, (yield step))
        return step


def advance(plan: Plan, outcome: Outcome) -> Command | Completion:
    """Send an outcome to a plan and return its next command, or the completion at its end. The first outcome is None."""
    try:
        return plan.send(outcome)
    except StopIteration as end:
        completion: Completion = end.value
        return completion
