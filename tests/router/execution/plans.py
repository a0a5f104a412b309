"""Outcomes to send to a plan, and how to read its commands."""

import pytest

from router.calls import Chunk, Completion, Reply
from router.errors import (
    CallError,
    ServingError,
)
from router.execution.steps import Ask, Command, Outcome, Plan
from router.types import FailureClass
from tests.router.execution.fakes import USAGE

REPLY = Reply(text="four", finish_reason="stop", usage=USAGE)


DOWN = CallError("transient", "InternalServerError 503", status=503)


LIMITED = CallError("rate_limit", "RateLimitError 429", status=429, retry_after_s=7)


REFUSED = CallError("auth", "AuthenticationError 401", status=401)


BAD = CallError("request", "BadRequestError 400", status=400)


UNABLE = CallError("unable", "BadRequestError 400", status=400)


TOO_LONG = CallError("unable", "BadRequestError 400", status=400, too_long=True)


LATE = CallError("transient", "nothing came within 30 s")


OVERLOADED = CallError("transient", "InternalServerError 529", status=529)


def asked(step: Command) -> str:
    assert isinstance(step, Ask)
    return step.request.endpoint


def tried(plan: Plan, *outcomes: Outcome) -> list[str]:
    """Send these outcomes in turn and return the endpoints that were asked."""
    endpoints = [asked(next(plan))]
    for outcome in outcomes:
        endpoints.append(asked(plan.send(outcome)))
    return endpoints


def end(plan: Plan, outcome: Outcome) -> Completion:
    with pytest.raises(StopIteration) as stopped:
        plan.send(outcome)
    assert isinstance(stopped.value.value, Completion)
    return stopped.value.value


def kinds(error: ServingError) -> list[tuple[str, FailureClass | None]]:
    return [(record.endpoint, record.failure) for record in error.attempts]


FIRST, LAST = Chunk(text="fo"), Chunk(text="ur", finish_reason="stop")


TOTALS = Chunk(text="", usage=USAGE)
