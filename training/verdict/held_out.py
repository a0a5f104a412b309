"""Choose a router's settings on some prompts, and measure them on the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.quality.outcomes import Outcomes, split_groups
from training.verdict.curves import convex_hull
from training.verdict.score_table import TOLERANCE, ScoreTable, find_best, gather

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Share of the best single model's quality that counts as nearly equal.
NEAR = 0.98
_FOLDS = 5
# A single split is noisy: which prompts are held out can change the setting that is chosen.
_REPEATS = 10


def choose_held_out(table: ScoreTable, kept: Outcomes, options: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the held-out results of four options, averaged over ten random splits into five folds.

    The options are the best single model and the three settings of `_pick_options`. All are chosen on four folds and
    measured on the fifth.

    Args:
        table: The outcomes.
        kept: The same outcomes with their groups. A group stays on one side of a split.
        options: Choices for every prompt, shape (settings + m, n). The last m rows are the single models.

    Returns:
        Shape (4, 3, n). The second axis holds the score, the cost in USD, and the score of a random mix of two single models
        at the same cost.
    """
    score, cost = gather(table.score, options), gather(table.cost_usd, options)
    m = table.score.shape[1]
    folds = min(_FOLDS, int(table.group.max()) + 1)
    total = np.zeros((4, 3, len(table.score)))
    # The seeds follow from the table's seed, so a verdict can be reproduced.
    for repeat in range(_REPEATS):
        fold = split_groups(kept, folds, seed=table.seed + repeat)
        for here in (fold == i for i in range(folds)):
            others = ~here / (~here).sum()
            quality, paid = score @ others, cost @ others
            picked = _pick_options(quality, paid, m)
            # The mix is also chosen on the other prompts, so that router and mix are compared on equal terms.
            mixes = np.stack([_mix_models(quality[-m:], paid[-m:], at) for at in paid[picked]])
            found = (score[picked][:, here], cost[picked][:, here], mixes @ table.score[here].T)
            # Each prompt is held out exactly once in each split, so the sum over splits divided by their number is a mean.
            total[:, :, here] += np.stack(found, axis=1)
    return total / _REPEATS


def _pick_options(quality: NDArray[np.float64], cost: NDArray[np.float64], m: int) -> list[int]:
    """Return the indices of four options.

    1. The best single model.
    2. The best option that costs no more than it.
    3. The cheapest option with at least its quality.
    4. The cheapest option with at least 98 % of its quality.

    Args:
        quality: Mean score of each option. The last m options are the single models.
        cost: Mean cost of each option.
        m: Number of single models.
    """
    single = len(quality) - m + int(find_best(quality[-m:], cost[-m:]))
    # The best single model is among the options, so that each of the four exists. The other single models are not: a saving
    # by one of them would not be the router's.
    options = np.append(np.arange(len(quality) - m), single)
    quality, cost = quality[options], cost[options]
    by_quality, by_cost = np.lexsort((cost, -quality)), np.lexsort((-quality, cost))
    within = by_quality[cost[by_quality] <= cost[-1] * (1 + TOLERANCE)]
    reaching = [by_cost[quality[by_cost] >= share * quality[-1] - TOLERANCE] for share in (1.0, NEAR)]
    return [single, *(int(options[rows[0]]) for rows in (within, *reaching))]


def _mix_models(quality: NDArray[np.float64], cost: NDArray[np.float64], at_usd: float) -> NDArray[np.float64]:
    """Return the shares of prompts for each single model which give the highest quality at a cost, shape (m,)."""
    points = list(zip(cost.tolist(), quality.tolist(), strict=True))
    hull = convex_hull(points)
    shares = np.zeros(len(points))
    costs = [corner[0] for corner in hull]
    # Interpolating the unit vectors gives the weights of the two corners around the cost.
    shares[[points.index(corner) for corner in hull]] = [np.interp(at_usd, costs, unit) for unit in np.eye(len(hull))]
    return shares


def held_out_figures(held_out: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the options of `choose_held_out` gain and save against the best single model.

    Args:
        held_out: Results of `choose_held_out`.
        weights: Weights of prompts, shape (rows, n).

    Returns:
        Shape (rows, 10). Gain in quality and relative change of cost at equal cost come first. The four figures of a
        `Saving` at equal quality follow, and the same four at nearly equal quality.
    """
    best, gaining, *saving = (weights @ part.T for part in held_out)
    columns = [gaining[:, 0] - best[:, 0], _divide(gaining[:, 1], best[:, 1]) - 1]
    for found in saving:
        columns += [1 - _divide(found[:, 1], best[:, 1]), _divide(found[:, 0], best[:, 0])]
        columns += [found[:, 0] - best[:, 0], found[:, 0] - found[:, 2]]
    return np.stack(columns, axis=1)


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return part / whole, or 1 (no change) if the whole is 0."""
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)
