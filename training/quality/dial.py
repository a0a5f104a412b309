"""Expected quality and cost in, the positions of the dial between quality and cost out.

Computes the price of `balanced`, the risk curve behind `max_loss`, and the choices of the contextual strategy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from router.score.choice import fill_unknown, find_utility, rank_models
from router.score.risk import RiskCurve
from router.score.scoring import Expectation
from router.types import RISK_AVERSION, Preference
from training.quality.outcomes import Outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The z-test behind `max_loss` holds for large n only.
_MIN_RISK_PROMPTS = 100
# Rounded, because the steps of arange are not exact decimals and the tolerances are written to the manifest.
_TOLERANCES = np.round(np.arange(-0.1, 0.3001, 0.01), 2)


def find_knee(expected: Expectation) -> float | None:
    """Return the price of a point of quality at the knee, in USD; None if better models do not cost more.

    It is the mean cost of a point on the way from each prompt's cheapest model to its best one. At this price the curve of
    quality over cost is farthest above the straight line between its ends. That is its knee (Satopää et al., 2011, Finding a
    "Kneedle" in a haystack). So `balanced` is at the same place on every benchmark, whatever its prices and scores.

    Args:
        expected: Expectation for n prompts, arrays of shape (n, models). Models with an unknown cost are left out.
    """
    quality, cost_usd = expected.quality - RISK_AVERSION * expected.stderr, expected.cost_usd
    known = ~np.isnan(cost_usd).any(axis=0)
    if not known.any():
        return None
    quality, cost_usd = quality[:, known], cost_usd[:, known]
    # Cheapest model first, and of equally cheap ones the better. argmax then finds the cheapest of the best models.
    order = np.lexsort((-quality, cost_usd))
    quality, cost_usd = (np.take_along_axis(values, order, axis=1) for values in (quality, cost_usd))
    best = quality.argmax(axis=1)[:, None]
    quality_gain, cost_rise = (
        float((np.take_along_axis(values, best, axis=1)[:, 0] - values[:, 0]).mean()) for values in (quality, cost_usd)
    )
    return 0.01 * cost_rise / quality_gain if quality_gain > 0 and cost_rise > 0 else None


def measure_risk(expected: Expectation, outcomes: Outcomes) -> RiskCurve | None:
    """Return the loss of switching to cheaper models on held-out prompts, by tolerance.

    Only prompts that all models answered count.

    Args:
        expected: Held-out expectation for the models and prompts of `outcomes`.
        outcomes: The true scores and costs.

    Returns:
        The curve. None if there are fewer than 100 such prompts, or only one model.
    """
    complete = np.asarray(~np.isnan(outcomes.score).any(axis=1))
    groups = np.unique(np.array(outcomes.groups)[complete], return_inverse=True)[1]
    if complete.sum() < _MIN_RISK_PROMPTS or len(outcomes.models) < 2:  # noqa: PLR2004 - no model to switch to
        return None
    # An unknown cost counts as 0 here. It affects the savings and ties, never the losses.
    score, paid = outcomes.score[complete], np.nan_to_num(outcomes.cost_usd[complete])
    reference = _pick_reference(score, paid)
    answered, rows = expected.take(complete), np.arange(len(score))
    losses, deviations, savings = [], [], []
    for tolerance in _TOLERANCES.tolist():
        preference = Preference(reference=outcomes.models[reference], tolerance=tolerance, risk_aversion=0.0)
        chosen = choose(answered, preference, reference=reference)
        loss = score[:, reference] - score[rows, chosen]
        losses.append(float(loss.mean()))
        deviations.append(_cluster_deviation(loss, groups))
        before = float(paid[:, reference].sum())
        savings.append(1 - float(paid[rows, chosen].sum()) / before if before else 0.0)
    return RiskCurve(
        reference=outcomes.models[reference],
        n=len(score),
        tolerances=_TOLERANCES.tolist(),
        losses=losses,
        deviations=deviations,
        savings=savings,
    )


def choose(
    expected: Expectation, preference: Preference, *, reference: int | None = None, max_cost_usd: float = np.inf
) -> NDArray[np.int64]:
    """Return the model that the contextual strategy chooses for each prompt, shape (n,).

    Args:
        expected: Expected quality and cost of n prompts, arrays of shape (n, models).
        preference: How quality is weighed against cost.
        reference: Column of `preference.reference`.
        max_cost_usd: Models with a higher expected cost are excluded, except the cheapest model of a prompt.
    """
    cost_usd = known_costs(expected)
    affordable = cost_usd <= np.maximum(max_cost_usd, cost_usd.min(axis=1, keepdims=True))
    quality = np.where(affordable, expected.quality - preference.risk_aversion * expected.stderr, -np.inf)
    utility = find_utility(quality, cost_usd, preference)
    return rank_models(quality, cost_usd, utility, preference, reference=reference)[:, 0]


def known_costs(expected: Expectation) -> NDArray[np.float64]:
    """Return expected costs without NaN: the median of a prompt's known costs, or 0 if no model's cost is known."""
    return np.nan_to_num(fill_unknown(expected.cost_usd))


def _pick_reference(score: NDArray[np.float64], paid: NDArray[np.float64]) -> int:
    """Return the model with the best mean score; ties go to the cheaper one."""
    return int(np.lexsort((paid.mean(axis=0), -score.mean(axis=0)))[0])


def _cluster_deviation(loss: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Return a standard deviation σ such that σ²/n is the variance of the mean.

    Prompts of one group are not independent, so their deviations are summed before they are squared.
    """
    sums = np.bincount(groups, loss - loss.mean())
    return float(np.sqrt((sums**2).sum() / len(loss)))
