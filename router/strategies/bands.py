"""Two strategies come in, one goes out: the first finds a band of about equal models, the second ranks the band."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.errors import InputError
from router.strategies.contextual import good_enough
from router.types import Ranking, RoutingContext, Strategy

# 0.90 − 0.88 is a little more than 0.02, and should still lie in a band of width 0.02.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Banded:
    """Rank the band around the first of `left` by `right`, then the other candidates in the order of `left`.

    The band holds the candidates whose utility differs by at most `width` from that of the first of `left`. With a
    `quality_floor` or `max_loss` it holds the good enough candidates instead. `right` sees only the band. If `left` finds a
    cascade, its ranking stays. Thread-safe if both strategies are.

    Attributes:
        left: Finds the best candidate.
        right: Ranks the candidates that are about as good.
        width: Width of the band in utility, ≥ 0.

    Raises:
        InputError: If the width is negative or NaN.
    """

    left: Strategy
    right: Strategy
    width: float = 0.02

    def __post_init__(self) -> None:
        if not self.width >= 0:
            raise InputError(f"width must be 0 or more, got {self.width}")

    def __call__(self, context: RoutingContext) -> Ranking:
        """Return the ranking of the band, then the others."""
        order = self.left(context)
        if isinstance(order, Ranking) and order.cascade is not None:
            return order
        band = self._find_band(context, order)
        inside = self.right(replace(context, candidates=band, scores={name: context.scores[name] for name in band}))
        explained = [each for each in (order, inside) if isinstance(each, Ranking)]
        return Ranking(
            [*inside, *(name for name in order if name not in band)],
            reasons=[reason for each in explained for reason in each.reasons],
            cascade=inside.cascade if isinstance(inside, Ranking) else None,
        )

    def _find_band(self, context: RoutingContext, order: Sequence[str]) -> tuple[str, ...]:
        """Return the band in the order of the model folder. It is never empty."""
        scores = context.scores
        # The preference already says which models are good enough, so the width does not apply.
        if not context.preference.weighs:
            enough = good_enough(context)
            return tuple(name for name in context.candidates if name in enough)
        best, width = scores[order[0]].utility, self.width + _ROUNDING
        return tuple(name for name in context.candidates if abs(scores[name].utility - best) <= width)
