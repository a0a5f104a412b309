"""Take a streamed HTTP response and report how its body ended: with `[DONE]`, or without an event but with JSON."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

_DONE = re.compile(rb"(^|[\r\n])data: ?\[DONE\]")
# The longest marker, which may be cut in two by the network.
_OVERLAP = 32
# Longest body that is kept while no event has come. A server that does not stream answers in one piece.
_MAX_JSON = 1 << 22


class StreamEnd:
    """Watches the bytes of a response while the SDK reads it.

    A stream without a finish reason is complete if the server ended it with the marker. Otherwise its connection may have
    broken. The SDK reads the marker but does not report it.

    Args:
        response: The response, not read yet. Its `aiter_bytes` is replaced.

    Attributes:
        is_marked: Whether the end marker has come.
        json: The body so far if it begins like a JSON object, else empty.
    """

    def __init__(self, response: Any) -> None:
        self._read, self._tail = response.aiter_bytes, b""
        self.is_marked, self.json = False, b""
        response.aiter_bytes = self._watch

    async def _watch(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        is_first = True
        async for part in self._read(chunk_size):
            if self.json or (is_first and part.lstrip().startswith(b"{")):
                self.json = b"" if len(self.json) > _MAX_JSON else self.json + part
            is_first = is_first and not part.strip()
            self._tail += part
            self.is_marked = self.is_marked or _DONE.search(self._tail) is not None
            self._tail = self._tail[-_OVERLAP:]
            yield part
