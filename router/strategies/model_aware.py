"""Candidates come in, a ranking by quality in a fixed focus goes out, the same for every prompt."""

import math
from collections.abc import Mapping, Sequence

from router.errors import InputError
from router.types import RoutingContext

# Groups of tasks that callers name together.
FOCUS_AREAS: Mapping[str, tuple[str, ...]] = {
    "creative": ("writing", "brainstorming", "roleplay"),
    "technical": ("coding", "math", "reasoning"),
    "informative": ("qa", "extraction", "summarization", "classification"),
    "language": ("rewriting", "translation"),
    "ethical": ("ethics", "advice"),
}


class ModelAware:
    """Rank by mean quality over a focus, highest first. Ties keep the order of the model folder.

    The mean of a model leaves out tasks of which its quality is unknown. A model without any known task comes last.
    Thread-safe.

    Args:
        focus: A named area, a task, or relative weights ≥ 0 by task. None: all tasks alike.
        areas: Tasks by the name of their area.

    Raises:
        InputError: If weights are negative, not finite or all zero. Also in a call, if no candidate has a known quality for
            any task in the focus.
    """

    def __init__(
        self, focus: str | Mapping[str, float] | None = None, *, areas: Mapping[str, Sequence[str]] = FOCUS_AREAS
    ) -> None:
        self._weights = None if focus is None else _find_weights(focus, areas)

    def __call__(self, context: RoutingContext) -> list[str]:
        """Return the candidates by their mean quality over the focus."""
        strengths = {name: self._strength(context.scores[name].quality_by_task) for name in context.candidates}
        # Only a call knows the tasks of the profiles, so an unknown focus cannot be refused earlier.
        if self._weights is not None and all(math.isinf(strength) for strength in strengths.values()):
            known = sorted({task for name in strengths for task in context.scores[name].quality_by_task})
            raise InputError(f"focus must contain one of the tasks {known}, got {list(self._weights)}")
        return sorted(strengths, key=lambda name: -strengths[name])

    def _strength(self, quality: Mapping[str, float]) -> float:
        """Return the mean quality over the focus, in [0, 1]. −∞ if none is known."""
        if self._weights is None:
            return sum(quality.values()) / len(quality) if quality else -math.inf
        total = total_weight = 0.0
        for task, weight in self._weights.items():
            if task in quality:
                total += weight * quality[task]
                total_weight += weight
        return total / total_weight if total_weight else -math.inf


def _find_weights(focus: str | Mapping[str, float], areas: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the weights of a focus by task, without those that are 0."""
    if isinstance(focus, str):
        return dict.fromkeys(areas.get(focus, (focus,)), 1.0)
    if not all(math.isfinite(weight) and weight >= 0 for weight in focus.values()) or not any(focus.values()):
        raise InputError(f"weights of a focus must be finite, 0 or more and not all 0, got {dict(focus)}")
    return {task: weight for task, weight in focus.items() if weight > 0}
