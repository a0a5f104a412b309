"""Expected quality and cost of n prompts under m models come in, one model per prompt within a budget goes out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.errors import InputError
from router.score.core_search import search_core
from router.score.hull import climb, find_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A sum of costs may exceed the budget by this share, because 0.1 + 0.2 is a little more than 0.3.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """One model for each of n prompts.

    Attributes:
        choices: Index of the model of each prompt, shape (n,).
        cost_usd: Summed expected cost.
        quality: Summed expected quality.
        shadow_price_usd_per_point: Marginal cost of one more point (0.01) of summed quality. Infinite if the budget does not
            bind, because no money buys more then.
        bound: Upper bound of the summed quality of any choice within the budget (Lagrange; here the same as the linear
            relaxation).
    """

    choices: NDArray[np.int64]
    cost_usd: float
    quality: float
    shadow_price_usd_per_point: float
    bound: float

    @property
    def gap(self) -> float:
        """Largest possible distance of the summed quality to the exact optimum, ≥ 0."""
        return max(self.bound - self.quality, 0.0)


def allocate(quality: NDArray[np.float64], cost_usd: NDArray[np.float64], budget_usd: float) -> Allocation:
    """Return the model of each prompt so that the summed quality is the largest that the budget allows, or nearly so.

    This is a multiple-choice knapsack, solved in three steps:

    1. Prompts climb their concave hulls of quality over cost. The step with the most quality per USD comes first, whichever
       prompt it belongs to (Sinha and Zoltners 1979, The multiple-choice knapsack problem).
    2. The first step that does not fit gives the shadow price. Later steps that fit use the rest of the budget.
    3. The core holds the prompts that this price hardly decides (Pisinger 1995, A minimal algorithm for the multiple-choice
       knapsack problem). A search finds the best use of their share of the budget. It includes models off the hull.

    The result is below the optimum by at most the quality of that first step. For up to 24 prompts it is the optimum, unless
    the search had to drop partial choices. That happens if quality grows in proportion to cost. Takes O(n·m·h + nh·log nh)
    for hulls of h steps.

    Args:
        quality: Expected score, shape (n, m). Minus infinity if a model may not take a prompt.
        cost_usd: Expected cost, shape (n, m). Infinite if a model may not take a prompt.
        budget_usd: Upper limit of the summed cost, kept up to one part in 10⁹.

    Raises:
        InputError: If the budget is not a number or below the cost of the cheapest models. Also if a quality or cost is NaN,
            or if no model may take a prompt.
    """
    quality, cost_usd = _mask(np.asarray(quality, np.float64), np.asarray(cost_usd, np.float64))
    choices, steps = find_steps(quality, cost_usd)
    rows = np.arange(len(choices))
    least_quality, least_usd = float(quality[rows, choices].sum()), float(cost_usd[rows, choices].sum())
    room_usd = check_budget(budget_usd, least_usd) * (1 + ROUNDING)
    taken = climb(steps, room_usd - least_usd)
    choices[steps.prompt[taken]] = steps.model[taken]  # numpy keeps the last of several steps of one prompt
    slope, bound = 0.0, least_quality + float(steps.quality[taken].sum())
    if not taken.all():
        critical = int(taken.argmin())
        slope = float(steps.slope[critical])
        left_usd = room_usd - least_usd - float(steps.cost_usd[:critical].sum())
        # The linear relaxation takes the part of the critical step that the rest of the money buys.
        bound = least_quality + float(steps.quality[:critical].sum()) + slope * left_usd
        choices = search_core(quality, cost_usd, choices, slope=slope, room_usd=room_usd)
    return Allocation(
        choices=choices,
        cost_usd=float(cost_usd[rows, choices].sum()),
        quality=float(quality[rows, choices].sum()),
        shadow_price_usd_per_point=0.01 / slope if slope else math.inf,
        bound=float(bound),
    )


def _mask(quality: NDArray[np.float64], cost_usd: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both arrays with infinities in the same places: if a model may not take a prompt."""
    if quality.ndim != 2 or not quality.size or quality.shape != cost_usd.shape:  # noqa: PLR2004 - prompts and models
        raise InputError(f"quality and cost_usd must have the same shape (n, m), got {quality.shape} and {cost_usd.shape}")
    for name, values in (("quality", quality), ("cost_usd", cost_usd)):
        if np.isnan(values).any():
            prompt = int(np.argwhere(np.isnan(values))[0, 0])
            raise InputError(f"{name} must be known, got NaN for prompt {prompt}; use an infinity for a model to leave out")
    usable = np.isfinite(quality) & np.isfinite(cost_usd)
    if not usable.any(axis=1).all():
        prompt = int(usable.any(axis=1).argmin())
        raise InputError(f"every prompt needs a model, got none for prompt {prompt}; make some quality and cost finite")
    return np.where(usable, quality, -math.inf), np.where(usable, cost_usd, math.inf)


def check_budget(budget_usd: float, least_usd: float) -> float:
    """Return the budget.

    Args:
        budget_usd: The budget.
        least_usd: Summed cost of the cheapest model of each prompt.

    Raises:
        InputError: If the budget is not a finite number of 0 or more, or below the least cost.
    """
    if isinstance(budget_usd, bool) or not isinstance(budget_usd, (int, float)) or not 0 <= budget_usd < math.inf:
        raise InputError(f"budget_usd must be a finite number of 0 or more, got {budget_usd!r}")
    if least_usd > budget_usd * (1 + ROUNDING):
        raise InputError(
            f"budget_usd must pay for the cheapest model of every prompt, got {budget_usd!r}; give {least_usd:.12g} or more"
        )
    return budget_usd
