"""Take the parts of answers and the failures of a call and return its attempt records and its completion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from router.calls import AttemptRecord, CallTarget, Chunk, Completion, Reply, Usage, cost_of
from router.decision import RoutingDecision
from router.types import FailureClass


@dataclass(slots=True)
class PartialAnswer:
    """Everything that one attempt has produced so far.

    Attributes:
        target: The endpoint that was asked.
        began_at: Time of the request, by the clock of the call.
        backoff_s: Pause before the request, in seconds.
        changes: Changes that the executor makes to the request. It appends to them while the attempt runs.
        texts: Text of each part.
        raws: Each part as the executor received it.
        logprobs: Log-probability of each token.
        usage: Usage in the last part that had one.
        finish_reason: Why the answer ended. None before its end.
        first_token_s: Seconds from the request to the first chunk. None if the answer is not streamed.
    """

    target: CallTarget
    began_at: float
    backoff_s: float
    changes: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    raws: list[object] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    finish_reason: str | None = None
    first_token_s: float | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.texts)

    def add(self, part: Reply | Chunk) -> None:
        """Append a chunk, or a whole reply."""
        self.texts.append(part.text)
        self.raws.append(part.raw)
        self.logprobs += part.logprobs
        # Servers may send the usage after the finish reason, in a chunk of its own.
        self.usage = part.usage or self.usage
        self.finish_reason = part.finish_reason or self.finish_reason


class AttemptLog:
    """The attempts of one call, in order.

    Args:
        decision: Decision that ranked the models.
        clock: Seconds that never go back.

    Attributes:
        records: One record per attempt that has ended.
    """

    def __init__(self, decision: RoutingDecision, clock: Callable[[], float]) -> None:
        self.records: list[AttemptRecord] = []
        self._decision, self._clock = decision, clock

    def describe(self) -> str:
        """Return each endpoint with its error."""
        return "; ".join(f"{record.endpoint}: {record.error}" for record in self.records)

    def complete(self, answer: PartialAnswer, *, raw: object) -> Completion:
        """Record a successful attempt and return the completion of the call.

        Args:
            answer: The whole answer.
            raw: The response as the executor received it.
        """
        record = self._add(answer, failure=None, error="")
        return Completion(
            text=answer.text,
            model=record.model,
            endpoint=record.endpoint,
            finish_reason=answer.finish_reason,
            usage=record.usage,
            cost_usd=record.cost_usd,
            attempts=tuple(self.records),
            decision=self._decision,
            raw=raw,
            logprobs=tuple(answer.logprobs),
        )

    def add_failure(self, answer: PartialAnswer, failure: FailureClass, error: str) -> None:
        """Record a failed attempt.

        Args:
            answer: Everything that came before the failure.
            failure: Class of the failure.
            error: Kind of the error and its status, without prompt or key.
        """
        self._add(answer, failure=failure, error=error)

    def _add(self, answer: PartialAnswer, *, failure: FailureClass | None, error: str) -> AttemptRecord:
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
            changes=tuple(answer.changes),
        )
        self.records.append(record)
        return record
