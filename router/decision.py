"""What was decided, and why: a decision explains itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from router.types import ModelScore, Preference, TaskPrediction

_SHOWN_MODELS = 8
_SHOWN_TASKS = 3
# What is told as 0.00 would have to be another prompt.
_LEAST_PROBABILITY = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecision:
    """Which model should handle a prompt.

    Attributes:
        ranking: All models that may take it, best first: the rest is the fallback order.
        prediction: What the prompt asks for.
        scores: Every term of every candidate's score, by model.
        strategy: Name of the strategy that ranked them.
        preference: What the caller pays for quality.
        excluded: Models that may not take it, and why.
        reasons: What a reader has to know besides the scores, in plain sentences.

    >>> from router import route
    >>> decision = route("write a haiku about rain")
    >>> decision.model == decision.ranking[0], decision.fallbacks == decision.ranking[1:]
    (True, True)
    >>> print(decision.explain().splitlines()[0])
    task: writing, by classifier, first tier (writing 1.00, ...)
    """

    ranking: tuple[str, ...]
    prediction: TaskPrediction
    scores: Mapping[str, ModelScore]
    strategy: str
    preference: Preference
    excluded: Mapping[str, str]
    reasons: tuple[str, ...]

    @property
    def model(self) -> str:
        """The model to call."""
        return self.ranking[0]

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """The models to try when that one fails, in this order."""
        return self.ranking[1:]

    def explain(self) -> str:
        """Return a text of a few lines: the task, every term of the best scores, and what would have changed the choice."""
        return "\n".join([*self._tell_task(), "", *self._tell_scores(), "", *self._tell_changes(), *self._tell_reasons()])

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data for JSON; an infinite price of a point or tolerance becomes None."""
        return {
            "model": self.model,
            "ranking": list(self.ranking),
            "prediction": {
                "task": self.prediction.task,
                "confidence": self.prediction.confidence,
                "source": self.prediction.source,
                "probabilities": dict(self.prediction.probabilities),
                "inherited": self.prediction.inherited,
                "tier": self.prediction.tier,
            },
            "strategy": self.strategy,
            "preference": {
                "usd_per_point": _finite(self.preference.usd_per_point),
                "seconds_per_point": _finite(self.preference.seconds_per_point),
                "quality_floor": self.preference.quality_floor,
                "reference": self.preference.reference,
                "tolerance": _finite(self.preference.tolerance),
            },
            "scores": {model: _score_to_dict(self.scores[model]) for model in self.ranking},
            "excluded": dict(self.excluded),
            "reasons": list(self.reasons),
        }

    def _tell_task(self) -> list[str]:
        likely = sorted(self.prediction.probabilities.items(), key=lambda item: -item[1])[:_SHOWN_TASKS]
        told = ", ".join(f"{task} {probability:.2f}" for task, probability in likely)
        tier = f", {self.prediction.tier} tier" if self.prediction.tier else ""
        return [f"task: {self.prediction.task or 'unknown'}, by {self.prediction.source}{tier} ({told}, …)"]

    def _tell_scores(self) -> list[str]:
        width = max(len(model) for model in self.ranking[:_SHOWN_MODELS])
        lines = [f"{'model':{width}}  utility = quality (± stderr) − cost − time    USD per 1,000 prompts   seconds"]
        for model in self.ranking[:_SHOWN_MODELS]:
            score = self.scores[model]
            cost, time = price_of_cost(score, self.preference), price_of_time(score, self.preference)
            terms = f"{score.quality:.3f} (± {score.stderr:.3f}) − {cost:.3f} − {time:.3f}"
            lines.append(
                f"{model:{width}}  {score.utility:7.3f} = {terms}"
                f"   {_or_unknown(score.cost_usd, 1000):>18}   {_or_unknown(score.latency_s, 1):>12}"
            )
        hidden = len(self.ranking) - _SHOWN_MODELS
        return [*lines, f"… and {hidden} more"] if hidden > 0 else lines

    def _tell_changes(self) -> list[str]:
        lines = [*self._tell_dial(), *self._tell_other_tasks()]
        return (
            ["What would have changed the choice:", *lines] if lines else ["Nothing in sight would have changed the choice."]
        )

    def _tell_dial(self) -> list[str]:
        """Tell between which prices of a point, or which floors, this model stays the best."""
        if len(self.ranking) == 1:
            return []
        if self.preference.quality_floor is not None:
            return self._tell_floors()
        if self.preference.reference is not None:
            return self._tell_tolerance(self.preference.reference, self.preference.tolerance)
        current, chosen = self.preference.usd_per_point, self.scores[self.model]
        flips = [
            (flip, other) for other in self.fallbacks if (flip := _flip_price(chosen, self.scores[other], self.preference))
        ]
        cheaper = max(((flip, other) for flip, other in flips if flip < current), default=None)
        dearer = min(((flip, other) for flip, other in flips if flip > current), default=None)
        lines = []
        if cheaper:
            lines.append(f"- a point of quality worth less than {cheaper[0]:.2g} USD: {cheaper[1]}")
        if dearer:
            lines.append(f"- a point of quality worth more than {dearer[0]:.2g} USD: {dearer[1]}")
        return lines

    def _tell_floors(self) -> list[str]:
        """Tell the nearest lower and higher share of the best quality at which another model is the cheapest."""
        best, cost = max(score.quality for score in self.scores.values()) or 1.0, self.scores[self.model].cost_usd or 0.0
        shares = {name: score.quality / best for name, score in self.scores.items()}
        own = shares[self.model]
        lower = max(((shares[m], m) for m, s in self.scores.items() if (s.cost_usd or 0.0) < cost), default=None)
        higher = min((((s.cost_usd or 0.0), m) for m, s in self.scores.items() if shares[m] > own), default=None)
        lines = [f"- a quality floor of {math.floor(1000 * lower[0]) / 1000:.3f} or less: {lower[1]}"] if lower else []
        return [*lines, f"- a quality floor above {math.ceil(1000 * own) / 1000:.3f}: {higher[1]}"] if higher else lines

    def _tell_tolerance(self, reference: str, tolerance: float) -> list[str]:
        """Tell which cheaper model is nearest to being good enough."""
        needed = max(self.scores.get(reference, self.scores[self.model]).quality - tolerance, 0.0)
        cost = self.scores[self.model].cost_usd or 0.0
        lacking = [
            (needed - s.quality, m) for m, s in self.scores.items() if (s.cost_usd or 0.0) < cost and s.quality < needed
        ]
        if not lacking:
            return []
        least, model = min(lacking)
        told = "a loss that may be larger" if math.isinf(least) else f"a tolerance of {tolerance + least:.3f}"
        return [f"- {told}, now {tolerance:.3f} against {reference}: {model}"]

    def _tell_other_tasks(self) -> list[str]:
        if not self.preference.weighs:
            return []
        lines = []
        likely = {task: p for task, p in self.prediction.probabilities.items() if p >= _LEAST_PROBABILITY}
        for task in sorted(likely, key=lambda task: -likely[task]):
            best = max(self.ranking, key=partial(self._utility_if, task))
            if best != self.model and task != self.prediction.task:
                lines.append(f"- if it were {task} (probability {likely[task]:.2f}): {best}")
        return lines[:_SHOWN_TASKS]

    def _utility_if(self, task: str, model: str) -> float:
        """Return a model's utility if the task were known for certain."""
        score = self.scores[model]
        quality = score.quality_by_task[task]
        if score.shift and 0 < quality < 1:
            quality = 1 / (1 + (1 / quality - 1) * math.exp(-score.shift))
        return quality - (score.quality - score.utility)

    def _tell_reasons(self) -> Sequence[str]:
        return ["", *(f"note: {reason}" for reason in self.reasons)] if self.reasons else []


def price_of_cost(score: ModelScore, preference: Preference) -> float:
    """Return what a model's cost takes from its utility; 0 where cost does not count or is unknown."""
    return 0.01 * (score.cost_usd or 0.0) / preference.usd_per_point


def price_of_time(score: ModelScore, preference: Preference) -> float:
    """Return what a model's latency takes from its utility; 0 where time does not count or is unknown."""
    return 0.01 * (score.latency_s or 0.0) / preference.seconds_per_point


def _flip_price(chosen: ModelScore, other: ModelScore, preference: Preference) -> float | None:
    """Return the price of a point, in USD, at which two models are worth the same; None where there is none."""
    gain = other.quality - price_of_time(other, preference) - (chosen.quality - price_of_time(chosen, preference))
    extra_usd = (other.cost_usd or 0.0) - (chosen.cost_usd or 0.0)
    return 0.01 * extra_usd / gain if gain * extra_usd > 0 else None


def _score_to_dict(score: ModelScore) -> dict[str, Any]:
    return {
        "utility": score.utility,
        "quality": score.quality,
        "stderr": score.stderr,
        "shift": score.shift,
        "cost_usd": score.cost_usd,
        "latency_s": score.latency_s,
        "assumed": sorted(score.assumed),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_unknown(value: float | None, factor: float) -> str:
    return "unknown" if value is None else f"{value * factor:.3g}"
