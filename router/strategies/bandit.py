"""Candidates with the error of their quality come in, a ranking by a random draw goes out, the safe models first."""

import random
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from router.errors import InputError
from router.score.choice import rank_models
from router.strategies.contextual import contextual
from router.types import RoutingContext


class Bandit:
    """Rank by Thompson sampling: draw each model's quality from its posterior, then choose as `contextual` does.

    So a model is tried as often as it is likely to be the best one (Thompson, 1933, Biometrika 25:285-294; Russo et al.,
    2018, A Tutorial on Thompson Sampling). The posterior is normal, with the expected quality and its standard error. A draw
    is cut to [0, 1]. Cost and time count as the preference says.

    A model is only tried if it is safe: the lower bound of its quality, at the given confidence, must be at least the floor.
    The floor is a share of the best candidate's expected quality. Other models come last, the best lower bound first. If no
    model is safe, the one with the best lower bound is chosen. So a model about which little is known is not tried. A shadow
    can grade it first.

    A `risk_aversion` changes nothing, because the draw takes the place of the bound that models are compared by otherwise.
    With `max_loss` nothing is drawn, because that bound was measured without a draw. Feedback sharpens the posteriors if the
    router learns, and old feedback fades (`router.score.feedback`). Thread-safe.

    Args:
        quality_floor: Share of the best candidate's expected quality, in [0, 1]. A `quality_floor` of the preference
            replaces it.
        confidence: Confidence of the lower bound, from 0.5 to below 1.
        rng: Random generator. None: one seeded by the system.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, quality_floor: float = 0.9, *, confidence: float = 0.9, rng: random.Random | None = None) -> None:
        _check("quality_floor", quality_floor, "between 0 and 1", lambda value: 0 <= value <= 1)
        # At one half the bound is the expected quality itself.
        _check("confidence", confidence, "from 0.5 to below 1", lambda value: 1 <= 2 * value < 2)  # noqa: PLR2004
        self._quality_floor, self._deviations = quality_floor, NormalDist().inv_cdf(confidence)
        self._rng = rng or random.Random()  # noqa: S311 - no secret depends on it

    @property
    def __name__(self) -> str:
        """The name in decisions, whatever the arguments are."""
        return "bandit"

    def __call__(self, context: RoutingContext) -> list[str]:
        """Return the safe models by a random draw, then the others."""
        if context.preference.reference is not None:
            return contextual(context)
        lower = {name: score.quality - self._deviations * score.stderr for name, score in context.scores.items()}
        share = context.preference.quality_floor
        share = self._quality_floor if share is None else share
        floor = share * max(context.scores[name].quality for name in context.candidates)
        safe = [name for name in self._draw(context) if lower[name] >= floor]
        rest = [name for name in context.candidates if name not in safe]
        return [*safe, *sorted(rest, key=lambda name: -lower[name])]

    def _draw(self, context: RoutingContext) -> list[str]:
        """Return the candidates as `contextual` ranks them if their qualities are what was drawn."""
        scores = [context.scores[name] for name in context.candidates]
        # Unlike gauss(), normalvariate() keeps nothing between calls that threads could share.
        draws = [self._rng.normalvariate(score.quality, score.stderr) for score in scores]
        quality = np.clip(np.array(draws), 0.0, 1.0)
        price = np.array([score.bound - score.utility for score in scores])
        cost = np.array([np.nan if score.cost_usd is None else score.cost_usd for score in scores])
        order = rank_models(quality, cost, quality - price, context.preference)
        return [context.candidates[column] for column in order.tolist()]


def _check(name: str, value: object, rule: str, holds: Callable[[float], bool]) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
        raise InputError(f"{name} of a bandit must be a number {rule}, got {value!r}")
