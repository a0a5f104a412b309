"""Every rule of a call as one pure generator: whom to ask next, how long to wait, when to give up."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from router.calls import AttemptRecord, Call, CallRequest, Chunk, Completion, Reply, Target, Usage, cost_of
from router.errors import (
    AllAttemptsFailedError,
    CallError,
    DeadlineExceededError,
    InputError,
    NoCandidateError,
    NoModelAvailableError,
    StreamInterruptedError,
)
from router.execution.limits import CallPolicy, RetryBudget
from router.execution.steps import Ask, Command, More, Outcome, Pause, Plan
from router.health import Attempt, Eligibility
from router.types import FailureClass

# Less than this is no time to ask anybody; clocks and timers differ by a little.
_NO_TIME_S = 0.001


_T = TypeVar("_T")
_Steps = Generator[Command, Outcome, _T]


class Gate(Protocol):
    """Whom a call may ask now; a `LiveState` is one."""

    def eligible(self, names: Sequence[str]) -> Eligibility:
        """Tell which of these endpoints may be asked now."""
        ...

    def begin(self, name: str, *, ignore_trip: bool = False) -> Attempt | None:
        """Count a request to an endpoint as under way; None where it may not be asked now."""
        ...


def plan_call(
    call: Call,
    *,
    live: Gate,
    budget: RetryBudget,
    policy: CallPolicy,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random,
    began_at: float | None = None,
) -> Plan:
    """Make a call by yielding what has to be done, and return its completion.

    It does nothing itself and asks nobody but the live state, so that one set of rules serves every way of doing the work.
    The deadline runs from its first step. Closing it, at any point, reports the attempt under way as cancelled, or as a
    success where the answer was complete.

    Args:
        call: What is asked, of whom.
        live: Who may be asked now; every attempt is reported to it, exactly once.
        budget: Extra attempts in flight, shared by all calls.
        policy: The numbers.
        clock: Seconds that never go back; the one of the live state.
        rng: For the backoff.
        began_at: When the caller asked, by the clock, from which the deadline runs; None: at the first step.

    Raises:
        InputError: There is no target.
        NoCandidateError: No target can serve the request; says why.
        NoModelAvailableError: All of them are cooling down.
        AllAttemptsFailedError: Every attempt that the policy allows failed.
        DeadlineExceededError: Time ran out.
        StreamInterruptedError: A stream broke after its first chunk was handed over.
    """
    run = _Run(call, live, policy, clock, rng, began_at)
    with budget.call():
        completion = yield from run.attempt(*run.begin_first())
        while completion is None:
            run.check_may_go_on()
            with budget.extra_attempt() as granted:
                if not granted:
                    raise run.failed("too many further attempts are in flight") from run.failure
                completion = yield from run.attempt(*(yield from run.begin_next()))
        return completion


@dataclass(slots=True)
class _Answer:
    """What has come of one attempt so far."""

    target: Target
    began_at: float
    backoff_s: float
    texts: list[str] = field(default_factory=list)
    raws: list[object] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    finish_reason: str | None = None
    first_token_s: float | None = None

    def add(self, part: Reply | Chunk) -> None:
        self.texts.append(part.text)
        self.raws.append(part.raw)
        self.usage = part.usage or self.usage
        self.finish_reason = part.finish_reason or self.finish_reason


class _Run:
    """One call under way: what was tried, and what may be tried next."""

    def __init__(
        self,
        call: Call,
        live: Gate,
        policy: CallPolicy,
        clock: Callable[[], float],
        rng: random.Random,
        began_at: float | None,
    ) -> None:
        self._call, self._live, self._policy, self._clock, self._rng = call, live, policy, clock, rng
        self._ends_at = (clock() if began_at is None else began_at) + policy.deadline_s
        self._able = _able_targets(call)
        self._records: list[AttemptRecord] = []
        self._tried: set[str] = set()
        self._backoff_s = 0.0
        self._outgrown = 0  # a context window known to be too small for the request
        self.failure: CallError | None = None
        self._kind: FailureClass | None = None

    def begin_first(self) -> tuple[Target, Attempt]:
        """Begin with the best target that may be asked now."""
        if self._left_s() <= 0:
            raise self._out_of_time()
        begun = self._begin(self._able)
        if begun is None:
            raise self._none_available()
        return begun

    def check_may_go_on(self) -> None:
        """Raise where the last failure is the end of the call."""
        if self._left_s() <= 0:
            raise self._out_of_time() from self.failure
        if self._kind == "cancelled" or (self._kind == "request" and not (self.failure and self.failure.too_long)):
            raise self.failed("another model could not do better") from self.failure
        if len(self._records) >= self._policy.max_attempts:
            raise self.failed(f"that is all max_attempts={self._policy.max_attempts} allows") from self.failure

    def begin_next(self) -> _Steps[tuple[Target, Attempt]]:
        """Begin with the next target at once; where only one could ever be asked, with that one again after a pause."""
        self._backoff_s = 0.0
        begun = self._begin(self._untried())
        if begun is None:
            again, self._backoff_s = self._retry()
            yield Pause(seconds=self._backoff_s)
            if self._left_s() <= 0:
                raise self._out_of_time() from self.failure
            begun = self._begin([again])
        if begun is None:
            raise self.failed("it is cooling down") from self.failure
        return begun

    def attempt(self, target: Target, attempt: Attempt) -> _Steps[Completion | None]:
        """Make one attempt; None where it failed and nothing was handed over."""
        answer = _Answer(target, self._clock(), self._backoff_s)
        with attempt:
            outcome = yield self._ask(target)
            if isinstance(outcome, Reply):
                attempt.succeed(output_tokens=outcome.usage.output_tokens)
                answer.add(outcome)
                return self._complete(answer, raw=outcome.raw)
            if isinstance(outcome, Chunk):
                return (yield from self._read(answer, attempt, outcome))
            self._fail(answer, attempt, outcome or CallError("transient", "the stream ended before its first chunk"))
            return None

    def failed(self, why_no_other: str) -> AllAttemptsFailedError:
        """Make the error that ends a call after failures."""
        told = f"{self._told()}; no other attempt is made: {why_no_other}"
        return AllAttemptsFailedError(f"every attempt failed ({told})", self._records)

    def _read(self, answer: _Answer, attempt: Attempt, first: Chunk) -> _Steps[Completion]:
        """Hand over a stream to its end. Once a finish reason has come, nothing can spoil the answer any more."""
        attempt.first_token()
        answer.first_token_s = self._clock() - answer.began_at
        outcome: Outcome = first
        try:
            while isinstance(outcome, Chunk):
                answer.add(outcome)
                left_s = self._left_s()
                out_of_time = CallError("cancelled", f"the deadline of {self._policy.deadline_s:g} s passed")
                outcome = (yield More(within_s=min(self._policy.chunk_s, left_s))) if left_s > 0 else out_of_time
        finally:
            if answer.finish_reason is not None:
                attempt.succeed(output_tokens=answer.usage.output_tokens)
        if answer.finish_reason is not None:
            return self._complete(answer, raw=tuple(answer.raws))
        failure = outcome if isinstance(outcome, CallError) else CallError("transient", "it ended without a finish reason")
        self._fail(answer, attempt, failure)
        message = f"the stream of {answer.target.endpoint} broke after {len(answer.texts)} chunks: {failure}; ask again"
        partial_text = "".join(answer.texts)
        raise StreamInterruptedError(message, partial_text=partial_text, attempts=self._records) from failure

    def _ask(self, target: Target) -> Ask:
        self._tried.add(target.endpoint)
        call, policy, timeout_s = self._call, self._policy, max(self._left_s(), _NO_TIME_S)
        if not call.stream and len(self._records) + 1 < policy.max_attempts and self._untried():
            timeout_s = min(timeout_s, policy.answer_s)
        request = CallRequest(
            model=target.model,
            endpoint=target.endpoint,
            messages=call.messages,
            options=call.options,
            stream=call.stream,
            timeout_s=timeout_s,
            connect_timeout_s=min(policy.connect_s, timeout_s),
            first_token_timeout_s=min(policy.first_token_s, timeout_s),
            chunk_timeout_s=min(policy.chunk_s, timeout_s),
        )
        return Ask(request=request, within_s=request.first_token_timeout_s if call.stream else timeout_s)

    def _begin(self, targets: Iterable[Target]) -> tuple[Target, Attempt] | None:
        """Begin with the first of these that may be asked now."""
        eligibility = self._live.eligible(list(dict.fromkeys(target.endpoint for target in self._able)))
        for target in [target for target in targets if target.endpoint in eligibility.names]:
            attempt = self._live.begin(target.endpoint, ignore_trip=eligibility.panic)
            if attempt is not None:
                return target, attempt
        return None

    def _untried(self) -> list[Target]:
        return [target for target in self._able if target.endpoint not in self._tried and self._has_room(target)]

    def _has_room(self, target: Target) -> bool:
        """Whether a request that was too long elsewhere may fit; where a window is unknown, nothing says that it does."""
        return self._outgrown == 0 or (target.context_window or 0) > self._outgrown

    def _retry(self) -> tuple[Target, float]:
        """Return whom to ask again and in how many seconds: the only one that was asked, none else being there to ask."""
        if len(self._tried) > 1 or self._kind not in ("transient", "rate_limit"):
            raise self.failed("there is nobody else to ask") from self.failure
        again = next(target for target in self._able if target.endpoint in self._tried)
        most_s = min(self._policy.backoff_max_s, self._policy.backoff_s * 2.0 ** (len(self._records) - 1))
        wait_s = self._rng.uniform(0, most_s)
        blocked = self._live.eligible([again.endpoint]).blocked
        if again.endpoint in blocked:
            retry_at = blocked[again.endpoint]
            wait_s = math.inf if retry_at is None else max(wait_s, retry_at - self._clock() + _NO_TIME_S)
        if wait_s >= self._left_s():
            raise self.failed("it may not be asked again before the deadline") from self.failure
        return again, wait_s

    def _fail(self, answer: _Answer, attempt: Attempt, failure: CallError) -> None:
        # Impatience is no fault of the endpoint: it only had what was left of the deadline.
        cut_short = failure.kind == "transient" and failure.status is None and self._left_s() <= 0
        self.failure, self._kind = failure, "cancelled" if cut_short else failure.kind
        attempt.fail(self._kind, retry_after_s=failure.retry_after_s)
        self._record(answer, failure=self._kind, error=str(failure))
        if failure.too_long:
            self._outgrown = max(answer.target.context_window or self._call.tokens, 1)

    def _complete(self, answer: _Answer, *, raw: object) -> Completion:
        record = self._record(answer)
        return Completion(
            text="".join(answer.texts),
            model=record.model,
            endpoint=record.endpoint,
            finish_reason=answer.finish_reason,
            usage=record.usage,
            cost_usd=record.cost_usd,
            attempts=tuple(self._records),
            decision=self._call.decision,
            raw=raw,
        )

    def _record(self, answer: _Answer, *, failure: FailureClass | None = None, error: str = "") -> AttemptRecord:
        record = AttemptRecord(
            model=answer.target.model,
            endpoint=answer.target.endpoint,
            seconds=self._clock() - answer.began_at,
            first_token_s=answer.first_token_s,
            usage=answer.usage,
            cost_usd=cost_of(answer.usage, answer.target),
            failure=failure,
            error=error,
            backoff_s=answer.backoff_s,
        )
        self._records.append(record)
        return record

    def _left_s(self) -> float:
        left_s = self._ends_at - self._clock()
        return left_s if left_s > _NO_TIME_S else 0.0

    def _told(self) -> str:
        return "; ".join(f"{record.endpoint}: {record.error}" for record in self._records)

    def _out_of_time(self) -> DeadlineExceededError:
        message = f"no answer within the deadline of {self._policy.deadline_s:g} s ({self._told()}); allow more time"
        return DeadlineExceededError(message, self._records)

    def _none_available(self) -> NoModelAvailableError:
        blocked = self._live.eligible(list(dict.fromkeys(target.endpoint for target in self._able))).blocked
        known = [at for at in blocked.values() if at is not None]
        retry_at = min(known, default=None)
        when = "" if retry_at is None else f"; the first may be asked again in {max(0.0, retry_at - self._clock()):.1f} s"
        names = ", ".join(target.endpoint for target in self._able)
        return NoModelAvailableError(f"every model that could serve is cooling down ({names}){when}", retry_at=retry_at)


def _able_targets(call: Call) -> list[Target]:
    """Return the targets that can serve the request, in order.

    The tokens are an upper estimate, so where no window holds them the largest ones stay.
    """
    if not call.targets:
        raise InputError("targets must name at least one endpoint, was empty")
    lacking = {target.model: sorted(call.needs - target.capabilities) for target in call.targets}
    capable = [target for target in call.targets if not lacking[target.model]]
    if not capable:
        raise NoCandidateError({model: f"lacks {', '.join(names)}" for model, names in lacking.items()})
    needed = min(call.tokens, max(target.context_window or math.inf for target in capable))
    return [target for target in capable if (target.context_window or math.inf) >= needed]
