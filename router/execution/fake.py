"""An executor that answers from a script, for tests and examples."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from router.calls import CallRequest, Chunk, Reply, Usage
from router.errors import CallError, InputError
from router.execution.conversion import make_chunks, make_single_chunk

# What a scripted executor does at one request: answer, fail, or stream pieces that may end in a failure.
Act = str | Reply | CallError | Sequence[str | Chunk | CallError]


class FakeExecutor:
    """Answers synchronous and asynchronous calls from a script, without a network or a key.

    Thread-safe. It pickles by its script: the copy starts at the first act, with no requests.

    Args:
        script: For each endpoint, one act per request, in order. The last act is repeated. An endpoint without acts answers
            with the name of its model.

    Attributes:
        requests: All requests, in order.

    Raises:
        InputError: If the script has another form.

    >>> from router import Router, Serving
    >>> router = Router.load(serving=Serving(executor=FakeExecutor({"gpt-5.5": ["first", "second"]})))
    >>> [router.complete("hello", allowed={"gpt-5.5"}).text for _ in range(3)]
    ['first', 'second', 'second']
    """

    def __init__(self, script: Mapping[str, Sequence[Act]] | None = None) -> None:
        self._script = {endpoint: list(acts) for endpoint, acts in _check_script(script or {}).items()}
        self._lock = threading.Lock()
        self.requests: list[CallRequest] = []

    def __reduce__(self) -> tuple[type[FakeExecutor], tuple[Mapping[str, Sequence[Act]]]]:
        # A lock cannot be pickled, and the requests belong to this process.
        return type(self), (self._script,)

    def call(self, request: CallRequest, /) -> Reply | Iterator[Chunk]:
        """Perform the next act. See `Executor.call`."""
        act = self._next_act(request)
        if isinstance(act, CallError):
            raise act
        if request.stream:
            return make_chunks(_make_pieces(act))
        return act if isinstance(act, Reply) else _join(list(make_chunks(_make_pieces(act))))

    async def acall(self, request: CallRequest, /) -> Reply | AsyncIterator[Chunk]:
        """Perform the next act. See `AsyncExecutor.acall`."""
        answer = self.call(request)
        return answer if isinstance(answer, Reply) else _iterate(answer)

    def _next_act(self, request: CallRequest) -> Act:
        with self._lock:
            n_before = sum(earlier.endpoint == request.endpoint for earlier in self.requests)
            self.requests.append(request)
        acts = self._script.get(request.endpoint) or [f"answered by {request.model}"]
        return acts[min(n_before, len(acts) - 1)]


def _check_script(script: object) -> Mapping[str, Sequence[Act]]:
    rule = "a script must map endpoints to lists of acts, such as {'gpt-5.5': ['first answer', CallError(...)]}"
    if not isinstance(script, Mapping):
        raise InputError(f"{rule}, got {type(script).__name__}")
    for endpoint, acts in script.items():
        # A text is a sequence of its letters, which nobody means.
        if isinstance(acts, str) or not isinstance(acts, Sequence):
            raise InputError(f"{rule}, got {type(acts).__name__} for {endpoint!r}; put it into a list")
        for act in acts:
            if not isinstance(act, str | Reply | CallError | Sequence):
                raise InputError(f"{rule}, got {type(act).__name__} as an act of {endpoint!r}")
    return script


def _make_pieces(act: str | Reply | Sequence[str | Chunk | CallError]) -> Iterator[str | Chunk]:
    """Yield an act as the pieces of a stream. A text comes word by word."""
    if isinstance(act, str):
        yield from re.findall(r"\s*\S+\s*", act)
    elif isinstance(act, Reply):
        yield make_single_chunk(act)
    else:
        for piece in act:
            if isinstance(piece, CallError):
                raise piece
            yield piece


def _join(chunks: Sequence[Chunk]) -> Reply:
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    reasons = [chunk.finish_reason for chunk in chunks if chunk.finish_reason is not None]
    return Reply(
        text="".join(chunk.text for chunk in chunks),
        finish_reason=reasons[-1] if reasons else None,
        usage=usages[-1] if usages else Usage(),
    )


async def _iterate(chunks: Iterator[Chunk]) -> AsyncIterator[Chunk]:
    for chunk in chunks:
        yield chunk
