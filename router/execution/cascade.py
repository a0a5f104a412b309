"""A call to the models of a cascade in, its steps out: each next model is asked if the answer before is not accepted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from router.calls import AttemptRecord, Call, CallTarget, Chunk, Completion, Messages
from router.cascade import Cascade, TokenProbability
from router.errors import NoCandidateError, ServingError, StreamInterruptedError
from router.execution.deadline import Deadline
from router.execution.steps import Command, Give, Outcome, Plan
from router.execution.verify import Verdict, verify

_T = TypeVar("_T")
_Steps = Generator[Command, Outcome, _T]


@dataclass(slots=True)
class _Answer:
    """An answer that may be given to the caller, and the chunks that it came in. Empty if it was no stream."""

    completion: Completion
    chunks: list[Chunk]


class CascadePlan:
    """Plans one call to the models of a cascade.

    Each step is a call with its own attempts and fallbacks, within one deadline. If a fallback answers, its place in the
    cascade counts. An answer of the last model, or of one outside the cascade, is not checked. A stream is held until its
    answer is accepted. If the next model cannot answer, the answer before is returned, although it was not accepted.

    Args:
        call: The request. Its targets begin with those of the cascade.
        models: The models of the cascade in order.
        options: How answers are checked.
        checkers: Endpoints of the verifier's model.
        start: Plans a call: `plan_call` with everything but the call and `held`.
        reserve: Reserves the expected cost of a further model. It returns whether the budget allows it.
        deadline: The deadline of the call.
    """

    def __init__(
        self,
        call: Call,
        models: Sequence[str],
        options: Cascade,
        *,
        checkers: Sequence[CallTarget],
        start: Callable[..., Plan],
        reserve: Callable[[str], bool],
        deadline: Deadline,
    ) -> None:
        self._call, self._models, self._options = call, list(models), options
        self._checkers, self._start, self._reserve, self._deadline = checkers, start, reserve, deadline
        self._records: list[AttemptRecord] = []
        self._reasons: list[str] = []

    def run(self) -> Plan:
        """Yield the steps of the call and return its completion.

        Raises:
            ServingError: As `plan_call`, if the first model and its fallbacks give no answer, or if the stream of the last
                model breaks after its first chunk.
        """
        answer = yield from self._ask(0)
        while (place := self._find_place(answer.completion)) is not None:
            verdict = yield from self._check(answer.completion)
            self._records += verdict.attempts
            accepted = "is accepted" if verdict.accepted else "is not accepted"
            self._reasons.append(f"the answer of {answer.completion.model} {accepted}: {verdict.why}")
            if verdict.accepted:
                break
            following = yield from self._continue(answer, place + 1)
            if following is None:
                break
            answer = following
        for chunk in answer.chunks:
            yield Give(chunk=chunk)
        return replace(answer.completion, attempts=tuple(self._records), reasons=tuple(self._reasons))

    def _find_place(self, completion: Completion) -> int | None:
        """Return the place of the model that answered. None if its answer is final."""
        unchecked = self._models[:-1]
        return unchecked.index(completion.model) if completion.model in unchecked else None

    def _ask(self, place: int) -> _Steps[_Answer]:
        """Ask the model at a place, and the models after it if it fails."""
        is_last = place == len(self._models) - 1
        asked = set(self._models[:place])
        targets = [target for target in self._call.targets if target.model not in asked]
        options = self._call.options
        if not is_last and isinstance(self._options.verifier, TokenProbability):
            options = {**options, "logprobs": True}
        chunks: list[Chunk] = []
        completion = yield from self._plan(
            replace(self._call, targets=targets, options=options), None if is_last else chunks
        )
        self._records += completion.attempts
        return _Answer(completion, chunks)

    def _continue(self, answer: _Answer, place: int) -> _Steps[_Answer | None]:
        """Ask the next model. Return None if it cannot answer, and say so."""
        self._mark_rejected(answer.completion)
        model = self._models[place]
        score = self._call.decision.scores.get(model)
        expected_s = (score.latency_s if score is not None else None) or 0.0
        left_s = self._deadline.left_s()
        if left_s <= expected_s:
            self._reasons.append(
                self._explain_return(answer, f"{left_s:.3g} s are left and {model} needs {expected_s:.3g} s")
            )
            return None
        if not self._reserve(model):
            self._reasons.append(self._explain_return(answer, f"the budget does not allow {model}"))
            return None
        try:
            return (yield from self._ask(place))
        except StreamInterruptedError as error:
            # The caller has seen a part of the next answer, so the one before cannot take its place.
            error.attempts = (*self._records, *error.attempts)
            raise
        except (ServingError, NoCandidateError) as error:
            self._records += getattr(error, "attempts", ())
            self._reasons.append(self._explain_return(answer, f"{model} gave no answer ({type(error).__name__})"))
            return None

    def _explain_return(self, answer: _Answer, why: str) -> str:
        return f"the answer of {answer.completion.model} is returned all the same: {why}"

    def _mark_rejected(self, completion: Completion) -> None:
        """Record that an answer was not accepted."""
        rejected = completion.attempts[-1]
        place = next(at for at, record in enumerate(self._records) if record is rejected)
        self._records[place] = replace(rejected, failure="rejected", error="the answer was not accepted")

    def _check(self, completion: Completion) -> _Steps[Verdict]:
        return verify(
            completion,
            self._options.verifier,
            self._call.messages,
            ask=self._plan_check,
            within_s=self._deadline.left_s(),
        )

    def _plan_check(self, messages: Messages | None, request: Mapping[str, object]) -> Plan:
        """Plan a call to the verifier's model."""
        call = replace(self._call, targets=self._checkers, accept=None)
        if messages is not None:
            call = replace(call, messages=messages, options=request, stream=False, needs=frozenset(), tokens=0)
        # The caller must not see the chunks of a second opinion.
        return self._plan(call, [])

    def _plan(self, call: Call, held: list[Chunk] | None) -> Plan:
        return self._start(call, held=held if call.stream else None)
