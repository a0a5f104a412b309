"""Requests in, those that a web page of somebody else has sent out of the way."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from router.gateway.chat import write_openai_error


class BrowserGuard:
    """Refuses requests that browsers send for the pages of other sites.

    A gateway without client keys trusts everybody who reaches it, and on a loopback address these are the programs of this
    machine. A browser is one of them, but the pages in it come from anywhere.

    Args:
        app: Answers the other requests.
        needs_keys: Whether clients need keys. Pages of other sites do not know them.
    """

    def __init__(self, app: ASGIApp, *, needs_keys: bool) -> None:
        self._app, self._needs_keys = app, needs_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "http" and not self._needs_keys:
            headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
            reason = _find_fault(headers.get(b"host", ""), headers.get(b"origin"))
            if reason:
                body = write_openai_error(
                    403, f"{reason}; without keys of clients, only this machine may ask", "forbidden_origin"
                )
                await Response(body, 403, media_type="application/json")(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _find_fault(host: str, origin: str | None) -> str:
    """Return why a request cannot come from a program of this machine, or from the gateway's own page. Empty if it can."""
    # A page can give its own name the address of this machine (DNS rebinding). The header Host still has that name.
    if host and not is_loopback(_read_name(host)):
        return "the header Host must name this machine"
    if origin is not None and _read_place(origin) != host:
        return "the header Origin must be that of the gateway"
    return ""


def is_loopback(name: str) -> bool:
    """Return whether a host's name or address stands for this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _read_place(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _read_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
