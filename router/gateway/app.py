"""A gateway in, an application with its paths out (ASGI)."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from router.errors import InputError
from router.gateway.chat import Chat, write_openai_error
from router.gateway.errors import describe_error, hide_fault
from router.gateway.gateway import Gateway
from router.gateway.guard import BrowserGuard
from router.gateway.live import Live
from router.gateway.log import RequestLog
from router.gateway.messages import Messages
from router.gateway.metrics import CONTENT_TYPE, Metrics
from router.gateway.names import UnknownModelError, shorten
from router.gateway.options import name_owner, take_options
from router.gateway.protocol import WireFormat, read_field
from router.gateway.responses import Responses
from router.gateway.siblings import Siblings
from router.gateway.visit import ClientGoneError, Visit
from router.gateway.wire import Body, read_body, read_value

# The page runs its own script only, and no other page may show it in a frame.
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
}

Handler = Callable[[Request], Awaitable[Response]]


def make_app(gateway: Gateway, metrics: Metrics, live: Live, log: RequestLog | None, siblings: Siblings | None) -> Starlette:
    """Return the application of a gateway.

    Args:
        gateway: The gateway.
        metrics: Its metrics.
        live: Its latest requests.
        log: Its log. None: there is none.
        siblings: The other workers behind the same port. None: there are none.
    """
    chat, responses, messages = Chat(), Responses(), Messages()
    doors = {
        "/v1/chat/completions": _Door(gateway, chat, chat.path),
        "/v1/responses": _Door(gateway, responses, responses.path),
        "/v1/messages": _Door(gateway, messages, messages.path),
        "/v1/messages/count_tokens": _Door(gateway, messages, "/messages/count_tokens"),
    }
    pages = _Pages(gateway, metrics, live, log, siblings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        if siblings is not None:
            await siblings.open()
        try:
            yield
        finally:
            if siblings is not None:
                siblings.close()
            await gateway.close()
            if log is not None:
                log.close()

    return Starlette(
        routes=[
            *(Route(path, door, methods=["POST"]) for path, door in doors.items()),
            Route("/v1/models", pages.guard(pages.list_models)),
            Route("/v1/models/{name:path}", pages.guard(pages.show_model)),
            Route("/v1/route", pages.guard(pages.decide), methods=["POST"]),
            Route("/v1/feedback", pages.guard(pages.take_feedback), methods=["POST"]),
            Route("/v1/presets", pages.guard(pages.list_presets)),
            Route("/metrics", pages.guard(pages.write_metrics, of_all_clients=True)),
            Route("/v1/live", pages.guard(pages.show_live, of_all_clients=True)),
            Route("/", _show_page),
            Mount("/page", StaticFiles(packages=[("router.gateway", "page")])),
            Route("/health", pages.tell_health),
            Route("/ready", pages.tell_ready),
        ],
        lifespan=lifespan,
        exception_handlers={404: _refuse_path, 405: _refuse_path},
        middleware=[Middleware(BrowserGuard, needs_keys=len(gateway.clients) > 0)],
    )


class _Door:
    """One path that leads to a model. An object, because Starlette gives the raw connection to objects only."""

    def __init__(self, gateway: Gateway, format_: WireFormat, path: str) -> None:
        self._gateway, self._format, self._path = gateway, format_, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(
            id=f"req-{uuid.uuid4().hex}",
            format=self._format,
            path=self._path,
            headers=_read_headers(scope),
            began_at=self._gateway.router.fleet.now(),
        )
        await self._gateway.answer(visit, receive, send)


class _Pages:
    """The paths that call no model."""

    def __init__(
        self, gateway: Gateway, metrics: Metrics, live: Live, log: RequestLog | None, siblings: Siblings | None
    ) -> None:
        self._gateway, self._metrics, self._live, self._log, self._siblings = gateway, metrics, live, log, siblings

    def guard(self, handler: Handler, *, of_all_clients: bool = False) -> Handler:
        """Return a handler that asks for the key of a client first, and reports errors.

        Args:
            handler: Answers the request.
            of_all_clients: Whether the answer shows the requests of all clients, so that only operators may see it.
        """
        clients = self._gateway.clients
        check = clients.require_operator if of_all_clients else clients.identify

        async def guarded(request: Request) -> Response:
            try:
                check(_read_headers(request.scope))
                return await handler(request)
            except ClientGoneError:
                return Response(status_code=499)
            except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
                refusal = describe_error(hide_fault(error), now=self._gateway.router.fleet.now())
                body = write_openai_error(refusal.status, refusal.message, refusal.code)
                return Response(body, refusal.status, dict(refusal.headers), "application/json")

        return guarded

    async def list_models(self, request: Request) -> Response:
        """List the names that the client may ask for, in a form that clients of all protocols read."""
        names = self._list_names(request)
        data = [_describe_model(name) for name in names]
        return _respond({"object": "list", "data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]})

    async def show_model(self, request: Request) -> Response:
        """Describe one of these names."""
        name = str(request.path_params["name"])
        if name not in self._list_names(request):
            raise UnknownModelError(f"the model {shorten(name)!r} does not exist; GET /v1/models lists the names")
        return _respond(_describe_model(name))

    def _list_names(self, request: Request) -> list[str]:
        return self._gateway.names.list_all(self._gateway.clients.identify(_read_headers(request.scope)).models)

    async def decide(self, request: Request) -> Response:
        """Return the decision for a prompt or for messages, and call nothing."""
        headers, body = _read_headers(request.scope), await self._read(request)
        options = take_options(headers, body)
        prompt = read_value(body["prompt"]) if "prompt" in body else read_field(body, "messages", list, "a list of messages")
        if not isinstance(prompt, str | list):
            raise InputError("the body must have a prompt, which is a text, or messages; add one")
        client = self._gateway.clients.identify(headers)
        name = str(read_field(body, "model", str, "a text, such as 'auto'", "auto"))
        choice = self._gateway.names.find(name, options, client.models)
        router = self._gateway.router
        tools = read_value(body["tools"]) if "tools" in body else None
        decide = partial(router.caller.decide, prompt, tools=tools, owner=name_owner(client.name, body))
        decision = await asyncio.to_thread(decide, choice.options.with_defaults(router.defaults))
        return _respond(decision.to_dict())

    async def take_feedback(self, request: Request) -> Response:
        """Take the score of an answer."""
        body = await self._read(request)
        id_ = read_field(body, "id", str, "the x-router-id of an answer")
        score = read_field(body, "score", (int, float), "a number")
        if not isinstance(id_, str) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise InputError("the body must have an id, which is the x-router-id of an answer, and a score between 0 and 1")
        learns = self._gateway.add_score(id_, float(score))
        if self._log is not None:
            self._log.add_score(id_, float(score))
        elif not learns:
            raise InputError("feedback needs learn = true in the configuration, or a [log] that keeps it; add one")
        return _respond({"id": id_, "score": score})

    async def list_presets(self, request: Request) -> Response:
        """List the positions of the dial: the price of a point of quality in USD. JSON has no infinite price: it is null."""
        del request
        prices = {name: preference.usd_per_point for name, preference in self._gateway.router.presets.items()}
        return _respond({name: price if math.isfinite(price) else None for name, price in prices.items()})

    async def write_metrics(self, request: Request) -> Response:
        """Return the metrics of all workers."""
        del request
        body = self._metrics.write() if self._siblings is None else await self._siblings.write_metrics()
        return Response(body, media_type=CONTENT_TYPE)

    async def show_live(self, request: Request) -> Response:
        """Return what the page shows of the requests."""
        del request
        live = self._live.to_dict(self._gateway.running)
        # Without a configuration nothing is called.
        return _respond(live if self._gateway.upstream is not None else live | {"endpoints": []})

    async def tell_health(self, request: Request) -> Response:
        """Tell that the process runs."""
        del request
        return _respond({"status": "ok"})

    async def tell_ready(self, request: Request) -> Response:
        """Tell whether a model can be called now."""
        del request
        fleet = self._gateway.router.fleet
        if self._gateway.upstream is None:
            return _respond({"status": "decides only", "models": 0})
        served = [profile.name for profile in self._gateway.router.profiles if profile.name not in fleet.unserved]
        available = len(served) - len(fleet.find_cooling(served))
        ready: dict[str, object] = {"status": "ready" if available else "cooling down", "models": available}
        if fleet.state is not None:
            # Requests are answered without it too, so it does not make the gateway unready.
            ready |= {"state": fleet.state.problem or "shared", "replicas": fleet.state.replicas}
        return _respond(ready, 200 if available else 503)

    async def _read(self, request: Request) -> Body:
        return read_body(await self._gateway.read(_read_headers(request.scope), request.receive))


def _describe_model(name: str) -> dict[str, object]:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "contextual-llm-router",
        "type": "model",
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
    }


async def _refuse_path(request: Request, error: Exception) -> Response:
    """Refuse a path or a method that does not exist."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    what = f"{request.method} is not allowed here" if status == 405 else "this path does not exist"  # noqa: PLR2004
    body = write_openai_error(status, f"{what}; docs/gateway.md lists the paths", "unknown_path")
    return Response(body, status, headers, "application/json")


async def _show_page(request: Request) -> Response:
    """Return the page. It has no data, so it needs no key."""
    del request
    page = files("router.gateway").joinpath("page/index.html").read_bytes()
    return Response(page, headers=_PAGE_HEADERS, media_type="text/html")


def _read_headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _respond(value: Mapping[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
