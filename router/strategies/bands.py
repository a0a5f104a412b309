"""One strategy narrows the candidates to a band of equals, another chooses among them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.errors import InputError
from router.strategies.contextual import good_enough
from router.types import RoutingContext, Strategy

_ROUNDING = 1e-9  # 0.90 − 0.88 is 0.02 and a little


@dataclass(frozen=True, slots=True)
class Banded:
    """Ranks by `left`, then the band around its first by `right`; the others follow in the order of `left`.

    The band holds the candidates whose utility differs from that of the first of `left` by at most `width`. With a
    `quality_floor` or `max_loss` it holds those that are good enough instead. `right` sees no other
    candidates. As thread-safe as the two are.

    Attributes:
        left: Says what is good.
        right: Chooses among what is about as good.
        width: In utility, ≥ 0.

    Raises:
        InputError: If the width is negative or NaN.
    """

    left: Strategy
    right: Strategy
    width: float = 0.02

    def __post_init__(self) -> None:
        if not self.width >= 0:
            raise InputError(f"width must not be negative, was {self.width}")

    def __call__(self, context: RoutingContext) -> list[str]:
        """Rank the band, then the others."""
        order = self.left(context)
        band = self._find_band(context, order)
        inside = self.right(replace(context, candidates=band, scores={name: context.scores[name] for name in band}))
        return [*inside, *(name for name in order if name not in band)]

    def _find_band(self, context: RoutingContext, order: Sequence[str]) -> tuple[str, ...]:
        """Return the members in the artifact's order; never none."""
        scores = context.scores
        if not context.preference.weighs:
            enough = good_enough(context)
            return tuple(name for name in context.candidates if name in enough)
        best, width = scores[order[0]].utility, self.width + _ROUNDING
        return tuple(name for name in context.candidates if abs(scores[name].utility - best) <= width)
