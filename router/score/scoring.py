"""Task probabilities come in. Expected quality, cost and latency of every model go out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from router.classify.heads import Features, PromptHeads
from router.classify.parts import NO_MEDIA, Media
from router.score.choice import fill_unknown, find_utility
from router.score.profile_arrays import (
    tabulate_extra_usd,
    tabulate_measured_usd,
    tabulate_output_tokens,
    tabulate_quality,
    to_array,
)
from router.types import ModelProfile, ModelScore, Preference

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Linear layers have no bounds, and neither have prompts. So a prompt shifts quality by at most this number of logits, and
# cost by at most this logarithm of a ratio.
_MAX_SHIFT, _MAX_LOG_RATIO = 4.0, 3.0

# Qualities are kept this far from 0 and 1 before they become logits, which would be infinite there.
_MIN_QUALITY = 1e-3

_NO_LATENCIES: Mapping[str, float] = MappingProxyType({})

# One shared set per combination, because a score is made for every model of every prompt.
_ASSUMED = {
    (False, False): frozenset[str](),
    (True, False): frozenset({"cost_usd"}),
    (False, True): frozenset({"latency_s"}),
    (True, True): frozenset({"cost_usd", "latency_s"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Expected quality and cost, in arrays of shape (..., models).

    Attributes:
        quality: Expected score in [0, 1].
        stderr: Standard error of the quality.
        cost_usd: Expected cost in USD. NaN if unknown.
        quality_by_task: Expected score from the task alone, before the shift by the prompt.
        shift: Shift of the quality by the prompt, in logits.
    """

    quality: NDArray[np.float64]
    stderr: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    quality_by_task: NDArray[np.float64]
    shift: NDArray[np.float64]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Expectation:
        """Return the expectation for some of the prompts.

        Args:
            rows: Indices or mask along the first axis.
        """
        return Expectation(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


class MediaArrays(NamedTuple):
    """The `Media` of many prompts.

    Attributes:
        audio: Tokens of recordings.
        image: Tokens of images.
    """

    audio: NDArray[np.int64]
    image: NDArray[np.int64]


class ProfileTable:
    """The profiles as arrays, built once. Scores all models in some microseconds.

    Args:
        profiles: The models. Their order is kept.
        tasks: Tasks that predictions may name, besides those in the profiles.
        heads: Shifts of quality and cost by the text of a prompt. None: only the task counts.

    Attributes:
        names: Names of the models, in their order.
        tasks: All tasks, in the order of every array.
        latency_s: Expected seconds to a whole answer by model, shape (models,). NaN if unknown.
    """

    def __init__(self, profiles: Sequence[ModelProfile], tasks: Sequence[str], *, heads: PromptHeads | None = None) -> None:
        self.names = tuple(profile.name for profile in profiles)
        self.tasks = tuple(dict.fromkeys([*tasks, *(task for profile in profiles for task in profile.quality)]))
        self._row = {name: row for row, name in enumerate(self.names)}
        self._quality, self._stderr = tabulate_quality(profiles, self.tasks)
        # Built once, because every score of a model holds the same dictionary.
        self._quality_by_task = [dict(zip(self.tasks, row, strict=True)) for row in self._quality.tolist()]
        self._output_tokens = tabulate_output_tokens(profiles, self.tasks)
        self._input_usd = to_array([profile.input_usd_per_mtok for profile in profiles]) / 1e6
        self._output_usd = to_array([profile.output_usd_per_mtok for profile in profiles]) / 1e6
        self._audio_extra_usd, self._image_extra_usd = tabulate_extra_usd(profiles)
        self._measured_usd = tabulate_measured_usd(profiles, self.tasks)
        self.latency_s = to_array([profile.latency_s for profile in profiles])
        self._set_heads(heads)

    def score(
        self,
        candidates: Sequence[str],
        probabilities: Mapping[str, float],
        *,
        tokens: int,
        preference: Preference,
        latency_s: Mapping[str, float] = _NO_LATENCIES,
        features: Features | None = None,
        trust: float = 1.0,
        media: Media = NO_MEDIA,
    ) -> dict[str, ModelScore]:
        """Return the score of each candidate for a prompt, in the order of the candidates.

        quality(m) = Σ_t p(t) · quality(m, t) over all tasks, so an unsure prediction hedges on its own. With heads, the text
        of the prompt shifts it (see `expect`).
        bound(m) = quality(m) − risk_aversion · stderr(m). The errors of a model on several tasks are related. So its
        standard error is at most Σ_t p(t) · stderr(m, t), and this is what is taken.
        utility(m) = bound(m) − 0.01 · cost(m) / usd_per_point − 0.01 · seconds(m) / seconds_per_point.

        Args:
            candidates: Names of the models to score.
            probabilities: Probability of each task, summing to 1.
            tokens: Size of the prompt.
            preference: The value of a point of quality.
            latency_s: Observed seconds by model. They replace those of the profiles.
            features: Features of the prompt. None: only its task counts.
            trust: Share of the prediction that comes from the prompt itself, not from earlier turns, in [0, 1].
            media: How many of the tokens are audio and images.
        """
        rows = [self._row[name] for name in candidates]
        p = np.array([probabilities.get(task, 0.0) for task in self.tasks])
        expected = self._expect_one(p, tokens=tokens, media=media, features=features, trust=trust)
        quality, stderr, shift = expected.quality[rows], expected.stderr[rows], expected.shift[rows]
        bound = quality - preference.risk_aversion * stderr
        cost, cost_assumed = _fill(expected.cost_usd[rows])
        known = self.latency_s[rows]
        if latency_s:
            known = np.array([latency_s.get(name, given) for name, given in zip(candidates, known.tolist(), strict=True)])
        latency, latency_assumed = _fill(known)
        utility = find_utility(bound, cost, preference, latency_s=latency)
        # Lists, because reading an array element by element costs more than all the arithmetic above.
        columns = (quality, stderr, bound, utility, shift, cost_assumed, latency_assumed)
        terms = zip(
            candidates, rows, *(column.tolist() for column in columns), _to_list(cost), _to_list(latency), strict=True
        )
        return {
            name: ModelScore(
                model=name,
                quality=quality_m,
                stderr=stderr_m,
                bound=bound_m,
                cost_usd=cost_m,
                latency_s=latency_m,
                assumed=_ASSUMED[assumes_cost, assumes_latency],
                utility=utility_m,
                quality_by_task=self._quality_by_task[row],
                shift=shift_m,
            )
            for (
                name,
                row,
                quality_m,
                stderr_m,
                bound_m,
                utility_m,
                shift_m,
                assumes_cost,
                assumes_latency,
                cost_m,
                latency_m,
            ) in terms
        }

    def expect(
        self,
        p: NDArray[np.float64],
        *,
        tokens: int | NDArray[np.int64],
        shift: NDArray[np.floating[Any]] | float = 0.0,
        log_ratio: NDArray[np.floating[Any]] | float = 0.0,
        media: Media | MediaArrays = NO_MEDIA,
    ) -> Expectation:
        """Return the expected quality and cost of all models, for one prompt or for many at once.

        quality = σ(logit(Σ_t p(t) · quality(t)) + shift), as in item response theory. On the scale of logits an easy prompt
        lifts weak models most, but never above strong ones with the same shift.
        cost = cost by task · exp(log_ratio).
        Shift and ratio are bounded. They count with the probability of the tasks that use them.

        Args:
            p: Probability of each of `self.tasks`, shape (..., tasks).
            tokens: Size of the prompt. For several prompts, shape (..., 1).
            shift: Shift of quality by the prompts, in logits, shape (..., models).
            log_ratio: Logarithm of the ratio by which the prompts change the cost, shape (..., models).
            media: How many of the tokens are audio and images. For several prompts, each of shape (..., 1).
        """
        by_task, stderr = p @ self._quality.T, p @ self._stderr.T
        cost = self._price(p, tokens, media)
        if self._heads is None:
            return Expectation(
                quality=by_task, stderr=stderr, cost_usd=cost, quality_by_task=by_task, shift=np.zeros_like(by_task)
            )
        counted = np.clip(shift, -_MAX_SHIFT, _MAX_SHIFT) * (p @ self._shifts_quality)[..., None]
        bounded = np.clip(by_task, _MIN_QUALITY, 1 - _MIN_QUALITY)
        ratio = np.clip(log_ratio, -_MAX_LOG_RATIO, _MAX_LOG_RATIO) * (p @ self._shifts_cost)[..., None]
        # Without a shift the quality stays exactly as it is, even if it lies outside the bounds for logits.
        quality = np.where(counted == 0, by_task, 1 / (1 + (1 / bounded - 1) * np.exp(-counted)))
        return Expectation(
            quality=quality,
            # An error in logits is small where the logistic function is flat.
            stderr=stderr * _slope(quality) / _slope(by_task),
            cost_usd=cost * np.exp(ratio),
            quality_by_task=by_task,
            shift=counted + np.zeros_like(by_task),
        )

    @property
    def has_heads(self) -> bool:
        """Whether the text of a prompt shifts quality and cost."""
        return self._heads is not None

    def find_shifts(
        self, features: Features | None, trust: float
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]] | None:
        """Return by how much a prompt's text shifts quality and cost, as `expect` takes it, both of shape (models,).

        None if there are no heads or no features.

        Args:
            features: Features of the prompt.
            trust: Share of the prediction that comes from the prompt itself, in [0, 1].
        """
        if self._heads is None or features is None:
            return None
        return trust * self._heads.quality.apply(features), trust * self._heads.cost.apply(features)

    def with_heads(self, heads: PromptHeads) -> ProfileTable:
        """Return a copy of the table with other heads."""
        # A shallow copy is enough: the arrays are never changed, and only the heads differ.
        table = copy(self)
        table._set_heads(heads)
        return table

    def _expect_one(
        self, p: NDArray[np.float64], *, tokens: int, media: Media, features: Features | None, trust: float
    ) -> Expectation:
        """Return the expectation for one prompt."""
        shifts = self.find_shifts(features, trust)
        if shifts is None:
            return self.expect(p, tokens=tokens, media=media)
        return self.expect(p, tokens=tokens, shift=shifts[0], log_ratio=shifts[1], media=media)

    def _price(
        self, p: NDArray[np.float64], tokens: int | NDArray[np.int64], media: Media | MediaArrays
    ) -> NDArray[np.float64]:
        """Return the cost by task: from list prices if they are known, else as measured."""
        by_price = tokens * self._input_usd + (p @ self._output_tokens.T) * self._output_usd
        if media is not NO_MEDIA:
            by_price = by_price + media.audio * self._audio_extra_usd + media.image * self._image_extra_usd
        return np.where(np.isnan(by_price), p @ self._measured_usd.T, by_price)

    def _set_heads(self, heads: PromptHeads | None) -> None:
        self._heads = None if heads is None else heads.arrange(self.names)
        shifted = (frozenset[str](), frozenset[str]()) if heads is None else (heads.quality_tasks, heads.cost_tasks)
        self._shifts_quality, self._shifts_cost = (
            np.array([task in tasks for task in self.tasks], np.float64) for tasks in shifted
        )


def _fill(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the values with the unknown ones filled, and a mask of the filled ones."""
    filled = fill_unknown(values)
    return filled, np.isnan(values) & ~np.isnan(filled)


def _slope(quality: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the slope of the logistic function at each quality, which turns an error in logits into one in quality."""
    bounded = np.clip(quality, _MIN_QUALITY, 1 - _MIN_QUALITY)
    return np.asarray(bounded * (1 - bounded))


def _to_list(values: NDArray[np.float64]) -> list[float | None]:
    """Return the values, with None for NaN."""
    return [None if math.isnan(value) else value for value in values.tolist()] if np.isnan(values).any() else values.tolist()
