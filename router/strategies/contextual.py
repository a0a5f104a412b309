"""Scores of the candidates come in, a ranking by utility goes out, or the cheapest good enough model first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from router.score.choice import find_good_enough, rank_models

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.types import RoutingContext


def contextual(context: RoutingContext) -> list[str]:
    """Rank by utility. With `quality_floor` or `max_loss`, rank the good enough models first, the cheapest of them first.

    Ties go to the cheaper model, then to the order of the model folder. The rule is `router.score.choice.rank_models`.
    """
    scores = [context.scores[name] for name in context.candidates]
    order = rank_models(
        _row([score.bound for score in scores]),
        _row([score.cost_usd for score in scores]),
        _row([score.utility for score in scores]),
        context.preference,
        reference=_find_reference(context),
    )
    return [context.candidates[column] for column in order.tolist()]


def good_enough(context: RoutingContext) -> frozenset[str]:
    """Return the candidates whose expected quality is good enough. All of them if quality, cost and time are weighed."""
    quality = _row([context.scores[name].bound for name in context.candidates])
    enough = find_good_enough(quality, context.preference, reference=_find_reference(context))
    return frozenset(name for name, is_enough in zip(context.candidates, enough.tolist(), strict=True) if is_enough)


def _find_reference(context: RoutingContext) -> int | None:
    """Return the position of the model that a loss is measured against. None if it is not a candidate."""
    reference = context.preference.reference
    return context.candidates.index(reference) if reference in context.candidates else None


def _row(values: list[float | None] | list[float]) -> NDArray[np.float64]:
    """Return the values, with NaN for None."""
    return np.array([math.nan if value is None else value for value in values], np.float64)
