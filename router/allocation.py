"""A whole batch under a budget: which model each prompt gets, and what one more point of quality would cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

import numpy as np
from msgspec import structs

from router.decision import RoutingDecision
from router.errors import InputError
from router.types import ModelScore, Preference

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Sums of costs may be over the budget by this share: 0.1 + 0.2 is 0.3 and a little.
_ROUNDING = 1e-9
# So many prompts, those about which the price hardly decides, are searched exactly, with so many partial choices at a time.
_CORE, _BEAM = 24, 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """One model for each of n prompts.

    Attributes:
        choices: Index of each prompt's model, shape (n,).
        cost_usd: Their summed expected cost.
        quality: Their summed expected quality.
        shadow_price_usd_per_point: What one more point (0.01) of summed quality costs at the margin; infinite where the
            budget does not bind: no money buys more.
        bound: No choice within the budget has a larger summed quality (Lagrange; here the same as the linear relaxation).
    """

    choices: NDArray[np.int64]
    cost_usd: float
    quality: float
    shadow_price_usd_per_point: float
    bound: float

    @property
    def gap(self) -> float:
        """How much more summed quality the exact optimum has at most, ≥ 0."""
        return max(self.bound - self.quality, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Sequence[RoutingDecision]):
    """The decisions of several prompts, in their order; reads as a sequence of them.

    Attributes:
        decisions: One for each prompt.
        cost_usd: Summed expected cost of the chosen models; None where one is unknown.
        quality: Mean expected quality of the chosen models, in [0, 1]; NaN of no prompts.
        shadow_price_usd_per_point: See `Allocation`; None without a budget.

    >>> from router import Router
    >>> batch = Router.load().route_many(["write a haiku about rain", "2 + 2?"], budget_usd=0.001)
    >>> len(batch), batch.cost_usd <= 0.001
    (2, True)
    """

    decisions: tuple[RoutingDecision, ...]
    cost_usd: float | None
    quality: float
    shadow_price_usd_per_point: float | None = None

    @classmethod
    def of(cls, decisions: Sequence[RoutingDecision], *, shadow_price_usd_per_point: float | None = None) -> Batch:
        """Sum up decisions."""
        chosen = [decision.scores[decision.model] for decision in decisions]
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
        """Return the decision of one prompt, or those of several."""
        return self.decisions[index]

    def __iter__(self) -> Iterator[RoutingDecision]:
        """Go through the decisions in the order of the prompts."""
        return iter(self.decisions)


def spend(decisions: Sequence[RoutingDecision], budget_usd: float) -> Batch:
    """Decide anew which model each prompt gets, so that all together have the most quality for a budget.

    Each ranking starts with the allocated model; the others follow by utility at the shadow price, which takes the place of
    the preference. Ties go to the cheaper model, then to the one ranked first before.

    Args:
        decisions: What may be chosen from, and the scores; their rankings break ties only.
        budget_usd: Upper limit of the summed expected cost.

    Raises:
        InputError: As `allocate`; or if nothing is known of what a prompt costs.
    """
    if not decisions:
        return Batch.of((), shadow_price_usd_per_point=math.inf)
    models = list(dict.fromkeys(name for decision in decisions for name in decision.ranking))
    quality, cost_usd = _tabulate([decision.scores for decision in decisions], models)
    allocation = allocate(quality, cost_usd, budget_usd)
    price = allocation.shadow_price_usd_per_point
    reason = f"a budget of {budget_usd:g} USD for {len(decisions)} prompts "
    reason += "is more than can be spent" if price == math.inf else f"decided: a point of quality costs {price:.3g} USD more"
    chosen = [models[choice] for choice in allocation.choices.tolist()]
    return Batch.of(
        [_reprice(decision, model, price, reason) for decision, model in zip(decisions, chosen, strict=True)],
        shadow_price_usd_per_point=price,
    )


def allocate(quality: NDArray[np.float64], cost_usd: NDArray[np.float64], budget_usd: float) -> Allocation:
    """Choose one model for each prompt so that the summed quality is the largest that a budget allows, or nearly so.

    A multiple-choice knapsack. Prompts climb their concave hulls of quality over cost, the steps of most quality per USD
    first, wherever they are (Sinha and Zoltners 1979, The multiple-choice knapsack problem). The first step that the budget
    does not hold gives the shadow price; the steps after it fill what is left; then the prompts about which that price
    hardly decides, the core (Pisinger 1995, A minimal algorithm for the multiple-choice knapsack problem), are searched for
    the best use of their share of the budget, models off the hull included. Never less than the optimum by more than that
    first step's quality; for up to 24 prompts the optimum itself, unless the search had to drop partial choices, as where
    quality grows in proportion to cost. Takes O(n·m·h + nh·log nh) for hulls of h steps.

    Args:
        quality: Expected score, shape (n, m); minus infinity where a model may not take a prompt.
        cost_usd: Expected cost, shape (n, m); infinite where a model may not take a prompt.
        budget_usd: Upper limit of the summed cost, kept up to one part in 10⁹.

    Raises:
        InputError: If the budget is less than the cheapest models cost, or no number; a quality or cost is NaN; or no model
            may take a prompt.
    """
    quality, cost_usd = _mask(np.asarray(quality, np.float64), np.asarray(cost_usd, np.float64))
    choices, steps = _find_steps(quality, cost_usd)
    rows = np.arange(len(choices))
    least_quality, least_usd = float(quality[rows, choices].sum()), float(cost_usd[rows, choices].sum())
    room_usd = _check_budget(budget_usd, least_usd) * (1 + _ROUNDING)
    taken = _climb(steps, room_usd - least_usd)
    choices[steps.prompt[taken]] = steps.model[taken]  # of several steps of a prompt numpy keeps the last one
    slope, bound = 0.0, least_quality + float(steps.quality[taken].sum())
    if not taken.all():
        critical = int(taken.argmin())
        slope = float(steps.slope[critical])
        left_usd = room_usd - least_usd - float(steps.cost_usd[:critical].sum())
        bound = least_quality + float(steps.quality[:critical].sum()) + slope * left_usd
        choices = _search_core(quality, cost_usd, choices, slope=slope, room_usd=room_usd)
    return Allocation(
        choices=choices,
        cost_usd=float(cost_usd[rows, choices].sum()),
        quality=float(quality[rows, choices].sum()),
        shadow_price_usd_per_point=0.01 / slope if slope else math.inf,
        bound=float(bound),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """Steps up the prompts' hulls, the steepest first, those of one prompt in their order; all of shape (steps,).

    Attributes:
        prompt: Whose.
        model: Where it leads.
        cost_usd: What it costs more, > 0.
        quality: What it is better, > 0.
        slope: Quality per USD.
    """

    prompt: NDArray[np.int64]
    model: NDArray[np.int64]
    cost_usd: NDArray[np.float64]
    quality: NDArray[np.float64]
    slope: NDArray[np.float64]


def _tabulate(
    scores: Sequence[Mapping[str, ModelScore]], models: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return expected quality and cost, shape (len(scores), len(models)), with infinities for models without a score."""
    quality, cost_usd = np.full((len(scores), len(models)), -math.inf), np.full((len(scores), len(models)), math.inf)
    column = {model: i for i, model in enumerate(models)}
    for i, by_model in enumerate(scores):
        for model, score in by_model.items():
            if score.cost_usd is None:
                raise InputError(
                    f"prompt {i}: a budget needs costs, and none of its models' is known; give prices in the profiles or "
                    "leave budget_usd out"
                )
            quality[i, column[model]], cost_usd[i, column[model]] = score.quality, score.cost_usd
    return quality, cost_usd


def _reprice(decision: RoutingDecision, model: str, usd_per_point: float, reason: str) -> RoutingDecision:
    """Return a decision for the model, the others ranked by their utility at a price of a point."""
    scores = {
        name: structs.replace(score, utility=score.quality - 0.01 * (score.cost_usd or 0.0) / usd_per_point)
        for name, score in decision.scores.items()
    }
    order = sorted(decision.ranking, key=lambda name: (-scores[name].utility, scores[name].cost_usd or 0.0))
    reasons = [*decision.reasons, reason]
    if scores[order[0]].utility - scores[model].utility > _ROUNDING:
        reasons.append(f"that price alone would choose {order[0]}; {model} makes the most of what the budget leaves")
    return replace(
        decision,
        ranking=(model, *(name for name in order if name != model)),
        scores=scores,
        strategy="budget",
        preference=Preference(usd_per_point=usd_per_point),
        reasons=tuple(reasons),
    )


def _mask(quality: NDArray[np.float64], cost_usd: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both with infinities in the same places: where a model may not take a prompt."""
    if quality.ndim != 2 or not quality.size or quality.shape != cost_usd.shape:  # noqa: PLR2004 - prompts and models
        raise InputError(f"quality and cost_usd must have one shape (n, m), were {quality.shape} and {cost_usd.shape}")
    for name, values in (("quality", quality), ("cost_usd", cost_usd)):
        if np.isnan(values).any():
            raise InputError(f"{name} must be known, was NaN for prompt {int(np.argwhere(np.isnan(values))[0, 0])}; mask it")
    usable = np.isfinite(quality) & np.isfinite(cost_usd)
    if not usable.any(axis=1).all():
        raise InputError(f"every prompt needs a model, prompt {int(usable.any(axis=1).argmin())} has none; relax its mask")
    return np.where(usable, quality, -math.inf), np.where(usable, cost_usd, math.inf)


def _check_budget(budget_usd: float, least_usd: float) -> float:
    if isinstance(budget_usd, bool) or not isinstance(budget_usd, (int, float)) or not 0 <= budget_usd < math.inf:
        raise InputError(f"budget_usd must be a finite number that is not negative, was {budget_usd!r}")
    if least_usd > budget_usd * (1 + _ROUNDING):
        raise InputError(
            f"budget_usd must hold the cheapest model of every prompt, was {budget_usd!r}; give {least_usd:.12g} or more"
        )
    return budget_usd


def _find_steps(quality: NDArray[np.float64], cost_usd: NDArray[np.float64]) -> tuple[NDArray[np.int64], _Steps]:
    """Return each prompt's cheapest model, the best of those, and the steps from there up its upper concave hull.

    Gift wrapping: from where a prompt is, the steepest step, the longest of equals, is the next edge of its hull.
    """
    cheapest = cost_usd == cost_usd.min(axis=1, keepdims=True)
    start = np.where(cheapest, quality, -math.inf).argmax(axis=1)
    rows, at, slope = np.arange(len(start)), start, np.full(len(start), math.inf)
    edges = []
    while len(rows):
        rise, run = quality[rows] - quality[rows, at][:, None], cost_usd[rows] - cost_usd[rows, at][:, None]
        upward = (rise > 0) & (run > 0)
        slopes = np.where(upward, rise, 0.0) / np.where(upward, run, 1.0)
        slope = np.minimum(slopes.max(axis=1), slope)  # rounding must not bend a hull upwards
        to = np.where(slopes >= slope[:, None], np.where(upward, run, 0.0), -1.0).argmax(axis=1)
        climbs = slope > 0
        edges.append((rows[climbs], at[climbs], to[climbs], slope[climbs]))
        rows, at, slope = rows[climbs], to[climbs], slope[climbs]
    return start, _sort_steps(quality, cost_usd, *(np.concatenate(column) for column in zip(*edges, strict=True)))


def _sort_steps(
    quality: NDArray[np.float64],
    cost_usd: NDArray[np.float64],
    prompt: NDArray[np.int64],
    at: NDArray[np.int64],
    to: NDArray[np.int64],
    slope: NDArray[np.float64],
) -> _Steps:
    order = np.argsort(-slope, kind="stable")
    prompt, at, to = prompt[order], at[order], to[order]
    return _Steps(
        prompt=prompt,
        model=to,
        cost_usd=cost_usd[prompt, to] - cost_usd[prompt, at],
        quality=quality[prompt, to] - quality[prompt, at],
        slope=slope[order],
    )


def _climb(steps: _Steps, left_usd: float) -> NDArray[np.bool_]:
    """Take steps in their order while the money lasts, passing over those that it does not hold and what follows on them."""
    taken = np.zeros(len(steps.prompt), np.bool_)
    ahead = np.arange(len(taken))
    while len(ahead):
        spent = np.cumsum(steps.cost_usd[ahead])
        fit = int(np.searchsorted(spent, left_usd, side="right"))
        taken[ahead[:fit]] = True
        left_usd -= float(spent[fit - 1]) if fit else 0.0
        ahead = ahead[fit:]
        dear = ahead[steps.cost_usd[ahead] > left_usd]
        barred = np.full(int(steps.prompt.max()) + 1, len(taken))
        np.minimum.at(barred, steps.prompt[dear], dear)
        ahead = ahead[ahead < barred[steps.prompt[ahead]]]
    return taken


def _search_core(
    quality: NDArray[np.float64],
    cost_usd: NDArray[np.float64],
    choices: NDArray[np.int64],
    *,
    slope: float,
    room_usd: float,
) -> NDArray[np.int64]:
    """Return the choices, bettered where the core can use its share of the budget better."""
    value = quality - slope * cost_usd  # minus infinity, never NaN, where masked
    best_two = np.sort(value, axis=1)[:, -2:]
    loss = best_two[:, -1] - best_two[:, 0]  # what the second best choice loses at this price
    core = np.argsort(loss, kind="stable")[:_CORE][::-1]
    core_cost = float(cost_usd[core, choices[core]].sum())
    others_usd = float(cost_usd[np.arange(len(choices)), choices].sum()) - core_cost
    found = _search(
        quality[core],
        cost_usd[core],
        slope=slope,
        room_usd=room_usd - others_usd,
        quality_so_far=float(quality[core, choices[core]].sum()),
    )
    if found is None:
        return choices
    bettered = choices.copy()
    bettered[core] = found
    return bettered


def _search(
    quality: NDArray[np.float64], cost_usd: NDArray[np.float64], *, slope: float, room_usd: float, quality_so_far: float
) -> NDArray[np.int64] | None:
    """Return the choices, shape (k,), that beat a summed quality within a room; None where none was found.

    Dynamic programming over the prompts: of the partial choices it keeps those that no other beats in both cost and quality
    and that, by the price bound, may still beat what there is; the most promising ones where those are too many.
    """
    k, m = quality.shape
    best_value = (quality - slope * cost_usd).max(axis=1)
    value_ahead = np.append(np.cumsum(best_value[::-1])[::-1], 0.0)
    least_ahead = np.append(np.cumsum(cost_usd.min(axis=1)[::-1])[::-1], 0.0)
    spent, gained, picks = np.zeros(1), np.zeros(1), np.zeros((1, k), np.int64)
    for i in range(k):
        spent, gained = (spent[:, None] + cost_usd[i]).ravel(), (gained[:, None] + quality[i]).ravel()
        promise = gained - slope * spent + value_ahead[i + 1] + slope * room_usd
        hopeful = np.flatnonzero((spent + least_ahead[i + 1] <= room_usd) & (promise > quality_so_far + _ROUNDING))
        kept = _drop_beaten(hopeful, spent, gained)
        kept = kept if len(kept) <= _BEAM else kept[_thin(promise[kept])]
        spent, gained = spent[kept], gained[kept]
        picks = picks[kept // m]
        picks[:, i] = kept % m
    return np.asarray(picks[gained.argmax()]) if gained.max(initial=0.0) > quality_so_far else None


def _drop_beaten(states: NDArray[np.int64], spent: NDArray[np.float64], gained: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the states that no other equals or beats in both what was spent and what was gained."""
    states = states[np.lexsort((-gained[states], spent[states]))]
    most = np.maximum.accumulate(gained[states])
    return states[np.flatnonzero(gained[states] > np.append(-math.inf, most[:-1]))] if len(states) else states


def _thin(promise: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return `_BEAM` or a few less of the states in order of cost: the most promising, and as many spread evenly.

    Where quality grows with cost all promise the same, and the most promising could be the dearest only.
    """
    half = _BEAM // 2
    evenly = np.linspace(0, len(promise) - 1, half).astype(np.int64)
    return np.union1d(np.argpartition(-promise, half)[:half], evenly)
