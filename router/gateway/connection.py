"""The HTTP protocol of uvicorn, with limits on the size of headers and on the time until they have arrived."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Clients with many cookies and long keys stay far below.
_MOST_HEADER_BYTES = 1 << 16
_HEADERS_S = 30.0
_ANSWERS = {
    408: b"the headers must arrive within 30 s; send them faster",
    431: b"the headers must have at most 64 KiB; send less",
}


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection. Without the limits, a client could fill the memory or hold a connection for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the headers."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

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
        self._wait()

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

    def _refuse(self, status: int) -> None:
        self._stop_waiting()
        if self.transport is None or self.transport.is_closing():
            return
        text = _ANSWERS[status]
        head = f"HTTP/1.1 {status} \r\ncontent-type: text/plain\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + text)
        self.transport.close()
