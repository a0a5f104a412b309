"""Take whatever a user's function returns or raises, and return replies, chunks and failures."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

from router.calls import Chunk, Reply
from router.errors import InputError, RouterError
from router.execution.failures import failure_of

# Exceptions of Python itself that show a mistake in the function. Asking another model would hide it.
_MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


@contextmanager
def errors_as_failures() -> Iterator[None]:
    """Raise a `CallError` instead of an exception of a user's function inside the `with` block, unless it is a mistake."""
    try:
        yield
    except RouterError:
        raise
    except Exception as error:
        if _is_mistake(error):
            raise
        raise failure_of(error) from error


def _is_mistake(error: Exception) -> bool:
    """Return whether an exception is Python's own for a mistake in the code, or for a file that is missing.

    Exceptions of libraries derive from the same classes, but are defined elsewhere: `json.JSONDecodeError` is a
    `ValueError` that a server's answer causes. A text that cannot be decoded is the server's fault too.
    """
    own = type(error).__module__ == "builtins" and not isinstance(error, UnicodeError)
    return own and isinstance(error, (*_MISTAKES, FileNotFoundError, IsADirectoryError, NotADirectoryError))


def make_reply(answer: object) -> Reply:
    """Return a text or a reply as a reply.

    Raises:
        InputError: If it is neither.
    """
    if isinstance(answer, str):
        return Reply(text=answer, finish_reason="stop", raw=answer)
    if not isinstance(answer, Reply):
        raise InputError(f"a function must return a str or a Reply if stream=False, got {type(answer).__name__}")
    return answer


def make_single_chunk(reply: Reply) -> Chunk:
    """Return a whole reply as the only chunk of a stream."""
    return Chunk(
        text=reply.text,
        finish_reason=reply.finish_reason or "stop",
        usage=reply.usage,
        raw=reply.raw,
        logprobs=reply.logprobs,
    )


def make_chunks(pieces: Iterable[str | Chunk]) -> Iterator[Chunk]:
    """Yield the pieces of a function as chunks. An exception of the function becomes a failure.

    A stream of texts ends with a chunk of finish reason `stop`. A stream of chunks must contain its own finish reason.
    """
    all_text = None
    with errors_as_failures():
        for piece in pieces:
            all_text = all_text is not False and isinstance(piece, str)
            yield _make_chunk(piece)
    # None means that nothing came. An empty stream is no complete answer.
    if all_text:
        yield Chunk(text="", finish_reason="stop")


async def make_async_chunks(pieces: AsyncIterable[str | Chunk]) -> AsyncIterator[Chunk]:
    """Yield the pieces of an asynchronous function as chunks, as `make_chunks` does."""
    all_text = None
    try:
        with errors_as_failures():
            async for piece in pieces:
                all_text = all_text is not False and isinstance(piece, str)
                yield _make_chunk(piece)
    finally:
        # A dropped asynchronous generator is closed later, by the event loop. The connection behind it must close now.
        if close := getattr(pieces, "aclose", None):
            await close()
    if all_text:
        yield Chunk(text="", finish_reason="stop")


def _make_chunk(piece: object) -> Chunk:
    if isinstance(piece, str):
        return Chunk(text=piece, raw=piece)
    if not isinstance(piece, Chunk):
        raise InputError(f"a stream must consist of str or Chunk, got {type(piece).__name__}")
    return piece
