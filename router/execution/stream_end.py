"""Take a streamed HTTP response and report whether its body ended with `[DONE]`, the end marker of the OpenAI protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

_DONE = b"[DONE]"
# The marker and the white space that servers send after it.
_TAIL = 64


class StreamEnd:
    """Remembers the last bytes of a response while the SDK reads it.

    A stream without a finish reason is complete if the server ended it with the marker. Otherwise its connection may have
    broken. The SDK reads the marker but does not report it.

    Args:
        response: The response, not read yet. Its `aiter_bytes` is replaced.
    """

    def __init__(self, response: Any) -> None:
        self._read, self._tail = response.aiter_bytes, b""
        response.aiter_bytes = self._watch

    @property
    def is_marked(self) -> bool:
        """Whether the bytes so far end with the marker."""
        return self._tail.rstrip().endswith(_DONE)

    async def _watch(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        async for part in self._read(chunk_size):
            self._tail = (self._tail + part)[-_TAIL:]
            yield part
