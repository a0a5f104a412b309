"""Run coroutines for threads without an event loop: one loop in one thread, started on first use."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

_T = TypeVar("_T")


class Portal:
    """Runs coroutines of any thread on its own event loop.

    Thread-safe. It starts a new thread after a fork, because no thread survives one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine and wait for its result. An exception during the wait, such as an interrupt, cancels it."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._start_loop())
        try:
            return future.result()
        finally:
            # After an interrupt the coroutine must not go on. If it is done, this does nothing.
            future.cancel()

    def start(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine without waiting. It never blocks, so that a garbage collector in any thread may call it."""
        # No lock here: the thread that runs the garbage collector may hold it already.
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            coroutine.close()
            return
        asyncio.run_coroutine_threadsafe(coroutine, loop)

    def is_open(self) -> bool:
        """Return whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Cancel all running coroutines, close the loop and end the thread. The next `run` starts another thread."""
        with self._lock:
            thread, loop, stop = self._thread, self._loop, self._stop
            self._thread = self._loop = self._stop = None
        if thread is not None and loop is not None and stop is not None and thread.is_alive():
            loop.call_soon_threadsafe(stop.set)
            thread.join()

    def _start_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, and start its thread before if necessary."""
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
                # A daemon, so that a program that never calls close() can still end.
                self._thread = threading.Thread(target=_serve, args=(started,), name="llm-router-calls", daemon=True)
                self._thread.start()
                self._loop, self._stop = started.result()
            return self._loop


def _serve(started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    async def run_until_stopped() -> None:
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()

    # At its end asyncio.run() cancels every task that is left, which is how close() cancels them.
    asyncio.run(run_until_stopped())
