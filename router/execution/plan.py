"""All rules of a call as one pure generator: which endpoint to ask next, how long to wait and when to give up."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator
from typing import TypeVar

from router.calls import Call, CallRequest, CallTarget, Chunk, Completion, Reply
from router.errors import (
    AllAttemptsFailedError,
    CallError,
    DeadlineExceededError,
    NoModelAvailableError,
    StreamInterruptedError,
)
from router.execution.attempts import AttemptLog, PartialAnswer
from router.execution.deadline import NO_TIME_S, Deadline
from router.execution.policy import CallPolicy
from router.execution.retry_budget import RetryBudget
from router.execution.steps import Ask, Command, More, Outcome, Pause, Plan
from router.execution.targets import Gate, TargetChooser
from router.health.live import Attempt
from router.types import FailureClass

_T = TypeVar("_T")
_Steps = Generator[Command, Outcome, _T]


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
    """Yield the steps of a call and return its completion.

    The plan does no I/O and asks only the live state, so that one set of rules serves all drivers. It can be closed at any
    point. The attempt in flight is then reported as cancelled, or as a success if its answer was complete.

    Args:
        call: The request and its targets.
        live: Decides which endpoints are available now. Every attempt is reported to it exactly once.
        budget: Limit of the extra attempts in flight, shared by all calls.
        policy: Time limits and numbers of attempts.
        clock: Seconds that never go back. It must be the clock of the live state.
        rng: Source of the random pauses.
        began_at: Start of the deadline, by the clock. None: the first step.

    Raises:
        InputError: If there is no target.
        NoCandidateError: If no target is able to serve the request. It names the reasons.
        NoModelAvailableError: If all able targets are cooling down.
        AllAttemptsFailedError: If every attempt that the policy allows failed.
        DeadlineExceededError: If the deadline passed.
        StreamInterruptedError: If a stream broke after its first chunk was given to the caller.
    """
    run = _Run(call, live, policy, clock, rng, began_at)
    with budget.call():
        completion = yield from run.attempt(*run.begin_first())
        while completion is None:
            run.check_may_continue()
            with budget.extra_attempt() as granted:
                if not granted:
                    raise run.make_error("too many extra attempts are in flight") from run.failure
                completion = yield from run.attempt(*(yield from run.begin_next()))
        return completion


class _Run:
    """One call in progress.

    Attributes:
        failure: Failure of the last attempt. None before the first failure.
    """

    def __init__(
        self,
        call: Call,
        live: Gate,
        policy: CallPolicy,
        clock: Callable[[], float],
        rng: random.Random,
        began_at: float | None,
    ) -> None:
        self._call, self._policy, self._clock, self._rng = call, policy, clock, rng
        self._deadline = Deadline(policy.deadline_s, began_at, clock)
        self._chooser = TargetChooser(call, live)
        self._log = AttemptLog(call.decision, clock)
        self._backoff_s = 0.0
        self.failure: CallError | None = None
        self._kind: FailureClass | None = None

    def begin_first(self) -> tuple[CallTarget, Attempt]:
        """Begin an attempt at the best target that is available now."""
        if self._deadline.left_s() <= 0:
            raise self._out_of_time()
        begun = self._chooser.begin()
        if begun is None:
            raise self._none_available()
        return begun

    def check_may_continue(self) -> None:
        """Raise the error that ends the call, unless another attempt is allowed after the last failure."""
        if self._deadline.left_s() <= 0:
            raise self._out_of_time() from self.failure
        # A request that is too long for one model may fit into another one. Any other faulty request fails everywhere.
        if self._kind == "cancelled" or (self._kind == "request" and not (self.failure and self.failure.too_long)):
            raise self.make_error("another model would fail too") from self.failure
        if len(self._log.records) >= self._policy.max_attempts:
            raise self.make_error(f"max_attempts={self._policy.max_attempts} is reached") from self.failure

    def begin_next(self) -> _Steps[tuple[CallTarget, Attempt]]:
        """Begin an attempt at the next target at once. If there is only one target, begin it again after a pause."""
        self._backoff_s = 0.0
        begun = self._chooser.begin(self._chooser.untried())
        if begun is None:
            again, self._backoff_s = self._choose_retry()
            yield Pause(seconds=self._backoff_s)
            if self._deadline.left_s() <= 0:
                raise self._out_of_time() from self.failure
            begun = self._chooser.begin([again])
        if begun is None:
            raise self.make_error("the endpoint is cooling down") from self.failure
        return begun

    def attempt(self, target: CallTarget, attempt: Attempt) -> _Steps[Completion | None]:
        """Make one attempt. Return None if it failed before the caller received anything."""
        answer = PartialAnswer(target, self._clock(), self._backoff_s)
        with attempt:
            outcome = yield self._make_ask(target)
            if isinstance(outcome, Reply):
                attempt.succeed(output_tokens=outcome.usage.output_tokens)
                answer.add(outcome)
                return self._log.complete(answer, raw=outcome.raw)
            if isinstance(outcome, Chunk):
                return (yield from self._read_stream(answer, attempt, outcome))
            self._fail(answer, attempt, outcome or CallError("transient", "the stream ended before its first chunk"))
            return None

    def make_error(self, why_no_other: str) -> AllAttemptsFailedError:
        """Return the error that ends a call after failures."""
        details = f"{self._log.describe()}; no other attempt is made: {why_no_other}"
        return AllAttemptsFailedError(f"every attempt failed ({details})", self._log.records)

    def _read_stream(self, answer: PartialAnswer, attempt: Attempt, first: Chunk) -> _Steps[Completion]:
        """Give a stream to the caller up to its end."""
        attempt.first_token()
        answer.first_token_s = self._clock() - answer.began_at
        outcome: Outcome = first
        try:
            while isinstance(outcome, Chunk):
                answer.add(outcome)
                left_s = self._deadline.left_s()
                out_of_time = CallError("cancelled", f"the deadline of {self._policy.deadline_s:g} s passed")
                outcome = (yield More(within_s=min(self._policy.chunk_s, left_s))) if left_s > 0 else out_of_time
        finally:
            # After the finish reason the answer is complete, even if the caller leaves or the connection breaks.
            if answer.finish_reason is not None:
                attempt.succeed(output_tokens=answer.usage.output_tokens)
        if answer.finish_reason is not None:
            return self._log.complete(answer, raw=tuple(answer.raws))
        failure = (
            outcome if isinstance(outcome, CallError) else CallError("transient", "the stream ended without a finish reason")
        )
        self._fail(answer, attempt, failure)
        # No fallback here: the caller already has a part of this answer.
        message = f"the stream of {answer.target.endpoint} broke after {len(answer.texts)} chunks: {failure}; ask again"
        raise StreamInterruptedError(message, partial_text=answer.text, attempts=self._log.records) from failure

    def _make_ask(self, target: CallTarget) -> Ask:
        call, policy = self._call, self._policy
        timeout_s = max(self._deadline.left_s(), NO_TIME_S)
        # Leave time for a fallback, if there is one and the policy allows it.
        if not call.stream and len(self._log.records) + 1 < policy.max_attempts and self._chooser.untried():
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

    def _choose_retry(self) -> tuple[CallTarget, float]:
        """Return the only target that was asked, as there is no other one, and the seconds to wait before it."""
        if len(self._chooser.tried) > 1 or self._kind not in ("transient", "rate_limit"):
            raise self.make_error("there is no other endpoint") from self.failure
        again = self._chooser.first_tried()
        # Full jitter: the pause is drawn from the whole range, which spreads the retries of many callers.
        most_s = min(self._policy.backoff_max_s, self._policy.backoff_s * 2.0 ** (len(self._log.records) - 1))
        wait_s = self._rng.uniform(0, most_s)
        blocked = self._chooser.find_blocked([again.endpoint])
        if again.endpoint in blocked:
            retry_at = blocked[again.endpoint]
            wait_s = math.inf if retry_at is None else max(wait_s, retry_at - self._clock() + NO_TIME_S)
        if wait_s >= self._deadline.left_s():
            raise self.make_error("the endpoint is not available again before the deadline") from self.failure
        return again, wait_s

    def _fail(self, answer: PartialAnswer, attempt: Attempt, failure: CallError) -> None:
        # A timeout at the deadline is not the endpoint's failure: it had only the rest of the time.
        cut_short = failure.kind == "transient" and failure.status is None and self._deadline.left_s() <= 0
        self.failure, self._kind = failure, "cancelled" if cut_short else failure.kind
        attempt.fail(self._kind, retry_after_s=failure.retry_after_s)
        self._log.add_failure(answer, self._kind, str(failure))
        if failure.too_long:
            self._chooser.exclude_smaller(answer.target)

    def _out_of_time(self) -> DeadlineExceededError:
        attempts = self._log.describe()
        message = f"no answer within the deadline of {self._policy.deadline_s:g} s ({attempts}); allow more time"
        return DeadlineExceededError(message, self._log.records)

    def _none_available(self) -> NoModelAvailableError:
        endpoints = self._chooser.endpoints
        known = [at for at in self._chooser.find_blocked(endpoints).values() if at is not None]
        retry_at = min(known, default=None)
        when = "" if retry_at is None else f"; the first is available again in {max(0.0, retry_at - self._clock()):.1f} s"
        message = f"every endpoint that could serve the call is cooling down ({', '.join(endpoints)}){when}"
        return NoModelAvailableError(message, retry_at=retry_at)
