"""The parts of a driver that do not depend on whether it blocks or awaits."""

from __future__ import annotations

from router.calls import Chunk, Completion, Reply
from router.errors import CallError, InputError
from router.execution.steps import Command, Give, More, Outcome, Plan


class BaseStream:
    """State of a stream: its plan, the time limit of its next chunk, and its completion.

    Args:
        plan: Plan of the call. It has not been started.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # The first chunk comes before the stream is returned. It is kept here until the caller asks for it.
        self._first: Chunk | None = None
        self._within_s = 0.0
        self._over = False
        self._completion: Completion | None = None

    @property
    def completion(self) -> Completion:
        """The whole answer and its attempts, once the stream has been read to its end.

        Raises:
            InputError: If the stream has not been read to its end.
        """
        if self._completion is None:
            raise InputError("completion is there once the stream has been read to its end; read on, or use complete()")
        return self._completion

    def _take(self, step: Command | Completion, outcome: Outcome) -> Chunk | None:
        """Return the chunk that the caller may have. None at the end."""
        if isinstance(step, Completion):
            self._completion, self._over = step, True
        if isinstance(step, Give):
            return step.chunk
        if not isinstance(step, More):
            return None
        self._within_s = step.within_s
        return outcome if isinstance(outcome, Chunk) else None


def check_reply(answer: object) -> Reply:
    """Return the reply of an executor.

    Raises:
        InputError: If it is no reply.
    """
    if not isinstance(answer, Reply):
        raise InputError(f"an executor must answer a request with stream=False with a Reply, got {type(answer).__name__}")
    return answer


def drop_traceback(failure: CallError) -> CallError:
    """Return the failure without its traceback.

    The frames of a traceback refer to the stream. With them, only the garbage collector could free a dropped stream.
    """
    return failure.with_traceback(None)
