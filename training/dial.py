"""What the dial's positions are worth on a benchmark: the price at the knee of the curve, and what cheaper models lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from router.risk import RiskCurve
from router.scoring import Expectation
from training.outcomes import Outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_PROMPTS = 100
_TOLERANCES = np.round(np.arange(-0.1, 0.3001, 0.01), 2)


def find_knee(expected: Expectation) -> float | None:
    """Return USD that a point of quality is worth where it is balanced with cost; None where quality costs nothing more.

    What a point costs on average on the way from the cheapest model of every prompt to the best one. Whoever pays that much
    stands where the curve is farthest above the straight line between its ends: its knee (Satopää et al., 2011, Finding a
    "Kneedle" in a haystack). So `balanced` is the same place on every benchmark, whatever its prices and scores.

    Args:
        expected: Of n prompts, arrays of shape (n, models).
    """
    quality, cost_usd = expected.quality, expected.cost_usd
    known = ~np.isnan(cost_usd).any(axis=0)
    if not known.any():
        return None
    quality, cost_usd = quality[:, known], cost_usd[:, known]
    order = np.lexsort((-quality, cost_usd))
    quality, cost_usd = (np.take_along_axis(values, order, axis=1) for values in (quality, cost_usd))
    best = quality.argmax(axis=1)[:, None]
    more, dearer = (
        float((np.take_along_axis(values, best, axis=1)[:, 0] - values[:, 0]).mean()) for values in (quality, cost_usd)
    )
    return 0.01 * dearer / more if more > 0 and dearer > 0 else None


def measure_risk(expected: Expectation, outcomes: Outcomes) -> RiskCurve | None:
    """Return what switching to cheaper models loses on prompts held out; None below 100 prompts that all models answered.

    Args:
        expected: Held out, of the models and prompts of `outcomes`.
        outcomes: What the models really did.
    """
    complete = ~np.isnan(outcomes.score).any(axis=1)
    groups = np.unique(np.array(outcomes.groups)[complete], return_inverse=True)[1]
    if complete.sum() < FEWEST_PROMPTS or len(outcomes.models) < 2:  # noqa: PLR2004 - nobody to switch to
        return None
    score, paid = outcomes.score[complete], np.nan_to_num(outcomes.cost_usd[complete])
    reference = _pick_reference(score, paid)
    rows = np.arange(len(score))
    losses, deviations, savings = [], [], []
    for tolerance in _TOLERANCES:
        chosen = choose_within(expected.quality[complete], expected.cost_usd[complete], reference, float(tolerance))
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


def choose_within(
    quality: NDArray[np.float64], cost_usd: NDArray[np.float64], reference: int, tolerance: float
) -> NDArray[np.int64]:
    """Return the cheapest model of each prompt whose quality is at least the reference's less a tolerance, or that itself.

    Ties go to the better model, then to the first; an unknown cost counts as the median of those known. As the runtime does
    it (`router.strategies.contextual`, `router.scoring`).
    """
    enough = quality >= quality[:, [reference]] - tolerance
    enough[:, reference] = True
    unknown = np.isnan(cost_usd)
    if unknown.all():
        cost_usd = np.zeros_like(cost_usd)
    elif unknown.any():
        cost_usd = np.where(unknown, np.nanmedian(cost_usd, axis=1, keepdims=True), cost_usd)
    return np.asarray(np.lexsort((-quality, np.where(enough, cost_usd, np.inf)))[:, 0], np.int64)


def _pick_reference(score: NDArray[np.float64], paid: NDArray[np.float64]) -> int:
    return int(np.lexsort((paid.mean(axis=0), -score.mean(axis=0)))[0])


def _cluster_deviation(loss: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Return the deviation whose square over n is the variance of the mean, prompts of one group not being independent."""
    sums = np.bincount(groups, loss - loss.mean())
    return float(np.sqrt((sums**2).sum() / len(loss)))
