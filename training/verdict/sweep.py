"""List which model a router chooses for each prompt, at each of its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.score.choice import find_utility, rank_models
from router.score.parameters import make_presets
from router.score.scoring import Expectation
from router.types import RISK_AVERSION, Preference
from training.quality.dial import choose, known_costs

if TYPE_CHECKING:
    from numpy.typing import NDArray

# With the two ends, a sweep has 100 settings.
_PRICES = 98
# Values of the options that reports show, in the range in which people set them.
_FLOORS = (0.8, 0.9, 0.95, 0.98)
_TOLERANCES = (0.0, 0.02, 0.05, 0.1)
_PRICE_FACTORS = (0.01, 0.1, 1.0, 10.0)
_COST_QUANTILES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The choices of a router for n prompts at each of its settings.

    Attributes:
        name: Name of the router or of the option that is swept.
        choices: Indices of models, shape (settings, n), from the cheapest setting to the best one.
        labels: Name of each setting, "" for a setting without a name. Empty if no setting has one.
    """

    name: str
    choices: NDArray[np.int64]
    labels: tuple[str, ...] = ()


def sweep_prices(
    name: str,
    quality: NDArray[np.float64],
    cost_usd: NDArray[np.float64],
    *,
    prices: NDArray[np.float64] | None = None,
) -> Sweep:
    """Return the choices of a router that maximizes expected quality − price · expected cost, for a range of prices.

    Ties go to the cheaper model, then to the better one, then to the first one. The first setting takes the cheapest model
    for each prompt, the last setting takes the best one.

    Args:
        name: Name of the router.
        quality: Expected scores, shape (n, m).
        cost_usd: Expected costs in USD, shape (n, m).
        prices: Prices of the settings in between, in points of score per USD, falling. By default 98 prices in geometric
            steps. They start at the price at which nearly all prompts go to their cheapest model. They end at the price at
            which nearly all go to their best model.
    """
    # The first setting needs no price: even the highest price may leave some prompts at a more expensive model.
    order = np.lexsort((-quality, cost_usd))
    if prices is None:
        prices = _spread_prices(*(np.take_along_axis(values, order, axis=1) for values in (quality, cost_usd)))
    preferences = [*(Preference(usd_per_point=0.01 / price) for price in prices.tolist()), Preference()]
    chosen = [
        rank_models(quality, cost_usd, find_utility(quality, cost_usd, preference), preference)[:, 0]
        for preference in preferences
    ]
    return Sweep(name=name, choices=np.stack([order[:, 0], *chosen]))


def _spread_prices(quality: NDArray[np.float64], cost_usd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return falling prices that cover the range in which choices change, or none if no price changes a choice.

    At the first price 1 % of the prompts have left their cheapest model. At the last one 99 % are at their best model.

    Args:
        quality: Expected scores, shape (n, m). Each row goes from the cheapest model to the most expensive one.
        cost_usd: Expected costs in the same order.
    """
    best = quality.argmax(axis=1)[:, None]
    # Models of equal cost give 0/0 or x/0 here. Both are filtered out below.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        away = (quality - quality[:, :1]) / (cost_usd - cost_usd[:, :1])
        arrive = (np.take_along_axis(quality, best, 1) - quality) / (np.take_along_axis(cost_usd, best, 1) - cost_usd)
    leave = np.where(np.isfinite(away), away, 0).max(axis=1)
    reach = np.where(np.isfinite(arrive) & (arrive > 0), arrive, np.inf).min(axis=1)
    moved = (leave > 0) & np.isfinite(reach)
    if not moved.any():
        return np.empty(0)
    return np.geomspace(np.quantile(leave[moved], 0.99), np.quantile(reach[moved], 0.01), _PRICES)


def sweep_router(expected: Expectation, usd_per_point: float | None) -> Sweep:
    """Return the router's choices at a range of prices, followed by those of its presets.

    Args:
        expected: Expected quality and cost of the n prompts.
        usd_per_point: Price of a point of quality in the preset `balanced`. None: leave out the presets.
    """
    prices = sweep_prices("router", expected.quality - RISK_AVERSION * expected.stderr, known_costs(expected))
    if usd_per_point is None:
        return prices
    presets = make_presets(usd_per_point)
    named = {name: choose(expected, presets[name]) for name in ("cheap", "balanced", "quality")}
    # The presets stand after the prices although they are not in order of cost. Hulls and curves do not depend on the order.
    choices = np.vstack([prices.choices, *(chosen[None] for chosen in named.values())])
    return Sweep(name=prices.name, choices=choices, labels=("",) * len(prices.choices) + tuple(named))


def sweep_options(expected: Expectation, models: Sequence[str], strong: int, usd_per_point: float | None) -> list[Sweep]:
    """Return the choices at four values of each option of `Router.route` that weighs quality against cost.

    Args:
        expected: Expected quality and cost of the n prompts.
        models: Names of the models.
        strong: Index of the best single model, the baseline of `max_loss`.
        usd_per_point: Price of a point of quality in the preset `balanced`. None: leave out the options in USD.
    """
    floors = [choose(expected, Preference(quality_floor=floor)) for floor in _FLOORS]
    within = [
        choose(expected, Preference(reference=models[strong], tolerance=tolerance), reference=strong)
        for tolerance in _TOLERANCES
    ]
    sweeps = [
        _sweep_of("quality_floor", _FLOORS, floors, digits=6),
        _sweep_of("tolerance of max_loss", _TOLERANCES, within, digits=6),
    ]
    if usd_per_point is not None:
        # Factors around the price of `balanced`, because a useful price in USD differs between benchmarks.
        prices = [usd_per_point * factor for factor in _PRICE_FACTORS]
        paying = [choose(expected, Preference(usd_per_point=price)) for price in prices]
        sweeps.append(_sweep_of("usd_per_point", prices, paying, digits=1))
        # Quantiles of the expected costs: fixed limits would exclude all models on one benchmark and none on another.
        limits = np.quantile(known_costs(expected), _COST_QUANTILES).tolist()
        capped = [choose(expected, Preference(), max_cost_usd=limit) for limit in limits]
        sweeps.append(_sweep_of("max_cost_usd", limits, capped, digits=1))
    return sweeps


def _sweep_of(name: str, values: Sequence[float], choices: Sequence[NDArray[np.int64]], *, digits: int) -> Sweep:
    """Return a sweep whose settings are named by their values, to so many significant digits."""
    return Sweep(name=name, choices=np.stack(choices), labels=tuple(f"{value:.{digits}g}" for value in values))
