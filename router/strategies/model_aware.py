"""By strength in a focus that the caller sets, whatever the prompt."""

import math
from collections.abc import Mapping, Sequence

from router.errors import InputError
from router.types import RoutingContext

# Groups of tasks that people ask for by name.
FOCUS_AREAS: Mapping[str, tuple[str, ...]] = {
    "creative": ("writing", "brainstorming", "roleplay"),
    "technical": ("coding", "math", "reasoning"),
    "informative": ("qa", "extraction", "summarization", "classification"),
    "language": ("rewriting", "translation"),
    "ethical": ("ethics", "advice"),
}


class ModelAware:
    """Ranks by mean quality over a focus, highest first; ties in the artifact's order.

    A task whose quality is not known of a model does not count in its mean; a model of which none is known comes last.
    Thread-safe.

    Args:
        focus: A named area, a task, or weights ≥ 0 by task, relative to one another; None: all tasks alike.
        areas: Tasks by the name of their area.

    Raises:
        InputError: If weights are negative, not finite or all zero; in a call, if no candidate's quality is known of any
            task in the focus.
    """

    def __init__(
        self, focus: str | Mapping[str, float] | None = None, *, areas: Mapping[str, Sequence[str]] = FOCUS_AREAS
    ) -> None:
        self._weights = None if focus is None else _weigh(focus, areas)

    def __call__(self, context: RoutingContext) -> list[str]:
        """Rank the candidates; the same way for every prompt."""
        strengths = {name: self._strength(context.scores[name].quality_by_task) for name in context.candidates}
        if self._weights is not None and all(math.isinf(strength) for strength in strengths.values()):
            known = sorted({task for name in strengths for task in context.scores[name].quality_by_task})
            raise InputError(f"focus must be on a task in {known}, was on {list(self._weights)}")
        return sorted(strengths, key=lambda name: -strengths[name])

    def _strength(self, quality: Mapping[str, float]) -> float:
        """Return the mean quality over the focus, in [0, 1]; −∞ where none is known."""
        if self._weights is None:
            return sum(quality.values()) / len(quality) if quality else -math.inf
        total = total_weight = 0.0
        for task, weight in self._weights.items():
            if task in quality:
                total += weight * quality[task]
                total_weight += weight
        return total / total_weight if total_weight else -math.inf


def _weigh(focus: str | Mapping[str, float], areas: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the weights > 0 of a focus by task."""
    if isinstance(focus, str):
        return dict.fromkeys(areas.get(focus, (focus,)), 1.0)
    if not all(math.isfinite(weight) and weight >= 0 for weight in focus.values()) or not any(focus.values()):
        raise InputError(f"weights of a focus must be finite, not negative and not all 0, were {dict(focus)}")
    return {task: weight for task, weight in focus.items() if weight > 0}
