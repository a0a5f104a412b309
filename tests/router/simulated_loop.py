"""An event loop on simulated time: when no task can run, its clock jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Never waits. `asyncio.to_thread` runs its function at once, in the thread of the loop."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # noqa: ARG002 - the base class's
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is raised again where the future is awaited
            future.set_exception(error)
        return future


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("every task waits for another one: no timer is set")
        self._loop.now += max(0.0, timeout)
        return super().select(0)


def run_simulated(main: Coroutine[Any, Any, _T], loop: SimulatedLoop | None = None) -> _T:
    """Run a coroutine to its end on simulated time."""
    with asyncio.Runner(loop_factory=(lambda: loop) if loop else SimulatedLoop) as runner:
        return runner.run(main)
