"""The choice rule: expected quality, cost and latency of the models in, a ranking of them out.

Quality is here what models are compared by: the expected score less the standard errors that `risk_aversion` takes off.
Every function takes arrays of shape (..., models). The runtime passes one row, training and the verdict pass one row per
prompt. The guarantee of `max_loss` holds only because both sides call this code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.types import Preference


def rank_models(
    quality: NDArray[np.float64],
    cost_usd: NDArray[np.float64],
    utility: NDArray[np.float64],
    preference: Preference,
    *,
    reference: int | None = None,
) -> NDArray[np.int64]:
    """Return the models of each row, best first, as indices of shape (..., models).

    If the preference sets prices for cost and time (`preference.weighs`), models are ranked by utility. Ties go to the
    cheaper model. Otherwise the models that are good enough come first, the cheapest of them first. The others follow by
    quality, and ties go to the better model. Last, the order of the columns decides.

    Args:
        quality: What models are compared by, at most 1.
        cost_usd: Expected cost in USD. NaN if unknown, which ranks last.
        utility: Quality less what cost and latency take away, from `find_utility`.
        preference: How quality is weighed against cost and latency.
        reference: Column of `preference.reference`. None if that model is not among the columns.
    """
    cost_usd = np.where(np.isnan(cost_usd), np.inf, cost_usd)
    if preference.weighs:
        return np.asarray(np.lexsort((cost_usd, -utility), axis=-1), np.int64)
    enough = find_good_enough(quality, preference, reference=reference)
    return np.asarray(np.lexsort((-quality, np.where(enough, cost_usd, -quality), ~enough), axis=-1), np.int64)


def find_good_enough(
    quality: NDArray[np.float64], preference: Preference, *, reference: int | None = None
) -> NDArray[np.bool_]:
    """Return which models are good enough, shape (..., models). With `preference.weighs` all are.

    With `quality_floor` a model needs that share of the best model's quality. With `max_loss` it needs the quality of the
    reference less the tolerance. The best model, or the reference, is always good enough.

    Args:
        quality: What models are compared by, at most 1.
        preference: Holds the floor, or the tolerance.
        reference: Column of `preference.reference`. None: the best model of each row takes its place.
    """
    if preference.weighs:
        return np.ones(quality.shape, np.bool_)
    baseline = (quality.argmax(axis=-1) if reference is None else np.full(quality.shape[:-1], reference))[..., None]
    best = np.take_along_axis(quality, baseline, axis=-1)
    floor = preference.quality_floor
    enough = np.asarray(quality >= (best - preference.tolerance if floor is None else floor * best))
    np.put_along_axis(enough, baseline, True, axis=-1)
    return enough


def find_utility(
    quality: NDArray[np.float64],
    cost_usd: NDArray[np.float64],
    preference: Preference,
    *,
    latency_s: NDArray[np.float64] | float = np.nan,
) -> NDArray[np.float64]:
    """Return quality − 0.01 · (cost_usd / usd_per_point + latency_s / seconds_per_point), shape (..., models).

    A cost or latency of NaN counts as 0: after `fill_unknown` it is unknown for all models, so it cannot tell them apart.

    Args:
        quality: What models are compared by, at most 1.
        cost_usd: Expected cost in USD.
        preference: What a point of quality (0.01) is worth.
        latency_s: Expected seconds to a whole answer.
    """
    cost_usd, latency_s = (np.where(np.isnan(values), 0.0, values) for values in (cost_usd, latency_s))
    price = 0.01 * (cost_usd / preference.usd_per_point + latency_s / preference.seconds_per_point)
    return np.asarray(quality - price)


def fill_unknown(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values with NaN replaced by the median of the row's known values. An unknown cost is not zero.

    A row without any known value stays as it is.
    """
    unknown = np.isnan(values)
    fillable = np.asarray(unknown.any(axis=-1, keepdims=True) & ~unknown.all(axis=-1, keepdims=True))
    if not fillable.any():
        return values
    # nanmedian warns about a row of NaN alone, so such a row takes part with zeros that are not used.
    medians = np.nanmedian(np.where(fillable, values, 0.0), axis=-1, keepdims=True)
    return np.where(unknown & fillable, medians, values)
