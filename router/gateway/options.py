"""The headers and the field `router` of a request in, the options of its decision out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from router.errors import InputError
from router.gateway.wire import Body, read_value
from router.options import RouteOptions

FIELD = "router"
_PREFIX = "x-router-"


def _read_list(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


# The header of each option, and how to read its text.
_HEADERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "prefer": ("prefer", str),
    "quality-floor": ("quality_floor", float),
    "usd-per-point": ("usd_per_point", float),
    "risk-aversion": ("risk_aversion", float),
    "max-loss": ("max_loss", float),
    "confidence-of-loss": ("confidence", float),
    "max-cost-usd": ("max_cost_usd", float),
    "allowed": ("allowed", _read_list),
    "needs": ("needs", _read_list),
    "focus": ("focus", str),
    "key": ("key", str),
    "session": ("key", str),
    "tier": ("tier", str),
}
# Where clients name the session of a request, and where they name its user.
_SESSION_HEADERS = ("x-session-id", "x-claude-code-session-id", "session_id", "session-id")
_SESSION_FIELDS, _USER_FIELD = ("session_id", "prompt_cache_key"), "user"
# The headers of answers, and the one that asks for more of them.
_SAID = {"debug", "id", "model", "task", "confidence", "strategy", "experiment", "arm"}


def take_options(headers: Mapping[str, str], body: Body) -> RouteOptions:
    """Return the options of a request, and remove them from its body. The field of the body goes before the headers.

    Args:
        headers: The headers by their lower-case names.
        body: The body. It loses the field `router`.

    Raises:
        InputError: If an option is unknown or out of range.
    """
    options: dict[str, Any] = {}
    for given_name, text in headers.items():
        header = given_name.removeprefix(_PREFIX)
        # A client in a chain of gateways may send on what another one has said of its decision.
        if header == given_name or header in _SAID:
            continue
        if header not in _HEADERS:
            near = get_close_matches(header, _HEADERS, n=1)
            remedy = (
                f"the nearest one is {_PREFIX}{near[0]}" if near else f"known: {', '.join(_PREFIX + n for n in _HEADERS)}"
            )
            raise InputError(f"the header {given_name[:40]!r} is unknown; {remedy}")
        name, read = _HEADERS[header]
        try:
            options[name] = read(text)
        except ValueError:
            raise InputError(f"the header {given_name} must be a number, got {text[:40]!r}") from None
    given = read_value(body.pop(FIELD)) if FIELD in body else {}
    if not isinstance(given, dict):
        raise InputError(f"the field {FIELD!r} must hold options, such as {{'prefer': 'cheap'}}, got {type(given).__name__}")
    if "session" in given:
        given["key"] = given.pop("session")
    if "key" not in options | given and (session := _find_session(headers, body)):
        options["key"] = session
    return RouteOptions.of(options | given)


def name_owner(client: str, body: Body) -> str:
    """Return who sends a request: the client, and the user that it names. Sessions of different owners are kept apart.

    Args:
        client: Name of the client.
        body: The body.
    """
    metadata = read_value(body["metadata"]) if "metadata" in body else None
    # Anthropic's protocol has the user in another field.
    user = _read_text(body, _USER_FIELD) or (str(metadata.get("user_id") or "") if isinstance(metadata, dict) else "")
    return f"{client}/{user}" if user else client


def _find_session(headers: Mapping[str, str], body: Body) -> str:
    """Return the name that the client gave to the session of a request. Empty if it gave none."""
    named = [headers.get(name, "") for name in _SESSION_HEADERS] + [_read_text(body, name) for name in _SESSION_FIELDS]
    return next(filter(None, named), "")


def _read_text(body: Body, name: str) -> str:
    value = read_value(body[name]) if name in body else ""
    return value if isinstance(value, str) else ""
