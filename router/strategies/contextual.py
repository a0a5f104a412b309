"""By the prompt: the model with the highest utility, or the cheapest that is good enough."""

import math

from router.types import ModelScore, RoutingContext


def contextual(context: RoutingContext) -> list[str]:
    """Rank by utility; with a `quality_floor`, those that reach it come first, cheapest first, the others by quality.

    Ties go to the cheaper model, then to the artifact's order.
    """
    scores = [context.scores[name] for name in context.candidates]
    if context.preference.quality_floor is None:
        return [score.model for score in sorted(scores, key=lambda score: (-score.utility, _cost(score)))]
    needed = needed_quality(context)
    return [score.model for score in sorted(scores, key=lambda score: _order_under_floor(score, needed))]


def needed_quality(context: RoutingContext) -> float:
    """Return the quality in [0, 1] that the caller's floor asks of a candidate; 0 where no floor is set."""
    floor = context.preference.quality_floor
    return 0.0 if floor is None else floor * max(context.scores[name].quality for name in context.candidates)


def _order_under_floor(score: ModelScore, needed: float) -> tuple[bool, float, float]:
    reached = score.quality >= needed
    return (not reached, _cost(score) if reached else -score.quality, -score.quality)


def _cost(score: ModelScore) -> float:
    return math.inf if score.cost_usd is None else score.cost_usd
