"""Requests of clients in, answers of models out: who may ask, which model is asked, and what is recorded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

import msgspec
from starlette.types import Receive, Send

from router.call_options import CallOptions
from router.caller import Planned
from router.calls import Completion, Usage, price_usage
from router.config.schema import GatewayConfig
from router.core import Router
from router.decision import RoutingDecision
from router.errors import InputError
from router.execution.async_driver import acomplete, astream
from router.gateway.clients import Clients
from router.gateway.errors import TooLargeError, TooManyError, TooSlowError, hide_fault
from router.gateway.exchange import Answer, Exchange
from router.gateway.names import Names, shorten
from router.gateway.options import name_owner, take_options
from router.gateway.protocol import Request
from router.gateway.record import Record
from router.gateway.sender import Sender
from router.gateway.shadow import ShadowCalls
from router.gateway.upstream import Upstream
from router.gateway.visit import ClientGoneError, Visit
from router.gateway.wire import Body, read_body
from router.options import RouteOptions
from router.state.notes import MOST_KEPT, Notes
from router.types import Preference, TaskPrediction

_log = logging.getLogger("contextual_llm_router")
_MB = 1_000_000
# Reading a larger body would hold up all other requests.
_LARGE = 1 << 18
# Headers of a client that servers read. None of them holds a key.
_PASSED_ON = ("anthropic-", "openai-beta", "idempotency-key", "x-stainless-", "user-agent", "traceparent", "tracestate")
_TRACE_HEADERS = ("traceparent", "tracestate")


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What feedback to an answer needs.

    Attributes:
        model: The model that answered.
        prediction: The task of the prompt.
    """

    model: str
    prediction: TaskPrediction

    @property
    def decision(self) -> RoutingDecision:
        """As much of the decision as feedback needs. The scores of all models would take most of the memory."""
        return RoutingDecision(
            ranking=(self.model,),
            prediction=self.prediction,
            scores={},
            strategy="",
            preference=Preference(),
            excluded={},
            reasons=(),
        )


class Gateway:
    """Answers requests of clients with the models of a router.

    Args:
        router: Decides and plans. Its executor is `upstream`.
        upstream: Sends the requests on. None: the gateway only decides.
        clients: Who may send requests.
        names: The names that clients may ask for.
        limits: The limits.
        observers: Each is called with the record of every request.
        shadow_observers: Each is called with the record of every call of a shadow.

    Attributes:
        router: The router.
        clients: Who may send requests.
        names: The names that clients may ask for.
        upstream: Sends the requests on. None: the gateway only decides.
        running: Number of requests that are answered now.
    """

    def __init__(
        self,
        router: Router,
        upstream: Upstream | None,
        *,
        clients: Clients,
        names: Names,
        limits: GatewayConfig,
        observers: Sequence[Callable[[Record], None]] = (),
        shadow_observers: Sequence[Callable[[Record], None]] = (),
    ) -> None:
        self.router, self.upstream, self.clients, self.names = router, upstream, clients, names
        self._limits, self._observers = limits, tuple(observers)
        self.running = 0
        # Feedback or a later request can name an answer that another gateway gave. Only the server that has a response can
        # continue it.
        state = router.fleet.state
        self._answers = Notes(Answered) if state is None else state.make_notes(Answered, group="answer")
        self._places = Notes(str) if state is None else state.make_notes(str, group="place", urgent=True)
        profiles = {profile.name: profile for profile in router.profiles}
        self._baseline = None if limits.baseline is None else profiles.get(limits.baseline)
        self._shadows: ShadowCalls | None = None
        if router.shadows is not None and upstream is not None:
            self._shadows = ShadowCalls(
                router.shadows, upstream, clock=router.fleet.now, observers=shadow_observers, remember=self._remember
            )

    async def answer(self, visit: Visit, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens, and record it."""
        sender = Sender(send, visit, self.router.fleet.now)
        try:
            with self._take_place():
                visit.client = self.clients.identify(visit.headers)
                data = await self.read(visit.headers, receive)
                await _run_unless_gone(receive, self._converse(visit, data, sender))
        except ClientGoneError:
            visit.code = visit.code or "client_left"
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer in its form
            await sender.refuse(hide_fault(error), now=self.router.fleet.now())
        finally:
            self._settle_budget(visit)
            self._record(visit)
            if self._shadows is not None:
                self._shadows.follow(visit)

    async def close(self) -> None:
        """End the calls that no client waits for, and close the connections."""
        if self._shadows is not None:
            await self._shadows.close()
        # This closes the upstream too, which is the router's executor.
        await self.router.aclose()

    async def read(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return the body of a request.

        Args:
            headers: Its headers by their lower-case names.
            receive: Gives its parts.

        Raises:
            TooLargeError: If it is too large.
            TooSlowError: If it does not arrive in time.
            ClientGoneError: If the client leaves before.
        """
        most = int(self._limits.max_body_mb * _MB)
        too_large = TooLargeError(f"a body must have at most {self._limits.max_body_mb:g} MB; send less")
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > most:
            raise too_large
        parts, size = list[bytes](), 0
        try:
            async with asyncio.timeout(self._limits.read_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise too_large
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise TooSlowError(f"a request must arrive within {self._limits.read_s:g} s; send it faster") from None

    def add_score(self, id_: str, score: float) -> bool:
        """Take the feedback to a request into account. Return whether the router learns from it.

        Raises:
            InputError: If the request is unknown.
        """
        answered = self._answers.find(id_)
        if answered is None:
            raise InputError(f"id must be the x-router-id of one of the last {MOST_KEPT} answers, got {id_[:40]!r}")
        if self.router.learner is None:
            return False
        self.router.feedback(answered.decision, score)
        return True

    async def _converse(self, visit: Visit, data: bytes, sender: Sender) -> None:
        upstream = self._require_upstream()
        planned = await self._plan(visit, data)
        if visit.request is not None and visit.request.stream:
            async with await astream(planned.plan, upstream) as chunks:
                async for chunk in chunks:
                    await sender.stream(cast("Answer", chunk.raw))
                self._settle(visit, chunks.completion)
            await sender.end_stream()
        else:
            completion = await acomplete(planned.plan, upstream)
            self._settle(visit, completion)
            await sender.answer(cast("Answer", completion.raw))

    async def _plan(self, visit: Visit, data: bytes) -> Planned:
        """Decide for a request, and return the decision and the plan of its call."""
        read = partial(_read_request, visit, data)
        body, options, request = await asyncio.to_thread(read) if len(data) > _LARGE else read()
        visit.request = request
        choice = self.names.find(request.model, options, visit.client.models)
        headers = {name: value for name, value in visit.headers.items() if name.startswith(_PASSED_ON)}
        visit.exchange = Exchange(format=visit.format, path=visit.path, body=body, headers=headers, known=request.besides)
        call = CallOptions(
            route=choice.options.with_defaults(self.router.defaults),
            request={**request.besides, "exchange": visit.exchange},
            stream=request.stream,
            accept=None,
            fallbacks=choice.fallbacks,
            timeout_s=None,
            protocol=visit.format.protocol,
            endpoints=self._find_place(visit),
            owner=name_owner(visit.client.name, body),
        )
        began = time.perf_counter()
        planned = await asyncio.to_thread(self._decide, visit, request, call)
        visit.decided_s, visit.decision, visit.planned = time.perf_counter() - began, planned.decision, planned
        visit.decided_at = self.router.fleet.now()
        return planned

    def _decide(self, visit: Visit, request: Request, call: CallOptions) -> Planned:
        """Decide for a request, within the limits of its client. It may wait for other gateways."""
        self.clients.admit(visit.client)
        planned = self.router.caller.plan(request.messages, call, began_at=visit.began_at)
        if visit.path not in visit.format.free_paths:
            expected_usd = planned.decision.expected.cost_usd or 0.0
            self.clients.reserve(visit.client, expected_usd)
            visit.reserved_usd = expected_usd
        return planned

    def _find_place(self, visit: Visit) -> tuple[str] | None:
        """Return the endpoint that keeps the earlier response to which a request refers. None if it refers to none."""
        earlier = visit.request.earlier if visit.request is not None else ""
        place = self._places.find(earlier)
        return None if place is None else (place,)

    def _settle(self, visit: Visit, completion: Completion) -> None:
        visit.completion = completion
        if visit.format.protocol == "responses" and visit.exchange is not None and visit.exchange.answer_id:
            self._places.keep(visit.exchange.answer_id, completion.endpoint)

    def _settle_budget(self, visit: Visit) -> None:
        """Replace the reserved cost by the actual one. If it is unknown, an answer costs what was expected."""
        if visit.client.spend is None or visit.reserved_usd is None:
            return
        reserved_usd, completion = visit.reserved_usd, visit.completion
        if completion is not None:
            spent_usd = reserved_usd if completion.total_cost_usd is None else completion.total_cost_usd
        else:
            # Servers also charge for an answer that breaks off, or that the client does not wait for.
            attempts = () if visit.exchange is None else visit.exchange.attempts
            has_begun = any(seen.end == "cancelled" or seen.first_s is not None for seen in attempts)
            spent_usd = reserved_usd if has_begun else 0.0
        visit.client.spend.settle(reserved_usd, spent_usd)

    def _record(self, visit: Visit) -> None:
        """Tell the observers what became of a request."""
        exchange, completion, now = visit.exchange, visit.completion, self.router.fleet.now()
        usage = Usage() if completion is None else completion.usage
        if visit.decision is not None and exchange is not None:
            model = exchange.model or visit.decision.model
            self._remember(visit.id, model, visit.decision.prediction)
        record = Record(
            id=visit.id,
            at=time.time() - (now - visit.began_at),
            began_at=visit.began_at,
            client=visit.client.name,
            protocol=visit.format.protocol,
            asked="" if visit.request is None else shorten(visit.request.model),
            stream=visit.request is not None and visit.request.stream,
            status=visit.status,
            code=visit.code,
            decision=visit.decision,
            model="" if exchange is None else exchange.model,
            endpoint="" if exchange is None else exchange.endpoint,
            decided_s=visit.decided_s,
            decided_after_s=visit.decided_at - visit.began_at,
            first_s=None if visit.first_at is None else visit.first_at - visit.began_at,
            seconds=now - visit.began_at,
            usage=usage,
            cost_usd=None if completion is None else completion.cost_usd,
            paid_usd={} if completion is None else _sum_by_model(completion),
            checks=() if completion is None else completion.reasons,
            baseline_usd=self._find_baseline_cost(usage),
            attempts=() if exchange is None else exchange.attempts,
            messages=() if visit.request is None else visit.request.messages,
            answer="" if completion is None else completion.text,
            trace_headers={name: visit.headers[name] for name in _TRACE_HEADERS if name in visit.headers},
        )
        for observe in self._observers:
            try:
                observe(record)
            except Exception as error:  # noqa: BLE001 - the client has its answer, whatever happens here
                _log.error("the record of request %s is lost in part: %s", visit.id, type(error).__name__)

    def _remember(self, id_: str, model: str, prediction: TaskPrediction) -> None:
        """Remember an answer, so that feedback can name it."""
        self._answers.keep(id_, Answered(model=model, prediction=prediction))

    def _find_baseline_cost(self, usage: Usage) -> float | None:
        """Return what the tokens would have cost at the baseline."""
        return None if self._baseline is None else price_usage(usage, self._baseline)

    def _require_upstream(self) -> Upstream:
        if self.upstream is None:
            raise InputError("the gateway has no endpoints; start it with a configuration file, or POST to /v1/route")
        return self.upstream

    @contextmanager
    def _take_place(self) -> Iterator[None]:
        most = self._limits.max_concurrent
        if self.running >= most:
            raise TooManyError(f"the gateway answers at most {most} requests at the same time; try again in a moment")
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


def _sum_by_model(completion: Completion) -> dict[str, float]:
    """Return the USD that each model was paid, for answers that were not accepted and for checks too."""
    paid = dict[str, float]()
    for attempt in completion.attempts:
        if attempt.cost_usd is not None:
            paid[attempt.model] = paid.get(attempt.model, 0.0) + attempt.cost_usd
    return paid


def _read_request(visit: Visit, data: bytes) -> tuple[Body, RouteOptions, Request]:
    body = read_body(data)
    return body, take_options(visit.headers, body), visit.format.read_request(body)


async def _run_unless_gone(receive: Receive, work: Awaitable[None]) -> None:
    """Run something, and cancel it if the client leaves.

    Raises:
        ClientGoneError: If the client has left.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_wait_until_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
