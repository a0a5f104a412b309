"""Parts of an answer in, messages of ASGI out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.types import Send

from router.errors import AllAttemptsFailedError, RouterError
from router.gateway.errors import describe_error
from router.gateway.exchange import Answer, Exchange
from router.gateway.visit import Visit

# Failures of a server whose own words help the client: they are about the request.
_ABOUT_THE_REQUEST = ("request", "unable", "rate_limit")


class Sender:
    """Sends the answer to one request: a whole one, a stream or an error.

    Args:
        send: Sends a message of ASGI.
        visit: The request.
        clock: Seconds that never go back.
    """

    def __init__(self, send: Send, visit: Visit, clock: Callable[[], float]) -> None:
        self._send, self._visit, self._clock, self._begun = send, visit, clock, False

    async def answer(self, answer: Answer) -> None:
        """Send a whole answer."""
        self._require_exchange().choose(answer)
        await self._send_answer(answer)

    async def stream(self, answer: Answer) -> None:
        """Send one part of a stream."""
        if not self._begun:
            self._require_exchange().choose(answer)
            headers = {**answer.headers, "content-type": "text/event-stream", "cache-control": "no-cache"}
            await self._start(answer.status, {**headers, "x-accel-buffering": "no"})
        await self._write(answer.body, more=True)

    async def end_stream(self) -> None:
        """End a stream."""
        await self._write(b"", more=False)

    async def refuse(self, error: RouterError, *, now: float) -> None:
        """Send an error: as a whole answer, or as the last event of a stream that has begun."""
        refusal = describe_error(error, now=now)
        self._visit.code = refusal.code
        if self._begun:
            await self._write(self._visit.format.write_error_event(refusal.message), more=False)
            return
        exchange, failure = self._visit.exchange, getattr(error, "failure", None)
        if isinstance(error, AllAttemptsFailedError) and failure is not None and failure.kind in _ABOUT_THE_REQUEST:
            own = exchange.answer if exchange is not None else None
            if own is not None and own.status == failure.status:
                await self._send_answer(own)
                return
        body = self._visit.format.write_error(refusal.status, refusal.message, code=refusal.code)
        await self._send_answer(
            Answer(
                model="",
                endpoint="",
                status=refusal.status,
                headers={"content-type": "application/json", **refusal.headers},
                body=body,
            )
        )

    async def _send_answer(self, answer: Answer) -> None:
        await self._start(answer.status, {**answer.headers, "content-length": str(len(answer.body))})
        await self._write(answer.body, more=False)

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        lines = {**headers, **self._visit.describe()}
        raw = [(name.encode("ascii"), _make_plain(value)) for name, value in lines.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        self._begun, self._visit.status, self._visit.first_at = True, status, self._clock()

    async def _write(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _require_exchange(self) -> Exchange:
        assert self._visit.exchange is not None  # noqa: S101 - a stream is planned before it is sent
        return self._visit.exchange


def _make_plain(value: str) -> bytes:
    """Return a value as it may stand in a header: printable ASCII on one line."""
    return "".join(sign for sign in " ".join(value.split()) if sign.isprintable()).encode("ascii", "replace")
