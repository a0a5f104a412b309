"""Take an exception or an error object and return its failure class, its facts and the wait that the server asked for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping

from router.calls import Messages
from router.errors import CallError
from router.execution.error_body import read_error_body
from router.execution.failure_rules import CLASS_OF_STATUS, Rule, load_rules
from router.execution.retry_after import find_wait_s, read_retry_after
from router.types import FailureClass

_CONTENT_TOO_LARGE, _TOO_MANY_REQUESTS = 413, 429
# These say enough. Their texts may repeat a key, which could look like anything.
_ALWAYS_AUTH = (401, 402)
# A page comes from a proxy in front of the server. Its words say nothing about the request.
_PAGE = re.compile(r"[^|]*\| \s*<(?:!doctype|html|head|body|center|h1|\?xml)")


def failure_of(error: Exception, *, sent: Iterable[str] = (), wall_clock: Callable[[], float] = time.time) -> CallError:
    """Return the failure that an exception of an HTTP client or an SDK stands for.

    The exception is recognised by its attributes, so that no client has to be imported: `status_code` or
    `response.status_code`, `response.headers`, `body`, `code`, `type`, `param`. Its message is read and goes into `detail`
    only, because servers repeat prompts and keys in messages.

    Args:
        error: The exception.
        sent: Texts of the request. They do not decide if the server repeats them.
        wall_clock: Seconds since the epoch, for a Retry-After that is a date.
    """
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None)
    body = getattr(error, "body", None)
    fields = {name: getattr(error, name, None) for name in ("code", "type", "status", "param")}
    return _make_failure(
        type(error).__name__,
        status=_find_status(getattr(error, "status_code", None), getattr(response, "status_code", None)),
        body=[fields, str(error) if body is None else body],
        sent=sent,
        retry_after_s=read_retry_after(headers, wall_clock) if isinstance(headers, Mapping) else None,
    )


def failure_in_response(
    status: int,
    headers: Mapping[str, str],
    body: object,
    *,
    sent: Iterable[str] = (),
    wall_clock: Callable[[], float] = time.time,
) -> CallError:
    """Return the failure that an HTTP response stands for.

    Args:
        status: Its status.
        headers: Its headers, of any case.
        body: Its body, as plain values or a text.
        sent: Texts of the request. They do not decide if the server repeats them.
        wall_clock: Seconds since the epoch, for a Retry-After that is a date.
    """
    retry_after_s = read_retry_after(headers, wall_clock)
    return _make_failure("HTTP", status=status, body=body, sent=sent, retry_after_s=retry_after_s)


def list_texts(messages: Messages) -> list[str]:
    """Return the texts of messages, which a server may repeat in an error."""
    contents = [message.get("content") for message in messages]
    parts = [part.get("text") for content in contents if isinstance(content, list) for part in content]
    return [text for text in (*contents, *parts) if isinstance(text, str)]


def failure_in(body: object) -> CallError:
    """Return the failure that an error object in a body of status 200 stands for."""
    return _make_failure("error in the body", status=None, body=body, retry_after_s=None)


def _make_failure(
    name: str, *, status: int | None, body: object, retry_after_s: float | None, sent: Iterable[str] = ()
) -> CallError:
    facts = read_error_body(body, sent)
    # Some servers put the status into the code of the error object.
    status = status if status is not None else _find_status(*facts.codes)
    kind, limit, too_long = _classify(status, facts.text)
    words = [code for code in facts.codes if _is_plain(code)]
    if kind == "rate_limit" and retry_after_s is None:
        retry_after_s = find_wait_s(facts.text)
    return CallError(
        kind,
        " ".join([name, *([str(status)] if status is not None else []), *(f"({word})" for word in words[:1])]),
        status=status,
        # A number, if there is a word too, only repeats the status.
        code=next((code for code in facts.codes if not code.isdecimal()), next(iter(facts.codes), None)),
        param=facts.params[0] if facts.params else None,
        detail=facts.detail,
        retry_after_s=retry_after_s,
        too_long=too_long,
        context_limit=limit,
    )


def _classify(status: int | None, text: str) -> tuple[FailureClass, int | None, bool]:
    """Return the class of a failure, the limit of tokens that the server named, and whether the prompt was too long."""
    rules = () if status in _ALWAYS_AUTH or _PAGE.match(text) else load_rules()
    rule = next((rule for rule in rules if rule.fits(status, text)), None)
    if rule is None:
        return _class_of(status), None, status == _CONTENT_TOO_LARGE
    # A server that is too busy for this client wants it to wait, as after any other 429.
    waits = rule.kind == "transient" and status == _TOO_MANY_REQUESTS
    return "rate_limit" if waits else rule.kind, _find_limit(text) if rule.too_long else None, rule.too_long


def _class_of(status: int | None) -> FailureClass:
    """Return the class of a failure whose words say nothing."""
    if status is None:
        return "transient"
    if status in CLASS_OF_STATUS:
        return CLASS_OF_STATUS[status]
    if 300 <= status < 400:  # noqa: PLR2004 - a redirect is not followed: it could carry the key to another host
        return "auth"
    return "transient" if status >= 500 else "unable"  # noqa: PLR2004 - HTTP's classes


def _find_limit(text: str) -> int | None:
    """Return the tokens that the endpoint accepts. Another wording than the one that decided may name them."""
    return next((limit for rule in load_rules() if rule.too_long and (limit := _read_limit(rule, text))), None)


def _read_limit(rule: Rule, text: str) -> int | None:
    found = rule.words.search(text) if "limit" in rule.words.groupindex else None
    digits = found["limit"] if found else None
    return int(re.sub(r"\D", "", digits)) if digits else None


def _find_status(*values: object) -> int | None:
    """Return the first value that is an HTTP status of a failure, given as a number or in digits."""
    numbers = (int(value) for value in values if isinstance(value, (int, str)) and str(value).isdecimal())
    return next((number for number in numbers if 300 <= number < 600), None)  # noqa: PLR2004 - HTTP's classes


def _is_plain(word: str) -> bool:
    """Return whether a server's code looks like an identifier in a program. No key and no prompt does."""
    return re.fullmatch("[a-z_]{1,40}", word) is not None
