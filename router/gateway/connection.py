"""The HTTP protocol of uvicorn, with limits on headers and trailers, and on the time to send or to take something."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Clients with many cookies and long keys stay far below.
_MOST_HEADER_BYTES = 1 << 16
_HEADERS_S = 30.0
# A client that takes nothing for so long has gone.
_TAKING_S = 60.0
_ANSWERS = {
    408: b"the headers must arrive within 30 s; send them faster",
    431: b"the headers must have at most 64 KiB; send less",
}


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection. Without the limits, a client could fill the memory or hold a connection for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = self._trailer_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the headers."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        self._stop_taking()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait until the client takes what was sent."""
        super().pause_writing()
        self._stop_taking()
        self._taking = asyncio.get_running_loop().call_later(_TAKING_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Wait no more, because the client takes what was sent."""
        self._stop_taking()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Count bytes until the headers are complete."""
        super().data_received(data)
        if self._timer is not None:
            self._received += len(data)
            if self._received > _MOST_HEADER_BYTES:
                self._refuse(431)

    def on_message_begin(self) -> None:
        """Begin to wait for the headers of the next request."""
        super().on_message_begin()
        self._trailer_bytes = 0
        self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. One after the body is counted and dropped, because nothing reads it."""
        if self._timer is not None:
            super().on_header(name, value)
            return
        self._trailer_bytes += len(name) + len(value)
        if self._trailer_bytes > _MOST_HEADER_BYTES and self.transport is not None:
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Wait no more, and answer unless there are too many headers."""
        self._stop_waiting()
        if sum(len(name) + len(value) for name, value in self.headers) > _MOST_HEADER_BYTES:
            self._refuse(431)
        else:
            super().on_headers_complete()

    def _wait(self) -> None:
        self._stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(_HEADERS_S, self._refuse, 408)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._received, self._timer = 0, None

    def _stop_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
        self._taking = None

    def _refuse(self, status: int) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # The next request waits behind one that is answered. Its refusal must not stand inside that answer.
            self._wait()
            return
        self._stop_waiting()
        if self.transport is None or self.transport.is_closing():
            return
        text = _ANSWERS[status]
        head = f"HTTP/1.1 {status} \r\ncontent-type: text/plain\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + text)
        self.transport.close()
