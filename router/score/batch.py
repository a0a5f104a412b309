"""Decisions of several prompts come in, decisions under one budget for all of them go out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

import numpy as np
from msgspec import structs

from router.decision import RoutingDecision
from router.errors import InputError
from router.html import make_table
from router.score.allocation import ROUNDING, allocate
from router.score.reasons import describe_budget, describe_leftover
from router.types import ModelScore

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows of the table in a notebook. A longer one would push everything else off the screen.
_SHOWN_PROMPTS = 20


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Batch(Sequence[RoutingDecision]):
    """The decisions of several prompts, in the order of the prompts. It is a sequence of decisions.

    Attributes:
        decisions: One decision per prompt.
        cost_usd: Summed expected cost of the chosen models. None if a cost is unknown.
        quality: Mean expected quality of the chosen models, in [0, 1]. NaN if there are no prompts.
        shadow_price_usd_per_point: See `Allocation`. None without a budget.

    >>> from router import Router
    >>> batch = Router.load().route_many(["write a haiku about rain", "2 + 2?"], budget_usd=0.001)
    >>> len(batch), batch.cost_usd <= 0.001
    (2, True)
    >>> batch
    Batch(2 prompts, 0.000... USD, quality 0...)
    """

    decisions: tuple[RoutingDecision, ...]
    cost_usd: float | None
    quality: float
    shadow_price_usd_per_point: float | None = None

    @classmethod
    def of(cls, decisions: Sequence[RoutingDecision], *, shadow_price_usd_per_point: float | None = None) -> Batch:
        """Return the batch of these decisions, with cost and quality summed up."""
        chosen = [decision.expected for decision in decisions]
        costs = [score.cost_usd for score in chosen if score.cost_usd is not None]
        return cls(
            decisions=tuple(decisions),
            cost_usd=math.fsum(costs) if len(costs) == len(chosen) else None,
            quality=math.fsum(score.quality for score in chosen) / len(chosen) if chosen else math.nan,
            shadow_price_usd_per_point=shadow_price_usd_per_point,
        )

    def __len__(self) -> int:
        return len(self.decisions)

    @overload
    def __getitem__(self, index: int) -> RoutingDecision: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RoutingDecision, ...]: ...
    def __getitem__(self, index: int | slice) -> RoutingDecision | tuple[RoutingDecision, ...]:
        """Return the decision of one prompt, or those of a slice."""
        return self.decisions[index]

    def __iter__(self) -> Iterator[RoutingDecision]:
        """Return an iterator over the decisions, in the order of the prompts."""
        return iter(self.decisions)

    def __repr__(self) -> str:
        # One line, because the decisions of a thousand prompts would fill a terminal.
        prompts = "1 prompt" if len(self) == 1 else f"{len(self)} prompts"
        return f"Batch({prompts}, {_format_cost(self.cost_usd)}, quality {self.quality:.2f})"

    def _repr_html_(self) -> str:
        """Return a table for a notebook, with the first 20 prompts. It contains no text of a prompt."""
        rows = [_to_row(number, decision) for number, decision in enumerate(self.decisions[:_SHOWN_PROMPTS], start=1)]
        hidden = len(self) - len(rows)
        if hidden:
            rows.append(("…", f"{hidden} more", "", "", ""))
        return make_table(repr(self), ("prompt", "task", "model", "expected quality", "expected USD"), rows)


def spend(decisions: Sequence[RoutingDecision], budget_usd: float) -> Batch:
    """Return new decisions which together have the most quality for a budget.

    Each ranking starts with the allocated model. The others follow by utility at the shadow price, which replaces the
    preference. Ties go to the cheaper model, then to the one that ranked higher before.

    Args:
        decisions: The candidates of each prompt with their scores. Their rankings only break ties.
        budget_usd: Upper limit of the summed expected cost.

    Raises:
        InputError: If the budget is invalid or too small, see `allocate`, or if no cost is known for a prompt.
    """
    if not decisions:
        return Batch.of((), shadow_price_usd_per_point=math.inf)
    # By name, so that a tie between two models does not depend on which prompt comes first.
    models = sorted({name for decision in decisions for name in decision.ranking})
    quality, cost_usd = _tabulate([decision.scores for decision in decisions], models)
    allocation = allocate(quality, cost_usd, budget_usd)
    price = allocation.shadow_price_usd_per_point
    reason = describe_budget(budget_usd, len(decisions), price)
    chosen = [models[choice] for choice in allocation.choices.tolist()]
    return Batch.of(
        [_reprice(decision, model, price, reason) for decision, model in zip(decisions, chosen, strict=True)],
        shadow_price_usd_per_point=price,
    )


def _tabulate(
    scores: Sequence[Mapping[str, ModelScore]], models: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what models are compared by and their costs, shape (prompts, models). Infinite for models without a score."""
    quality, cost_usd = np.full((len(scores), len(models)), -math.inf), np.full((len(scores), len(models)), math.inf)
    column = {model: i for i, model in enumerate(models)}
    for i, by_model in enumerate(scores):
        for model, score in by_model.items():
            # An unknown cost is filled with the median of the others, so None means that no cost is known.
            if score.cost_usd is None:
                raise InputError(
                    f"budget_usd needs expected costs, got none for any model of prompt {i}; add prices to the profiles or "
                    "leave budget_usd out"
                )
            quality[i, column[model]], cost_usd[i, column[model]] = score.bound, score.cost_usd
    return quality, cost_usd


def _reprice(decision: RoutingDecision, model: str, usd_per_point: float, reason: str) -> RoutingDecision:
    """Return a decision for the model, with the others ranked by utility at a price per point."""
    # An infinite price makes the term of the cost 0, so quality alone ranks then.
    scores = {
        name: structs.replace(score, utility=score.bound - 0.01 * (score.cost_usd or 0.0) / usd_per_point)
        for name, score in decision.scores.items()
    }
    order = sorted(decision.ranking, key=lambda name: (-scores[name].utility, scores[name].cost_usd or 0.0))
    instead = [] if decision.cascade is None else ["the budget takes the place of the cascade"]
    reasons = [*decision.reasons, *instead, reason]
    if scores[order[0]].utility - scores[model].utility > ROUNDING:
        reasons.append(describe_leftover(model, order[0]))
    return replace(
        decision,
        ranking=(model, *(name for name in order if name != model)),
        scores=scores,
        strategy="budget",
        preference=replace(decision.preference, usd_per_point=usd_per_point, quality_floor=None, reference=None),
        reasons=tuple(reasons),
        cascade=None,
    )


def _to_row(number: int, decision: RoutingDecision) -> tuple[str, ...]:
    score = decision.scores[decision.model]
    cost = "unknown" if score.cost_usd is None else f"{score.cost_usd:.2g}"
    return str(number), decision.prediction.task or "unknown", decision.model, f"{score.quality:.2f}", cost


def _format_cost(cost_usd: float | None) -> str:
    return "cost unknown" if cost_usd is None else f"{cost_usd:.2g} USD"
