"""Which class a failure belongs to, from what its exception or its error object tells."""

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
# Where there is no status, such as in an error event of a stream; the first that occurs in code or type decides.
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
# What servers say when the prompt is longer than the model's context window.
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
    """Tell what an exception of an HTTP client or an SDK means.

    It is known by its attributes, so that no client has to be imported: `status_code` or `response.status_code`,
    `response.headers`, `body`, `code`, `type`. Its message is read but not passed on: servers repeat prompts and keys in it.

    Args:
        error: What was raised.
        wall_clock: Seconds since the epoch, for a Retry-After that is a date.
    """
    response = getattr(error, "response", None)
    status = _status(getattr(error, "status_code", None), getattr(response, "status_code", None))
    words = [str(word) for word in (getattr(error, "code", None), getattr(error, "type", None)) if word]
    headers = getattr(response, "headers", None)
    return _failure(
        type(error).__name__,
        status=status if status is not None else _status(*words),
        words=words,
        text=f"{error} {getattr(error, 'body', '')}",
        retry_after_s=_retry_after_s(headers, wall_clock) if isinstance(headers, Mapping) else None,
    )


def failure_in(body: object) -> CallError:
    """Tell what the error object means that a server put into a body of status 200."""
    fields = body if isinstance(body, Mapping) else {}
    words = [str(fields[name]) for name in ("code", "type", "status") if fields.get(name)]
    return _failure("error in the body", status=_status(*words), words=words, text=str(body), retry_after_s=None)


def _failure(name: str, *, status: int | None, words: list[str], text: str, retry_after_s: float | None) -> CallError:
    said = " ".join(words).lower()
    kind = _class_of_words(said) if status is None else _class_of_status(status)
    if "insufficient_quota" in said:
        kind = "auth"  # an account without money, sent as 429: waiting a few seconds does not help
    too_long = status == _CONTENT_TOO_LARGE or any(phrase in f"{said} {text}".lower() for phrase in _TOO_LONG)
    parts = [name, *([str(status)] if status is not None else []), *(f"({word})" for word in words[:1] if _is_plain(word))]
    return CallError(
        kind, " ".join(parts), status=status, retry_after_s=retry_after_s, too_long=kind == "request" and too_long
    )


def _class_of_status(status: int) -> FailureClass:
    return _CLASS_OF_STATUS.get(status, "request" if 400 <= status < 500 else "transient")  # noqa: PLR2004 - HTTP's classes


def _class_of_words(said: str) -> FailureClass:
    return next((kind for word, kind in _CLASS_OF_WORD.items() if word in said), "transient")


def _status(*values: object) -> int | None:
    """Return the first value that is an HTTP status of a failure, as a number or in digits."""
    numbers = (int(value) for value in values if isinstance(value, (int, str)) and str(value).isdecimal())
    return next((number for number in numbers if 400 <= number < 600), None)  # noqa: PLR2004 - HTTP's classes


def _is_plain(word: str) -> bool:
    """Whether a server's code is one that a programmer chose: no key and no prompt looks like that."""
    return re.fullmatch("[a-z_]{1,40}", word) is not None


def _retry_after_s(headers: Mapping[str, str], wall_clock: Callable[[], float]) -> float | None:
    """Return the seconds that Retry-After asks for (RFC 9110, 10.2.3: seconds or a date), ≥ 0; None without one."""
    lower = {str(name).lower(): value for name, value in headers.items()}
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
