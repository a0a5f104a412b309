"""Take the plan of a call and return the same plan, which also counts its tokens and its cost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from router.calls import AttemptRecord, Completion
from router.errors import BudgetExceededError, NoModelAvailableError, ServingError
from router.execution.limits import RateLimiter, SpendTracker
from router.health.live import Attempt, Eligibility, LiveState

if TYPE_CHECKING:
    from router.execution.steps import Plan
    from router.state.limits import SharedRateLimiter, SharedSpendTracker


class RateLimitedGate:
    """The live state for one call. It also skips an endpoint if the rate limit of its model is reached.

    Args:
        live: Live state of all endpoints.
        limiter: Counts requests and tokens. None: no limits.
        models: Model of each endpoint.
        tokens: Estimated tokens of prompt and answer together.

    Attributes:
        refused: Models that were skipped because of their limit.
    """

    def __init__(
        self,
        live: LiveState,
        limiter: RateLimiter | SharedRateLimiter | None,
        models: Mapping[str, str],
        tokens: int,
    ) -> None:
        self._live, self._limiter, self._models, self._tokens = live, limiter, models, tokens
        self.refused: set[str] = set()

    def eligible(self, names: Sequence[str], *, failed: Collection[str] = ()) -> Eligibility:
        """Return which of these endpoints are available now. See `LiveState.eligible`."""
        return self._live.eligible(names, failed=failed)

    def begin(self, name: str, *, ignore_trip: bool = False) -> Attempt | None:
        """Count a request as in flight and against the limits. None if the endpoint or a limit does not allow it."""
        # The live state comes first: a request that its breaker blocks must not use up the limit.
        attempt = self._live.begin(name, ignore_trip=ignore_trip)
        if attempt is None or self._limiter is None or self._limiter.admit(self._models[name], tokens=self._tokens):
            return attempt
        # No request was sent, and `cancelled` counts neither for nor against the endpoint.
        attempt.fail("cancelled")
        self.refused.add(self._models[name])
        return None

    def correct(self, model: str, used: int) -> None:
        """Count the tokens that an answer used beyond the estimate.

        Args:
            model: Model that answered.
            used: Tokens of prompt and answer together.
        """
        if self._limiter is not None:
            self._limiter.correct(model, more_tokens=used - self._tokens)


def account(
    plan: Plan,
    gate: RateLimitedGate,
    spend_tracker: SpendTracker | SharedSpendTracker | None,
    expected_usd: float,
    learn: Callable[[Completion], None],
) -> Plan:
    """Run a plan and count its tokens and its cost, however it ends.

    Args:
        plan: Plan of the call.
        gate: The gate that the plan uses.
        spend_tracker: Settles the reserved cost of the call. None: no spending cap.
        expected_usd: The reserved cost.
        learn: Called with the completion of a successful call.

    Raises:
        ServingError: As the plan raises it. A `BudgetExceededError` replaces a `NoModelAvailableError` if limits per minute
            contributed to it.
    """
    # If the caller leaves before the end, the cost is unknown. It counts as expected.
    spent_usd = expected_usd
    try:
        completion = yield from plan
        spent_usd = _sum_cost(completion.attempts, expected_usd)
        gate.correct(completion.model, sum(filter(None, (completion.usage.input_tokens, completion.usage.output_tokens))))
        learn(completion)
        return completion
    except ServingError as error:
        spent_usd = _sum_cost(error.attempts, expected_usd)
        if gate.refused:
            # The plan only sees endpoints that are not available. The gate knows that the user's own limits are the reason.
            reached = f"the limits per minute of {', '.join(sorted(gate.refused))} are reached; wait or raise them"
            if isinstance(error, NoModelAvailableError):
                raise BudgetExceededError(reached) from error
            error.args = (f"{error}; {reached}",)
        raise
    finally:
        if spend_tracker is not None:
            spend_tracker.settle(expected_usd, spent_usd)


def _sum_cost(attempts: Sequence[AttemptRecord], expected_usd: float) -> float:
    """Return the USD that attempts cost. With an unknown cost, an answer counts as expected and a failure as free."""
    # An answer that the caller rejected is paid like any other.
    unknown_usd = [expected_usd if attempt.failure in (None, "rejected") else 0.0 for attempt in attempts]
    return sum(usd if a.cost_usd is None else a.cost_usd for a, usd in zip(attempts, unknown_usd, strict=True))
