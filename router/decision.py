"""Which model was chosen, and why: a decision explains itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

from router.cascade import CascadeScore
from router.html import make_table
from router.types import ModelScore, Preference, TaskPrediction

_SHOWN_MODELS = 8
_SHOWN_TASKS = 3
# What an A/B test splits: the keys that callers give, or else conversations, or else single requests.
SplitBy = Literal["key", "conversation", "request"]
# A task that would be printed as 0.00 is another prompt's task.
_LEAST_PROBABILITY = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The arm of a request in an A/B test.

    Attributes:
        experiment: Name of the test.
        arm: Name of the arm.
        by: What was split: the `key` that the caller gave, the `conversation`, or each `request` by itself.
        unit: A hash of it. All requests of one key have the same one.
    """

    experiment: str
    arm: str
    by: SplitBy
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RoutingDecision:
    """Which model should handle a prompt.

    Attributes:
        ranking: All models that may handle the prompt, best first. The rest is the fallback order.
        prediction: The task of the prompt.
        scores: Every term of every candidate's score, by model.
        strategy: Name of the strategy that ranked the models.
        preference: How quality was weighed against cost and time.
        excluded: The models that may not handle the prompt, each with the reason.
        reasons: Plain sentences that a reader should know besides the scores.
        requests: The parameters that call each variant of a model, by the variant's name.
        cascade: The first models of the ranking as a cascade: each is asked if the answer before is not accepted. None: no
            cascade is expected to be better than one model.
        assignment: The arm in an A/B test. None if the request takes no part in one.

    >>> from router import route
    >>> decision = route("write a haiku about rain")
    >>> decision.task, decision.model == decision.ranking[0], decision.fallbacks == decision.ranking[1:]
    ('writing', True, True)
    >>> decision
    <RoutingDecision: gemini-3-flash-preview for writing (1.00), 109 fallbacks>
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
    requests: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    cascade: CascadeScore | None = None
    assignment: Assignment | None = None

    @property
    def model(self) -> str:
        """The model to call."""
        return self.ranking[0]

    @property
    def request(self) -> dict[str, object]:
        """The parameters of the SDK's `chat.completions.create()` that call the model, without messages."""
        return dict(self.requests.get(self.model, {"model": self.model}))

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """The models to call if that one fails, in this order."""
        return self.ranking[1:]

    @property
    def expected(self) -> ModelScore | CascadeScore:
        """The expected quality, cost and latency: those of the cascade, or else of the model."""
        return self.cascade or self.scores[self.model]

    @property
    def task(self) -> str | None:
        """The most likely task. None if nothing speaks for any."""
        return self.prediction.task

    def explain(self) -> str:
        """Return a few lines: the task, every term of the best scores, and the changes that would change the choice.

        They are ASCII, which every terminal prints, unless a name is not.
        """
        return "\n".join(
            [*self._describe_task(), "", *self._list_scores(), "", *self._describe_changes(), *self._list_reasons()]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON. An infinite price of a point or tolerance becomes None."""
        return {
            "model": self.model,
            "request": self.request,
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
                "risk_aversion": self.preference.risk_aversion,
                "usd_per_point": _finite(self.preference.usd_per_point),
                "seconds_per_point": _finite(self.preference.seconds_per_point),
                "quality_floor": self.preference.quality_floor,
                "reference": self.preference.reference,
                "tolerance": _finite(self.preference.tolerance),
            },
            "scores": {model: _score_to_dict(self.scores[model]) for model in self.ranking},
            "excluded": dict(self.excluded),
            "reasons": list(self.reasons),
            "cascade": None if self.cascade is None else _cascade_to_dict(self.cascade),
            "experiment": None if self.assignment is None else asdict(self.assignment),
        }

    def __repr__(self) -> str:
        task = f"{self.task or 'unknown task'} ({self.prediction.confidence:.2f})"
        return f"<RoutingDecision: {self.model} for {task}, {len(self.fallbacks)} fallbacks>"

    def _repr_html_(self) -> str:
        rows = [
            (
                str(rank),
                model,
                f"{self.scores[model].quality:.3f} ± {self.scores[model].stderr:.3f}",
                _or_unknown(self.scores[model].cost_usd, 1000),
                f"{self.scores[model].utility:.3f}",
            )
            for rank, model in enumerate(self.ranking[:_SHOWN_MODELS], start=1)
        ]
        header = ("rank", "model", "expected quality", "USD per 1,000 prompts", "utility")
        return make_table(repr(self), header, rows)

    def _describe_task(self) -> list[str]:
        likely = sorted(self.prediction.probabilities.items(), key=lambda item: -item[1])[:_SHOWN_TASKS]
        listed = ", ".join(f"{task} {probability:.2f}" for task, probability in likely)
        tier = f", {self.prediction.tier} tier" if self.prediction.tier else ""
        return [f"task: {self.task or 'unknown'}, by {self.prediction.source}{tier} ({listed}, ...)"]

    def _list_scores(self) -> list[str]:
        width = max(len(model) for model in self.ranking[:_SHOWN_MODELS])
        lines = [
            f"{'model':{width}}  utility = quality (+/- stderr) - risk - cost - time    USD per 1,000 prompts   seconds"
        ]
        for model in self.ranking[:_SHOWN_MODELS]:
            score = self.scores[model]
            cost, time = price_of_cost(score, self.preference), price_of_time(score, self.preference)
            risk = score.quality - score.bound
            terms = f"{score.quality:.3f} (+/- {score.stderr:.3f}) - {risk:.3f} - {cost:.3f} - {time:.3f}"
            lines.append(
                f"{model:{width}}  {score.utility:7.3f} = {terms}"
                f"   {_or_unknown(score.cost_usd, 1000):>18}   {_or_unknown(score.latency_s, 1):>12}"
            )
        hidden = len(self.ranking) - _SHOWN_MODELS
        return [*lines, f"... and {hidden} more"] if hidden > 0 else lines

    def _describe_changes(self) -> list[str]:
        if self.cascade is not None:
            asked = ", ".join(f"{m} {share:.0%}" for m, share in zip(self.cascade.models, self.cascade.shares, strict=True))
            return [f"A cascade answers. Each of its models is expected to be asked for: {asked}."]
        lines = [*self._describe_dial(), *self._describe_other_tasks()]
        return (
            ["Changes that would change the choice:", *lines] if lines else ["No change in sight would change the choice."]
        )

    def _describe_dial(self) -> list[str]:
        """Return between which prices of a point, or which floors, this model stays the best."""
        if len(self.ranking) == 1:
            return []
        if self.preference.quality_floor is not None:
            return self._describe_floors()
        if self.preference.reference is not None:
            return self._describe_tolerance(self.preference.reference, self.preference.tolerance)
        current, chosen = self.preference.usd_per_point, self.scores[self.model]
        flips = [
            (flip, other) for other in self.fallbacks if (flip := _flip_price(chosen, self.scores[other], self.preference))
        ]
        lower = max(((flip, other) for flip, other in flips if flip < current), default=None)
        higher = min(((flip, other) for flip, other in flips if flip > current), default=None)
        lines = [f"- a point of quality worth less than {lower[0]:.2g} USD: {lower[1]}"] if lower else []
        return [*lines, f"- a point of quality worth more than {higher[0]:.2g} USD: {higher[1]}"] if higher else lines

    def _describe_floors(self) -> list[str]:
        """Return the nearest lower and higher share of the best quality at which another model is the cheapest."""
        best, cost = max(score.bound for score in self.scores.values()) or 1.0, self.scores[self.model].cost_usd or 0.0
        shares = {name: score.bound / best for name, score in self.scores.items()}
        own = shares[self.model]
        lower = max(((shares[m], m) for m, s in self.scores.items() if (s.cost_usd or 0.0) < cost), default=None)
        higher = min((((s.cost_usd or 0.0), m) for m, s in self.scores.items() if shares[m] > own), default=None)
        # Rounded away from the change, so that a printed floor really has the printed effect.
        lines = [f"- a quality floor of {math.floor(1000 * lower[0]) / 1000:.3f} or less: {lower[1]}"] if lower else []
        return [*lines, f"- a quality floor above {math.ceil(1000 * own) / 1000:.3f}: {higher[1]}"] if higher else lines

    def _describe_tolerance(self, reference: str, tolerance: float) -> list[str]:
        """Return which cheaper model is nearest to being good enough."""
        needed = max(self.scores.get(reference, self.scores[self.model]).bound - tolerance, 0.0)
        cost = self.scores[self.model].cost_usd or 0.0
        lacking = [(needed - s.bound, m) for m, s in self.scores.items() if (s.cost_usd or 0.0) < cost and s.bound < needed]
        if not lacking:
            return []
        least, model = min(lacking)
        change = "a loss that may be larger" if math.isinf(least) else f"a tolerance of {tolerance + least:.3f}"
        return [f"- {change}, now {tolerance:.3f} against {reference}: {model}"]

    def _describe_other_tasks(self) -> list[str]:
        if not self.preference.weighs:
            return []
        lines = []
        likely = {task: p for task, p in self.prediction.probabilities.items() if p >= _LEAST_PROBABILITY}
        for task in sorted(likely, key=lambda task: -likely[task]):
            best = max(self.ranking, key=partial(self._utility_if, task))
            if best != self.model and task != self.task:
                lines.append(f"- if it were {task} (probability {likely[task]:.2f}): {best}")
        return lines[:_SHOWN_TASKS]

    def _utility_if(self, task: str, model: str) -> float:
        """Return a model's utility if the task were certain."""
        score = self.scores[model]
        quality = score.quality_by_task[task]
        if score.shift and 0 < quality < 1:
            quality = 1 / (1 + (1 / quality - 1) * math.exp(-score.shift))
        return quality - (score.quality - score.utility)

    def _list_reasons(self) -> list[str]:
        return ["", *(f"note: {reason}" for reason in self.reasons)] if self.reasons else []


def price_of_cost(score: ModelScore, preference: Preference) -> float:
    """Return how much utility a model's cost takes away. 0 if cost does not count or is unknown."""
    return 0.01 * (score.cost_usd or 0.0) / preference.usd_per_point


def price_of_time(score: ModelScore, preference: Preference) -> float:
    """Return how much utility a model's latency takes away. 0 if time does not count or is unknown."""
    return 0.01 * (score.latency_s or 0.0) / preference.seconds_per_point


def _flip_price(chosen: ModelScore, other: ModelScore, preference: Preference) -> float | None:
    """Return the price of a point, in USD, at which two models have the same utility. None if there is none."""
    gain = other.bound - price_of_time(other, preference) - (chosen.bound - price_of_time(chosen, preference))
    extra_usd = (other.cost_usd or 0.0) - (chosen.cost_usd or 0.0)
    return 0.01 * extra_usd / gain if gain * extra_usd > 0 else None


def _score_to_dict(score: ModelScore) -> dict[str, Any]:
    return {
        "utility": score.utility,
        "quality": score.quality,
        "stderr": score.stderr,
        "bound": score.bound,
        "shift": score.shift,
        "cost_usd": score.cost_usd,
        "latency_s": score.latency_s,
        "assumed": sorted(score.assumed),
    }


def _cascade_to_dict(cascade: CascadeScore) -> dict[str, Any]:
    return asdict(cascade) | {"models": list(cascade.models), "shares": list(cascade.shares)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_unknown(value: float | None, factor: float) -> str:
    return "unknown" if value is None else f"{value * factor:.3g}"
