"""Take an exception or an error object and return its failure class, its status and the wait that the server asked for."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from router.errors import CallError
from router.types import FailureClass

_CLASS_OF_STATUS: Mapping[int, FailureClass] = {
    401: "auth",
    402: "auth",
    403: "auth",
    404: "auth",
    405: "auth",  # a wrong base URL
    408: "transient",
    409: "transient",
    410: "auth",  # a model that was withdrawn
    425: "transient",
    429: "rate_limit",
}
# Used without a status, for example for an error event in a stream. The first entry found in code or type decides.
_CLASS_OF_WORD: Mapping[str, FailureClass] = {
    "insufficient_quota": "auth",
    "rate_limit": "rate_limit",
    "authentication": "auth",
    "api_key": "auth",
    "permission": "auth",
    "not_found": "auth",
    "context_length": "request",
    "content_filter": "request",
    "invalid_request": "request",
}
# Phrases of servers for a prompt that is longer than the model's context window.
_TOO_LONG = (
    "context length",
    "context_length",
    "context size",
    "context window",
    "exceed context limit",
    "input is too long",
    "maximum number of tokens",
    "prompt is too long",
    "reduce the length",
    "request too large",
    "too many tokens",
)
_CONTENT_TOO_LARGE = 413


def failure_of(error: Exception, *, wall_clock: Callable[[], float] = time.time) -> CallError:
    """Return the failure that an exception of an HTTP client or an SDK stands for.

    The exception is recognised by its attributes, so that no client has to be imported: `status_code` or
    `response.status_code`, `response.headers`, `body`, `code`, `type`. Its message is read but not passed on, because
    servers repeat prompts and keys in messages.

    Args:
        error: The exception.
        wall_clock: Seconds since the epoch, for a Retry-After that is a date.
    """
    response = getattr(error, "response", None)
    status = _find_status(getattr(error, "status_code", None), getattr(response, "status_code", None))
    words = [str(word) for word in (getattr(error, "code", None), getattr(error, "type", None)) if word]
    headers = getattr(response, "headers", None)
    return _make_failure(
        type(error).__name__,
        # Some servers put the status into the code of the error object.
        status=status if status is not None else _find_status(*words),
        words=words,
        text=f"{error} {getattr(error, 'body', '')}",
        retry_after_s=_retry_after_s(headers, wall_clock) if isinstance(headers, Mapping) else None,
    )


def failure_in(body: object) -> CallError:
    """Return the failure that an error object in a body of status 200 stands for."""
    fields = body if isinstance(body, Mapping) else {}
    words = [str(fields[name]) for name in ("code", "type", "status") if fields.get(name)]
    return _make_failure("error in the body", status=_find_status(*words), words=words, text=str(body), retry_after_s=None)


def _make_failure(name: str, *, status: int | None, words: list[str], text: str, retry_after_s: float | None) -> CallError:
    codes = " ".join(words).lower()
    kind = _class_of_words(codes) if status is None else _class_of_status(status)
    if "insufficient_quota" in codes:
        # An account without money. OpenAI sends 429 for it, but waiting a few seconds does not help.
        kind = "auth"
    too_long = status == _CONTENT_TOO_LARGE or any(phrase in f"{codes} {text}".lower() for phrase in _TOO_LONG)
    parts = [name, *([str(status)] if status is not None else []), *(f"({word})" for word in words[:1] if _is_plain(word))]
    return CallError(
        kind, " ".join(parts), status=status, retry_after_s=retry_after_s, too_long=kind == "request" and too_long
    )


def _class_of_status(status: int) -> FailureClass:
    return _CLASS_OF_STATUS.get(status, "request" if 400 <= status < 500 else "transient")  # noqa: PLR2004 - HTTP's classes


def _class_of_words(codes: str) -> FailureClass:
    return next((kind for word, kind in _CLASS_OF_WORD.items() if word in codes), "transient")


def _find_status(*values: object) -> int | None:
    """Return the first value that is an HTTP status of a failure, given as a number or in digits."""
    numbers = (int(value) for value in values if isinstance(value, (int, str)) and str(value).isdecimal())
    return next((number for number in numbers if 400 <= number < 600), None)  # noqa: PLR2004 - HTTP's classes


def _is_plain(word: str) -> bool:
    """Return whether a server's code looks like an identifier in a program. No key and no prompt does."""
    return re.fullmatch("[a-z_]{1,40}", word) is not None


def _retry_after_s(headers: Mapping[str, str], wall_clock: Callable[[], float]) -> float | None:
    """Return the seconds of Retry-After (RFC 9110, 10.2.3: seconds or a date), ≥ 0. None without the header."""
    lower = {str(name).lower(): value for name, value in headers.items()}
    # The header in milliseconds, which OpenAI sends, is the more exact one.
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(lower[name]) * unit_s
        except (KeyError, ValueError):
            continue
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        return max(0.0, parsedate_to_datetime(lower["retry-after"]).timestamp() - wall_clock())
    except (KeyError, ValueError):
        return None
