"""By the prompt: the model with the highest utility, or the cheapest that is good enough."""

import math

from router.types import ModelScore, RoutingContext


def contextual(context: RoutingContext) -> list[str]:
    """Rank by utility; with a `quality_floor`, those that reach it come first, cheapest first, the others by quality.

    Ties go to the cheaper model, then to the artifact's order.
    """
    scores = [context.scores[name] for name in context.candidates]
    floor = context.preference.quality_floor
    if floor is None:
        return [score.model for score in sorted(scores, key=lambda score: (-score.utility, _cost(score)))]
    needed = floor * max(score.quality for score in scores)
    return [score.model for score in sorted(scores, key=lambda score: _order_under_floor(score, needed))]


def _order_under_floor(score: ModelScore, needed: float) -> tuple[bool, float, float]:
    reached = score.quality >= needed
    return (not reached, _cost(score) if reached else -score.quality, -score.quality)


def _cost(score: ModelScore) -> float:
    return math.inf if score.cost_usd is None else score.cost_usd
