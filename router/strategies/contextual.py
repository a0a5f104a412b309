"""By the prompt: the model with the highest utility, or the cheapest that is good enough."""

import math

from router.types import ModelScore, RoutingContext


def contextual(context: RoutingContext) -> list[str]:
    """Rank by utility; with a `quality_floor` or `max_loss` first what is good enough, cheapest first, then the others.

    Those follow by quality. Ties go to the cheaper model, then to the artifact's order.
    """
    scores = [context.scores[name] for name in context.candidates]
    if context.preference.weighs:
        return [score.model for score in sorted(scores, key=lambda score: (-score.utility, _cost(score)))]
    enough = good_enough(context)
    return [score.model for score in sorted(scores, key=lambda score: _order_by_cost(score, score.model in enough))]


def good_enough(context: RoutingContext) -> frozenset[str]:
    """Return the candidates whose expected quality suffices: all of them where quality, cost and time are weighed.

    Where the model that a loss is measured against cannot be chosen, the best of those that can takes its place.
    """
    preference, scores = context.preference, context.scores
    if preference.weighs:
        return frozenset(context.candidates)
    best = max(context.candidates, key=lambda name: scores[name].quality)
    if preference.reference is not None and preference.reference in context.candidates:
        best = preference.reference
    floor = preference.quality_floor
    needed = scores[best].quality - preference.tolerance if floor is None else floor * scores[best].quality
    return frozenset({best, *(name for name in context.candidates if scores[name].quality >= needed)})


def _order_by_cost(score: ModelScore, enough: bool) -> tuple[bool, float, float]:
    return (not enough, _cost(score) if enough else -score.quality, -score.quality)


def _cost(score: ModelScore) -> float:
    return math.inf if score.cost_usd is None else score.cost_usd
