"""A request that was answered comes in, a second model answers it too, in the background."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from router.errors import InputError
from router.execution import async_driver, sync_driver
from router.execution.limits import SpendCap, SpendTracker
from router.experiment.kinds import Shadow, ShadowAnswer

if TYPE_CHECKING:
    from router.caller import Planned
    from router.calls import Completion
    from router.decision import RoutingDecision
    from router.execution.steps import Plan
    from router.serving.fleet import Fleet
    from router.state.limits import SharedSpendTracker
    from router.types import ModelProfile

_log = logging.getLogger("contextual_llm_router")
# At the end of a program, calls under way have so long to end.
_CLOSING_S = 5.0


@dataclass(slots=True)
class Place:
    """The right to make one call of a shadow, within the budget.

    Attributes:
        decision: The decision, with the second model alone.
        expected_usd: Expected cost.
        is_reserved: Whether it is reserved in the budget.
    """

    decision: RoutingDecision
    expected_usd: float
    is_reserved: bool = False


class Shadows:
    """Makes the calls of a shadow. Thread-safe. It pickles without the calls under way.

    Args:
        shadow: The second model and its limits.
        profiles: The models.
        fleet: The live state of the models.
        rng: Draws the requests. None: a new generator, seeded by the system.

    Attributes:
        shadow: The second model and its limits.

    Raises:
        InputError: If the model is unknown, has no endpoint or no price.
    """

    def __init__(
        self, shadow: Shadow, profiles: Sequence[ModelProfile], fleet: Fleet, *, rng: random.Random | None = None
    ) -> None:
        _check_model(shadow.model, profiles, fleet)
        self.shadow, self._profiles, self._fleet = shadow, profiles, fleet
        self._rng = rng or random.Random()  # noqa: S311 - no secret depends on it
        cap = SpendCap(usd=shadow.usd, window_s=shadow.window_s)
        self._spend: SpendTracker | SharedSpendTracker = (
            SpendTracker(cap, clock=fleet.now) if fleet.state is None else fleet.state.make_spend_tracker(cap, name="shadow")
        )
        self._at_once, self._lock = 0, threading.Lock()
        self._work: set[threading.Thread | asyncio.Task[None]] = set()

    def __reduce__(self) -> tuple[type[Shadows], tuple[Shadow, Sequence[ModelProfile], Fleet]]:
        return Shadows, (self.shadow, self._profiles, self._fleet)

    def admit(self, decision: RoutingDecision, answered_by: str) -> Place | None:
        """Return the right to make one call. None if the model may not answer the request, or enough calls are under way.

        Args:
            decision: The decision for the request.
            answered_by: The model that has answered. It is not asked again.
        """
        model = self.shadow.model
        # What the request forbids or needs, such as allowed and max_cost_usd, has removed the model from the scores.
        score = decision.scores.get(model)
        if score is None or model == answered_by or self._rng.random() >= self.shadow.share:
            return None
        with self._lock:
            if self._at_once >= self.shadow.most_at_once:
                return None
            self._at_once += 1
        alone = replace(decision, ranking=(model,), scores={model: score}, strategy="shadow", assignment=None, cascade=None)
        return Place(alone, score.cost_usd or 0.0)

    def plan(self, place: Place, planned: Planned, other: Mapping[str, object]) -> Plan | None:
        """Return the plan of the call. None if the budget is spent. It may ask other processes, so an event loop must not.

        Args:
            place: The right to make it.
            planned: The request.
            other: Parameters that replace those of the request.
        """
        place.is_reserved = self._spend.reserve(place.expected_usd)
        return planned.plan_alone(place.decision, other) if place.is_reserved else None

    def release(self, place: Place, completion: Completion | None) -> None:
        """Give a right back, and count the cost of the call.

        Args:
            place: The right.
            completion: The answer. None if the call failed, which counts as free.
        """
        with self._lock:
            self._at_once -= 1
        if place.is_reserved:
            cost_usd = 0.0 if completion is None else completion.cost_usd
            self._spend.settle(place.expected_usd, place.expected_usd if cost_usd is None else cost_usd)

    def follow(self, planned: Planned, executor: Any) -> Plan:
        """Return the plan of a call, which also begins the call of the shadow when its answer is complete.

        Args:
            planned: The call.
            executor: Makes both calls. On an event loop the shadow becomes a task, elsewhere a thread.
        """
        completion = yield from planned.plan
        try:
            self._begin(planned, completion, executor)
        except Exception as error:  # noqa: BLE001 - the caller has an answer, whatever happens here
            _log.warning("a call of the shadow did not begin: %s", type(error).__name__)
        return completion

    def close(self) -> None:
        """Wait a few seconds for the calls under way in threads."""
        ends_at = time.monotonic() + _CLOSING_S
        for thread in [work for work in tuple(self._work) if isinstance(work, threading.Thread)]:
            thread.join(max(0.0, ends_at - time.monotonic()))

    async def aclose(self) -> None:
        """Wait a few seconds for the calls under way on the running event loop."""
        loop = asyncio.get_running_loop()
        tasks = [work for work in tuple(self._work) if isinstance(work, asyncio.Task) and work.get_loop() is loop]
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSING_S)

    def _begin(self, planned: Planned, served: Completion, executor: Any) -> None:
        place = self.admit(planned.decision, served.model)
        if place is None:
            return
        loop = _find_loop() if hasattr(executor, "acall") else None
        if loop is not None:
            task = loop.create_task(self._await_answer(place, planned, served, executor))
            self._work.add(task)
            task.add_done_callback(self._work.discard)
            return
        thread = threading.Thread(target=self._call, args=(place, planned, served, executor), daemon=True)
        self._work.add(thread)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            self._work.discard(thread)
            self.release(place, None)

    def _call(self, place: Place, planned: Planned, served: Completion, executor: Any) -> None:
        completion, problem = None, ""
        try:
            plan = self.plan(place, planned, {})
            completion = None if plan is None else sync_driver.complete(plan, executor)
        except Exception as error:  # noqa: BLE001 - an executor is not ours, and nobody waits for its answer
            problem = type(error).__name__
        finally:
            self.release(place, completion)
            self._work.discard(threading.current_thread())
        self._report(served, completion, problem)

    async def _await_answer(self, place: Place, planned: Planned, served: Completion, executor: Any) -> None:
        completion, problem = None, ""
        try:
            plan = await asyncio.to_thread(self.plan, place, planned, {})
            completion = None if plan is None else await async_driver.acomplete(plan, executor)
        except Exception as error:  # noqa: BLE001 - an executor is not ours, and nobody waits for its answer
            problem = type(error).__name__
        finally:
            self.release(place, completion)
        self._report(served, completion, problem)

    def _report(self, served: Completion, completion: Completion | None, problem: str) -> None:
        # Without both, the budget was spent, so that no call was made.
        if self.shadow.tell is None or (completion is None and not problem):
            return
        try:
            self.shadow.tell(ShadowAnswer(served=served, shadow=completion, problem=problem))
        except Exception as error:  # noqa: BLE001 - a faulty listener must not end the thread with a traceback of its data
            _log.warning("the listener of the shadow failed: %s", type(error).__name__)


def _find_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _check_model(model: str, profiles: Sequence[ModelProfile], fleet: Fleet) -> None:
    profile = next((profile for profile in profiles if profile.name == model), None)
    if profile is None:
        raise InputError(f"model of a shadow must be one of {[profile.name for profile in profiles]}, got {model!r}")
    if model in fleet.unserved:
        raise InputError(f"the shadow {model!r} cannot be called: {fleet.unserved[model]}")
    has_prices = profile.input_usd_per_mtok is not None and profile.output_usd_per_mtok is not None
    if not has_prices and profile.cost_usd is None and not profile.cost_usd_by_task:
        raise InputError(f"the price of the shadow {model!r} is unknown, so usd could not be kept; add it to the profile")
