"""Select the prompts on which every model was measured, as arrays of scores and costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.data.table import DatasetError
from training.quality.outcomes import Outcomes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Sums of the same numbers in another order differ by less than this.
TOLERANCE = 1e-9
# A bootstrap over groups needs two groups to vary at all.
_FEWEST_GROUPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """Scores and costs of m models on n prompts, without gaps.

    Attributes:
        score: Measured scores, shape (n, m).
        cost_usd: Measured cost of each answer in USD, shape (n, m). All 0 if costs are unknown.
        group: Group of each prompt, numbered from 0, shape (n,). Prompts of one group are resampled together.
        priced: Whether costs are known.
        seed: Seed of the bootstrap.
    """

    score: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    group: NDArray[np.int64]
    priced: bool
    seed: int


def complete_prompts(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Return a mask of the prompts on which every model was measured, shape (n,).

    A prompt needs a score of every model. If costs are known, it needs a cost of every model too.

    Raises:
        DatasetError: If these prompts form fewer than two groups.
    """
    missing = np.isnan(outcomes.score)
    # If costs are unknown, missing ones must not exclude all prompts.
    if _is_priced(outcomes):
        missing |= np.isnan(outcomes.cost_usd)
    complete = np.asarray(~missing.any(axis=1))
    groups = {outcomes.groups[i] for i in np.flatnonzero(complete).tolist()}
    if len(groups) < _FEWEST_GROUPS:
        raise DatasetError(
            f"prompts with a score (and cost, if costs are given) of every model must form at least {_FEWEST_GROUPS} "
            f"groups, got {len(groups)} among {len(complete)} prompts; measure more prompts, or leave out a model"
        )
    return complete


def _is_priced(outcomes: Outcomes) -> bool:
    """Return whether every model has some known cost, and not all of the costs are 0."""
    # If all costs are 0, there is nothing to weigh.
    known = ~np.isnan(outcomes.cost_usd)
    return bool(known.any(axis=0).all() and outcomes.cost_usd[known].any())


def tabulate(kept: Outcomes, seed: int) -> ScoreTable:
    """Return complete outcomes as a table.

    Args:
        kept: Outcomes of the complete prompts alone; see `complete_prompts`.
        seed: Seed of the bootstrap.
    """
    priced = _is_priced(kept)
    return ScoreTable(
        score=kept.score,
        cost_usd=kept.cost_usd if priced else np.zeros_like(kept.score),
        group=np.unique(kept.groups, return_inverse=True)[1],
        priced=priced,
        seed=seed,
    )


def find_best(quality: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of the best model along the last axis; ties go to the cheaper one."""
    return np.lexsort((cost, -quality))[..., 0]


def gather(values: NDArray[np.float64], choices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the value of each chosen model.

    Args:
        values: One value for each prompt and model, shape (n, m).
        choices: Indices of models, shape (settings, n) or (n,).

    Returns:
        Values in the shape of `choices`.
    """
    return values[np.arange(len(values)), choices]
