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
    ServingError,
    StreamInterruptedError,
)
from router.execution.attempts import AttemptLog, PartialAnswer
from router.execution.deadline import NO_TIME_S, Deadline
from router.execution.policy import CallPolicy
from router.execution.retry_budget import Retry, RetryBudget
from router.execution.steps import Ask, Command, Hold, More, Outcome, Pause, Plan
from router.execution.targets import Gate, Later, TargetChooser
from router.health.live import Attempt
from router.types import FailureClass

# Share of the remaining time that an attempt may take while another endpoint could still be asked.
_SHARE_BEFORE_FALLBACK = 0.75
# Refusals beyond these count as attempts, so that one wrong key for many models does not mean as many requests.
_MOST_REFUSALS = 10
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
    held: list[Chunk] | None = None,
) -> Plan:
    """Yield the steps of a call and return its completion.

    The plan does no I/O and asks only the live state, so that one set of rules serves all drivers. It can be closed at any
    point. The attempt in flight is then reported as cancelled, or as a success if its answer was complete.

    Args:
        call: The request and its targets.
        live: Decides which endpoints are available now. Every attempt is reported to it exactly once.
        budget: Limit of the retries in flight, shared by all calls.
        policy: Time limits and numbers of attempts.
        clock: Seconds that never go back. It must be the clock of the live state.
        rng: Source of the random pauses.
        began_at: Start of the deadline, by the clock. None: the first step.
        held: Gets the chunks of a stream instead of the caller. A stream that breaks is then a failed attempt. None: the
            caller gets them.

    Raises:
        InputError: If there is no target.
        NoCandidateError: If no target is able to serve the request. It names the reasons.
        NoModelAvailableError: If all able targets are cooling down beyond the deadline.
        AllAttemptsFailedError: If every attempt that the policy allows failed.
        DeadlineExceededError: If the deadline passed.
        StreamInterruptedError: If a stream broke after its first chunk was given to the caller.
    """
    run = _Run(call, live=live, budget=budget, policy=policy, clock=clock, rng=rng, began_at=began_at, held=held)
    with budget.call():
        completion = yield from run.attempt()
        while completion is None:
            run.check_may_continue()
            completion = yield from run.attempt()
        return completion


class _Run:
    """One call in progress."""

    def __init__(
        self,
        call: Call,
        *,
        live: Gate,
        budget: RetryBudget,
        policy: CallPolicy,
        clock: Callable[[], float],
        rng: random.Random,
        began_at: float | None,
        held: list[Chunk] | None,
    ) -> None:
        self._held = held
        self._call, self._budget, self._policy, self._clock, self._rng = call, budget, policy, clock, rng
        self._deadline = Deadline(policy.deadline_s, began_at, clock)
        self._chooser = TargetChooser(call, live)
        self._log = AttemptLog(call.decision, clock)
        self._failure: CallError | None = None
        self._kind: FailureClass | None = None
        self._waited_s = 0.0
        self._retries = self._refusals = 0
        self._retry: Retry | None = None

    @property
    def _attempts(self) -> int:
        """Number of attempts so far that count."""
        return len(self._log.records) - self._refusals

    def check_may_continue(self) -> None:
        """Raise the error that ends the call, unless another attempt is allowed after the last failure."""
        if self._deadline.left_s() <= 0:
            raise self._out_of_time() from self._failure
        # A request that is too long for one model may fit into another one. Any other faulty request fails everywhere.
        if self._kind == "cancelled" or (self._kind == "request" and not (self._failure and self._failure.too_long)):
            raise self._make_error("another model would fail too") from self._failure
        if self._attempts >= self._policy.max_attempts:
            raise self._make_error(f"max_attempts={self._policy.max_attempts} is reached") from self._failure

    def attempt(self) -> _Steps[Completion | None]:
        """Make one attempt, at the best endpoint that is available. Return None if it failed and nothing was given away."""
        try:
            target, attempt = yield from self._begin()
            request = self._make_request(target)
            answer = PartialAnswer(target, self._clock(), self._waited_s, request.changes)
            with attempt:
                within_s = request.first_token_timeout_s if request.stream else request.timeout_s
                outcome = yield Ask(request=request, within_s=within_s)
                if isinstance(outcome, Reply):
                    return self._finish(answer, attempt, outcome)
                if isinstance(outcome, Chunk):
                    self._release_retry()
                    return (yield from self._read_stream(answer, attempt, outcome))
                failure = outcome if isinstance(outcome, CallError) else None
                self._fail(answer, attempt, failure or CallError("transient", "the stream ended before its first chunk"))
                return None
        finally:
            self._release_retry()

    def _begin(self) -> _Steps[tuple[CallTarget, Attempt]]:
        """Begin an attempt: at an untried endpoint if one is available, else at one that failed before, or wait for one."""
        self._waited_s = 0.0
        self._chooser.last = self._attempts + 1 >= self._policy.max_attempts
        if self._deadline.left_s() <= 0:
            raise self._out_of_time()
        while (begun := self._chooser.begin(self._chooser.untried())) is None:
            later, wait_s = self._choose_later()
            yield Pause(seconds=wait_s)
            self._waited_s += wait_s
            if self._deadline.left_s() <= 0:
                raise self._out_of_time() from self._failure
            # During the pause an endpoint that was never asked may have become free. It comes before a retry.
            begun = self._chooser.begin(self._chooser.untried())
            if begun is None and later.failures:
                begun = self._begin_retry(later)
            if begun is not None:
                break
        return begun

    def _choose_later(self) -> tuple[Later, float]:
        """Return the endpoint to ask after a pause, and the seconds of the pause."""
        policy, left_s, now = self._policy, self._deadline.left_s(), self._clock()
        # Full jitter: the pause is drawn from the whole range, which spreads the retries of many callers.
        backoff_s = self._rng.uniform(0, min(policy.backoff_max_s, policy.backoff_s * 2.0**self._retries))
        waits = []
        for later in self._chooser.find_later():
            # Nobody knows when another call's probe ends, so the plan looks again after a while.
            wait_s = policy.backoff_s if later.at is None else max(0.0, later.at - now + NO_TIME_S)
            waits.append((later, max(wait_s, backoff_s) if later.failures else wait_s))
        if not waits:
            raise self._none_left("there is no other endpoint")
        most_s = left_s if policy.cooling_s is None else min(left_s, policy.cooling_s)
        in_time = [pair for pair in waits if pair[1] < most_s]
        if not in_time:
            raise self._none_left("no endpoint is available again in time")
        if all(later.at != -math.inf for later, _ in waits):
            # All cool down: wait for the first that returns. One that has had its share of the attempts comes last.
            share = math.ceil(policy.max_attempts / len(self._chooser.names))
            return min(in_time, key=lambda pair: (pair[0].failures >= share, pair[1]))
        # Of the endpoints that failed, only the best is asked again. Otherwise the others would use up its attempts while it
        # rests, and a call could fail that the best alone would have answered.
        tried = [pair for pair in in_time if pair[0].failures]
        untried = [pair for pair in in_time if not pair[0].failures]
        return min([*tried[:1], *untried], key=lambda pair: pair[1])

    def _begin_retry(self, later: Later) -> tuple[CallTarget, Attempt] | None:
        """Begin another attempt at an endpoint that failed in this call. None if other calls have blocked it again."""
        # After a rate limit the server itself has said when to come back. That is no retry of a failing endpoint.
        if later.kind != "rate_limit":
            self._retry = self._budget.take()
            if self._retry is None:
                raise self._make_error("too many retries are in flight") from self._failure
        begun = self._chooser.begin([later.target])
        if begun is not None:
            self._retries += 1
            return begun
        self._release_retry()
        if later.target.name not in self._chooser.find_blocked():
            raise self._make_error("the user's own rate limit is reached") from self._failure
        return None

    def _release_retry(self) -> None:
        # An open stream is no retry any more: the endpoint works.
        if self._retry is not None:
            self._retry.release()

    def _finish(self, answer: PartialAnswer, attempt: Attempt, reply: Reply) -> Completion | None:
        """Return the completion. None if the caller does not accept the reply."""
        attempt.succeed(output_tokens=reply.usage.output_tokens)
        answer.add(reply)
        if self._call.accept is None or self._call.accept(reply):
            return self._log.complete(answer, raw=reply.raw)
        # The endpoint did its work, so its health does not suffer, but the attempt is paid and counts.
        self._failure = CallError("rejected", "the answer was not accepted")
        self._kind = self._failure.kind
        self._chooser.fail(answer.target, self._kind, self._failure)
        self._log.add_failure(answer, self._kind, str(self._failure))
        return None

    def _read_stream(self, answer: PartialAnswer, attempt: Attempt, first: Chunk) -> _Steps[Completion | None]:
        """Read a stream to its end, and give it to the caller unless it is held. Return None if a held one broke."""
        step = More if self._held is None else Hold
        attempt.first_token()
        answer.first_token_s = self._clock() - answer.began_at
        outcome: Outcome = first
        try:
            while isinstance(outcome, Chunk):
                answer.add(outcome)
                left_s = self._deadline.left_s()
                out_of_time = CallError("cancelled", f"the deadline of {self._policy.deadline_s:g} s passed")
                if self._held is not None:
                    self._held.append(outcome)
                outcome = (yield step(within_s=min(self._policy.chunk_s, left_s))) if left_s > 0 else out_of_time
        finally:
            # After the finish reason the answer is complete, even if the caller leaves or the connection breaks.
            if answer.finish_reason is not None:
                attempt.succeed(output_tokens=answer.usage.output_tokens)
        if answer.finish_reason is not None:
            return self._log.complete(answer, raw=tuple(answer.raws))
        unfinished = CallError("transient", "the stream ended without a finish reason")
        failure = outcome if isinstance(outcome, CallError) else unfinished
        self._fail(answer, attempt, failure)
        if self._held is not None:
            self._held.clear()
            return None
        # No fallback here: the caller already has a part of this answer.
        message = f"the stream of {answer.target.name} broke after {len(answer.texts)} chunks: {failure}; ask again"
        raise StreamInterruptedError(message, partial_text=answer.text, attempts=self._log.records) from failure

    def _make_request(self, target: CallTarget) -> CallRequest:
        call, policy = self._call, self._policy
        timeout_s = first_s = max(self._deadline.left_s(), NO_TIME_S)
        # Leave time for a fallback, if there is one and the policy allows it. Otherwise a model that hangs would use up the
        # deadline, and as that is not counted as its failure, it would be asked again next time.
        if not self._chooser.last and self._chooser.untried():
            first_s = _SHARE_BEFORE_FALLBACK * timeout_s
            timeout_s = timeout_s if call.stream else min(first_s, policy.answer_s)
        return CallRequest(
            model=target.base or target.model,
            endpoint=target.endpoint,
            variant=target.model if target.request else "",
            messages=call.messages,
            options={**target.request, **call.options} if target.request else call.options,
            stream=call.stream,
            timeout_s=timeout_s,
            connect_timeout_s=min(policy.connect_s, timeout_s),
            first_token_timeout_s=min(policy.first_token_s, first_s),
            chunk_timeout_s=min(policy.chunk_s, timeout_s),
        )

    def _fail(self, answer: PartialAnswer, attempt: Attempt, failure: CallError) -> None:
        # A timeout at the deadline is not the endpoint's failure: it had only the rest of the time.
        cut_short = failure.kind == "transient" and failure.status is None and self._deadline.left_s() <= 0
        self._failure, self._kind = failure, "cancelled" if cut_short else failure.kind
        attempt.fail(self._kind, retry_after_s=failure.retry_after_s, context_limit=failure.context_limit)
        self._log.add_failure(answer, self._kind, str(failure))
        self._chooser.fail(answer.target, self._kind, failure)
        # A refusal does no work and is not asked for again, so it leaves room for a model that can answer.
        if self._kind in ("auth", "unable") and self._refusals < _MOST_REFUSALS:
            self._refusals += 1

    def _make_error(self, why_no_other: str) -> AllAttemptsFailedError:
        """Return the error that ends a call after failures."""
        details = f"{self._log.describe()}; no other attempt is made: {why_no_other}"
        return AllAttemptsFailedError(f"every attempt failed ({details})", self._log.records, failure=self._failure)

    def _none_left(self, why_no_other: str) -> ServingError:
        """Return the error that ends a call if no endpoint is left to ask or to wait for."""
        if self._log.records:
            error: ServingError = self._make_error(why_no_other)
            error.__cause__ = self._failure
            return error
        known = [at for at in self._chooser.find_blocked().values() if at is not None]
        retry_at = min(known, default=None)
        when = "" if retry_at is None else f"; the first is available again in {max(0.0, retry_at - self._clock()):.1f} s"
        message = f"every endpoint that could serve the call is cooling down ({', '.join(self._chooser.names)}){when}"
        return NoModelAvailableError(message, retry_at=retry_at)

    def _out_of_time(self) -> DeadlineExceededError:
        attempts = self._log.describe() or "no endpoint was available"
        message = f"no answer within the deadline of {self._policy.deadline_s:g} s ({attempts}); allow more time"
        return DeadlineExceededError(message, self._log.records)
