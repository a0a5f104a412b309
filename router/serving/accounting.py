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


class Reservation:
    """The part of the spending cap that one call holds until its cost is known.

    Args:
        spend_tracker: Keeps the cap. None: there is none.
        costs: Expected cost of each model in USD.
        model: Model whose cost is reserved already.
    """

    def __init__(
        self, spend_tracker: SpendTracker | SharedSpendTracker | None, costs: Mapping[str, float], model: str
    ) -> None:
        self._tracker, self._costs = spend_tracker, costs
        self._reserved_usd = self._default_usd = costs.get(model, 0.0)

    def add(self, model: str) -> bool:
        """Reserve the cost of one more model. Return whether the cap allows it."""
        usd = self._costs.get(model, 0.0)
        if self._tracker is not None and not self._tracker.reserve(usd):
            return False
        self._reserved_usd += usd
        return True

    def settle(self, attempts: Sequence[AttemptRecord] | None) -> None:
        """Replace what is reserved by what attempts cost. None: nobody knows, so it costs what was expected.

        An answer with an unknown cost counts as expected, and a failure as free.
        """
        if self._tracker is not None:
            spent_usd = self._reserved_usd if attempts is None else sum(map(self._price, attempts))
            self._tracker.settle(self._reserved_usd, spent_usd)

    def _price(self, attempt: AttemptRecord) -> float:
        if attempt.cost_usd is not None:
            return attempt.cost_usd
        # An answer that was not accepted is paid like any other.
        return self._costs.get(attempt.model, self._default_usd) if attempt.failure in (None, "rejected") else 0.0


def account(plan: Plan, gate: RateLimitedGate, reservation: Reservation, learn: Callable[[Completion], None]) -> Plan:
    """Run a plan and count its tokens and its cost, however it ends.

    Args:
        plan: Plan of the call.
        gate: The gate that the plan uses.
        reservation: The reserved cost of the call.
        learn: Called with the completion of a successful call.

    Raises:
        ServingError: As the plan raises it. A `BudgetExceededError` replaces a `NoModelAvailableError` if limits per minute
            contributed to it.
    """
    # If the caller leaves before the end, the cost is unknown.
    attempts: Sequence[AttemptRecord] | None = None
    try:
        completion = yield from plan
        attempts = completion.attempts
        gate.correct(completion.model, sum(filter(None, (completion.usage.input_tokens, completion.usage.output_tokens))))
        learn(completion)
        return completion
    except ServingError as error:
        attempts = error.attempts
        if gate.refused:
            # The plan only sees endpoints that are not available. The gate knows that the user's own limits are the reason.
            reached = f"the limits per minute of {', '.join(sorted(gate.refused))} are reached; wait or raise them"
            if isinstance(error, NoModelAvailableError):
                raise BudgetExceededError(reached) from error
            error.args = (f"{error}; {reached}",)
        raise
    finally:
        reservation.settle(attempts)
