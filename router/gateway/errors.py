"""An error of the router in, the status, the words and the code that a client gets out."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from router.errors import (
    AllAttemptsFailedError,
    BudgetExceededError,
    DeadlineExceededError,
    InputError,
    NoCandidateError,
    NoModelAvailableError,
    RouterError,
    ServingError,
)
from router.gateway.clients import NotAllowedError, NotOperatorError
from router.gateway.names import ForbiddenModelError, UnknownModelError

_log = logging.getLogger("contextual_llm_router")


class TooLargeError(RouterError):
    """A body is larger than the gateway takes."""


class TooSlowError(RouterError):
    """A request did not arrive in time."""


class TooManyError(RouterError):
    """The gateway has too many requests at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a client gets instead of an answer.

    Attributes:
        status: The HTTP status.
        code: The reason, for programs.
        message: The reason, for people.
        headers: More headers.
    """

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


# The first class that fits decides, so a class stands before the class that it extends.
_STATUS: tuple[tuple[type[RouterError], int, str], ...] = (
    (NotAllowedError, 401, "invalid_api_key"),
    (ForbiddenModelError, 403, "model_not_allowed"),
    (NotOperatorError, 403, "operators_only"),
    (UnknownModelError, 404, "model_not_found"),
    (TooLargeError, 413, "request_too_large"),
    (TooSlowError, 408, "request_timeout"),
    (TooManyError, 503, "overloaded"),
    (InputError, 400, "invalid_request"),
    (NoCandidateError, 400, "no_candidate"),
    (BudgetExceededError, 429, "budget_exceeded"),
    (NoModelAvailableError, 503, "no_model_available"),
    (DeadlineExceededError, 504, "deadline_exceeded"),
    (ServingError, 502, "upstream_error"),
    (RouterError, 500, "internal_error"),
)
# A failure of the last server that tells the client what to do next.
_STATUS_OF_FAILURE = {
    "rate_limit": (429, "rate_limit_exceeded"),
    "request": (400, "invalid_request"),
    "unable": (400, "refused"),
}


def describe_error(error: RouterError, *, now: float) -> Refusal:
    """Return what a client gets for an error.

    Args:
        error: The error. Its message contains no prompt and no key.
        now: Time by the clock of the router, from which the wait for a model counts.
    """
    status, code = next((status, code) for kind, status, code in _STATUS if isinstance(error, kind))
    headers = {}
    failure = error.failure if isinstance(error, AllAttemptsFailedError) else None
    if failure is not None:
        status, code = _STATUS_OF_FAILURE.get(failure.kind, (status, code))
        if failure.retry_after_s is not None:
            headers["retry-after"] = f"{failure.retry_after_s:.0f}"
    if isinstance(error, NoModelAvailableError) and error.retry_at is not None:
        headers["retry-after"] = f"{max(1.0, error.retry_at - now):.0f}"
    return Refusal(status=status, code=code, message=str(error), headers=headers)


def hide_fault(error: Exception) -> RouterError:
    """Return an error of the router as it is. Any other one is a fault of ours: its place is logged, and nothing else of it.

    Its message may hold a text of the request.
    """
    if isinstance(error, RouterError):
        return error
    place = "".join(traceback.format_tb(error.__traceback__))
    _log.error("a request failed: %s at\n%s", type(error).__name__, place)
    return RouterError("the gateway has a fault; its own log has the place")
