"""Classified prompts come in, expected quality, cost and latency of every model for all of them go out, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from router.score.choice import fill_unknown, find_utility, rank_models
from router.score.scoring import MediaArrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.batch.classified import Classified
    from router.score.scoring import ProfileTable
    from router.types import Preference


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of n prompts under m models, in the order of the model folder. All arrays have the shape (n, m).

    Attributes:
        quality: Expected score in [0, 1].
        bound: What models are compared by: the quality less what the aversion to risk takes off.
        cost_usd: Expected cost in USD. NaN if no candidate's cost is known.
        latency_s: Expected seconds to a whole answer. NaN if no candidate's latency is known.
        usable: Whether a model may be chosen.
    """

    quality: NDArray[np.float64]
    bound: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    usable: NDArray[np.bool_]

    def mask(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return bound and cost as an allocation takes them: infinite if a model may not be chosen."""
        return np.where(self.usable, self.bound, -np.inf), np.where(self.usable, self.cost_usd, np.inf)


def score_prompts(table: ProfileTable, classified: Classified, max_cost_usd: float, risk_aversion: float) -> Scores:
    """Return the scores of all prompts. They equal those of `ProfileTable.score` in every bit.

    Args:
        table: The profiles.
        classified: The prompts.
        max_cost_usd: Models that are expected to cost more for a prompt may not be chosen.
        risk_aversion: Standard errors that are taken off the quality.
    """
    audio, image = (classified.media[:, kind, None, None] for kind in range(2))
    # A matrix of one row per prompt: the product of all rows at once would round in another order.
    expected = table.expect(
        classified.probabilities[:, None, :],
        tokens=classified.tokens[:, None, None],
        shift=classified.shift[:, None, :],
        log_ratio=classified.log_ratio[:, None, :],
        media=MediaArrays(audio, image),
    )
    quality, cost_usd = expected.quality[:, 0], expected.cost_usd[:, 0].copy()
    bound = quality - risk_aversion * expected.stderr[:, 0]
    latency_s = np.tile(table.latency_s, (len(quality), 1))
    for rows, columns in _group(classified.candidates):
        here = np.ix_(rows, columns)
        cost_usd[here], latency_s[here] = fill_unknown(cost_usd[here]), fill_unknown(latency_s[here])
    # An unknown cost is over no limit.
    usable = classified.candidates & ~(cost_usd > max_cost_usd)
    return Scores(quality=quality, bound=bound, cost_usd=cost_usd, latency_s=latency_s, usable=usable)


def choose_best(table: ProfileTable, scores: Scores, preference: Preference) -> NDArray[np.int64]:
    """Return the model of each prompt by the choice rule, shape (n,). −1 if none may be chosen.

    Args:
        table: The profiles.
        scores: The scores.
        preference: How quality is weighed against cost and time.
    """
    best = np.full(len(scores.bound), -1)
    reference = table.names.index(preference.reference) if preference.reference in table.names else -1
    for rows, columns in _group(scores.usable):
        here = np.ix_(rows, columns)
        bound, cost_usd = scores.bound[here], scores.cost_usd[here]
        places = columns.tolist()
        order = rank_models(
            bound,
            cost_usd,
            find_utility(bound, cost_usd, preference, latency_s=scores.latency_s[here]),
            preference,
            reference=places.index(reference) if reference in places else None,
        )
        best[rows] = columns[order[:, 0]]
    return best


def _group(mask: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the rows that have the same true columns, and these columns. Rows without any are left out."""
    kinds, kind_of = np.unique(np.packbits(mask, axis=1), axis=0, return_inverse=True)
    for kind, bits in enumerate(kinds):
        columns = np.flatnonzero(np.unpackbits(bits, count=mask.shape[1]))
        if len(columns):
            yield np.flatnonzero(kind_of.ravel() == kind), columns
