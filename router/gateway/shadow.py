"""A request that was answered in, the call of a shadow and its row in the log out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from router.caller import Planned
from router.calls import Completion, Usage
from router.execution.async_driver import acomplete
from router.experiment.shadow import Place, Shadows
from router.gateway.errors import describe_error, hide_fault
from router.gateway.exchange import Exchange
from router.gateway.record import Record
from router.gateway.upstream import Upstream
from router.gateway.visit import Visit
from router.types import TaskPrediction

_log = logging.getLogger("contextual_llm_router")
# A shadow's answer comes whole, and it is another request than the one that has this name.
_LEFT_OUT_FIELDS, _LEFT_OUT_HEADERS = ("stream", "stream_options"), ("idempotency-key",)


class ShadowCalls:
    """Makes the calls of a shadow for one event loop.

    Args:
        shadows: Says which requests are asked again.
        upstream: Sends the requests.
        clock: Seconds that never go back.
        observers: Each is called with the record of every call.
        remember: Called with the id of an answer, its model and the task, so that feedback can name it.
    """

    def __init__(
        self,
        shadows: Shadows,
        upstream: Upstream,
        *,
        clock: Callable[[], float],
        observers: Sequence[Callable[[Record], None]],
        remember: Callable[[str, str, TaskPrediction], None],
    ) -> None:
        self._shadows, self._upstream, self._clock = shadows, upstream, clock
        self._observers, self._remember = observers, remember
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, visit: Visit) -> None:
        """Begin a call if the request was answered and the limits allow it. The request is over by then."""
        planned, exchange, request = visit.planned, visit.exchange, visit.request
        if visit.completion is None or planned is None or exchange is None or request is None:
            return
        # Only the server that has the earlier response can continue it. Counting tokens is no answer.
        if request.earlier or visit.path in visit.format.free_paths:
            return
        place = self._shadows.admit(planned.decision, visit.completion.model)
        if place is not None:
            task = asyncio.get_running_loop().create_task(self._call(visit, planned, exchange, place))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End the calls under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _call(self, visit: Visit, planned: Planned, served: Exchange, place: Place) -> None:
        exchange = Exchange(
            format=served.format,
            path=served.path,
            body={name: value for name, value in served.body.items() if name not in _LEFT_OUT_FIELDS},
            headers={name: value for name, value in served.headers.items() if name not in _LEFT_OUT_HEADERS},
            known=served.known,
        )
        began_at, completion, status, code = self._clock(), None, 499, "cancelled"
        try:
            plan = await asyncio.to_thread(self._shadows.plan, place, planned, {"exchange": exchange})
            completion = None if plan is None else await acomplete(plan, self._upstream)
            status, code = 200, ""
        except Exception as error:  # noqa: BLE001 - nobody waits for the answer, and the log says that there is none
            refusal = describe_error(hide_fault(error), now=self._clock())
            status, code = refusal.status, refusal.code
        finally:
            self._shadows.release(place, completion)
            # If the budget is spent, no call was made.
            if place.is_reserved:
                self._record(visit, exchange, place, completion, began_at=began_at, status=status, code=code)

    def _record(
        self,
        visit: Visit,
        exchange: Exchange,
        place: Place,
        completion: Completion | None,
        *,
        began_at: float,
        status: int,
        code: str,
    ) -> None:
        id_, seconds = f"{visit.id}-shadow", self._clock() - began_at
        if completion is not None:
            self._remember(id_, completion.model, place.decision.prediction)
        record = Record(
            id=id_,
            at=time.time() - seconds,
            began_at=began_at,
            client=visit.client.name,
            protocol=visit.format.protocol,
            asked="",
            stream=False,
            status=status,
            code=code,
            decision=replace(place.decision, reasons=()),
            model=exchange.model or place.decision.model,
            endpoint=exchange.endpoint,
            decided_s=0.0,
            decided_after_s=0.0,
            first_s=None,
            seconds=seconds,
            usage=Usage() if completion is None else completion.usage,
            cost_usd=None if completion is None else completion.cost_usd,
            baseline_usd=None,
            attempts=exchange.attempts,
            messages=() if visit.request is None else visit.request.messages,
            answer="" if completion is None else completion.text,
            shadow_of=visit.id,
        )
        for observe in self._observers:
            try:
                observe(record)
            except Exception as error:  # noqa: BLE001 - the log must not end the other calls
                _log.error("the record of the shadow of %s is lost in part: %s", visit.id, type(error).__name__)
