"""The utility of every model for one prompt: what quality to expect, less what cost and time take away."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from router.heads import Features, PromptHeads
from router.risk import RiskCurve
from router.types import ModelProfile, ModelScore, Preference

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Length of an answer in tokens where no figure says otherwise.
DEFAULT_OUTPUT_TOKENS = 500.0
_ASSUMED = {
    (False, False): frozenset[str](),
    (True, False): frozenset({"cost_usd"}),
    (False, True): frozenset({"latency_s"}),
    (True, True): frozenset({"cost_usd", "latency_s"}),
}
_NO_LATENCIES: Mapping[str, float] = MappingProxyType({})
_NO_EVIDENCE = (0.5, 0.5)  # mean and standard error of a quality in [0, 1] of which nothing is known
# Linear layers know no bounds, prompts none either: a prompt moves quality by at most so many logits, and cost by at most
# this logarithm of a ratio.
_MOST_SHIFT, _MOST_LOG_RATIO = 4.0, 3.0
# Qualities are kept so far from 0 and 1 before they become logits.
_LEAST_QUALITY = 1e-3


def make_presets(usd_per_point: float) -> Mapping[str, Preference]:
    """Return the named preferences, given what a point of quality is worth where it is balanced with cost."""
    return {
        "quality": Preference(),
        "balanced": Preference(usd_per_point=usd_per_point),
        "cheap": Preference(usd_per_point=usd_per_point / 10),
        "fast": Preference(usd_per_point=usd_per_point, seconds_per_point=1.0),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a benchmark taught, beside the profiles.

    Attributes:
        heads: What prompts themselves say of the models; None: nothing.
        presets: The named preferences.
        risk: What switching to cheaper models lost on prompts held out; None: not measured.

    >>> Calibration(presets=make_presets(0.0003)).presets["balanced"].usd_per_point
    0.0003
    """

    heads: PromptHeads | None = None
    presets: Mapping[str, Preference] = field(default_factory=lambda: make_presets(5e-4))
    risk: RiskCurve | None = None


UNCALIBRATED = Calibration()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What to expect of models, in arrays of shape (…, models).

    Attributes:
        quality: In [0, 1].
        cost_usd: USD; NaN where nothing is known.
        quality_by_task: Before the prompt itself was heeded.
        shift: How much that moved it, in logits.
    """

    quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    quality_by_task: NDArray[np.float64]
    shift: NDArray[np.float64]


class ProfileTable:
    """The profiles as arrays, made once; scores all models in some microseconds.

    Args:
        profiles: The models; the order is kept.
        tasks: Tasks that predictions may name, besides those the profiles know.
        heads: What prompts themselves say of the models; None: their task is all that counts.
    """

    def __init__(self, profiles: Sequence[ModelProfile], tasks: Sequence[str], *, heads: PromptHeads | None = None) -> None:
        self.names = tuple(profile.name for profile in profiles)
        self.tasks = tuple(dict.fromkeys([*tasks, *(task for profile in profiles for task in profile.quality)]))
        self._row = {name: row for row, name in enumerate(self.names)}
        self._quality, self._variance = _quality_arrays(profiles, self.tasks)
        self._quality_by_task = [dict(zip(self.tasks, row, strict=True)) for row in self._quality.tolist()]
        self._output_tokens = _output_tokens(profiles, self.tasks)
        self._input_usd = _column([profile.input_usd_per_mtok for profile in profiles]) / 1e6
        self._output_usd = _column([profile.output_usd_per_mtok for profile in profiles]) / 1e6
        self._measured_usd = _measured_usd(profiles, self.tasks)
        self._latency_s = _column([profile.latency_s for profile in profiles])
        self._heed(heads)

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
    ) -> dict[str, ModelScore]:
        """Score models for a prompt.

        quality(m) = Σ_t p(t) · quality(m, t), over all tasks, so that an unsure prediction hedges by itself, moved by what
        the prompt itself says where heads were learnt (`expect`);
        utility(m) = quality(m) − 0.01 · cost(m) / usd_per_point − 0.01 · seconds(m) / seconds_per_point.

        Args:
            candidates: Names of the models to score.
            probabilities: Of each task, summing to 1.
            tokens: Size of the prompt.
            preference: What a point of quality is worth.
            latency_s: Seconds that models were seen to take, which outweigh their profiles'.
            features: Of the prompt; None: its task is all that counts.
            trust: In [0, 1]: how much of the prediction is the prompt's own instead of earlier turns'.
        """
        rows = [self._row[name] for name in candidates]
        p = np.array([probabilities.get(task, 0.0) for task in self.tasks])
        if self._heads is None or features is None:
            expected, spread = self.expect(p, tokens=tokens), np.ones(1)
        else:
            said, dearer = self._heads.quality.apply(features), self._heads.cost.apply(features)
            expected = self.expect(p, tokens=tokens, shift=trust * said, log_ratio=trust * dearer)
            spread = _slope(expected.quality) / _slope(expected.quality_by_task)
        quality, cost, shift = expected.quality, expected.cost_usd, expected.shift
        stderr = np.sqrt(self._variance @ p**2) * spread
        quality, stderr, shift = quality[rows], stderr[rows], shift[rows]
        cost, cost_assumed = _fill(cost[rows])
        known = self._latency_s[rows]
        if latency_s:
            known = np.array([latency_s.get(name, given) for name, given in zip(candidates, known.tolist(), strict=True)])
        latency, latency_assumed = _fill(known)
        price = 0.01 * (_known(cost) / preference.usd_per_point + _known(latency) / preference.seconds_per_point)
        # Lists, because reading an array element by element costs more than all the arithmetic above.
        columns = (quality, stderr, quality - price, shift, cost_assumed, latency_assumed)
        terms = zip(
            candidates, rows, *(column.tolist() for column in columns), _to_list(cost), _to_list(latency), strict=True
        )
        return {
            name: ModelScore(
                model=name,
                quality=quality_m,
                stderr=stderr_m,
                cost_usd=cost_usd,
                latency_s=latency_s,
                assumed=_ASSUMED[cost_guessed, latency_guessed],
                utility=utility,
                quality_by_task=self._quality_by_task[row],
                shift=shift_m,
            )
            for name, row, quality_m, stderr_m, utility, shift_m, cost_guessed, latency_guessed, cost_usd, latency_s in terms
        }

    def expect(
        self,
        p: NDArray[np.float64],
        *,
        tokens: int | NDArray[np.int64],
        shift: NDArray[np.floating[Any]] | float = 0.0,
        log_ratio: NDArray[np.floating[Any]] | float = 0.0,
    ) -> Expectation:
        """Return what to expect of all models, for one prompt or for many at once.

        quality = σ(logit(Σ_t p(t) · quality(t)) + shift), as in item response theory: on the scale of logits an easy prompt
        lifts weak models most, but never above strong ones that are as apt for it; cost = cost by task · exp(log_ratio).
        Both moves are bounded, and count as far as the tasks are such that heed them.

        Args:
            p: Probability of each of `self.tasks`, shape (…, tasks).
            tokens: Size of the prompt; of several, shape (…, 1).
            shift: What prompts themselves say of quality, in logits, shape (…, models).
            log_ratio: What they say of cost, shape (…, models).
        """
        by_task = p @ self._quality.T
        if self._heads is None:
            return Expectation(
                quality=by_task, cost_usd=self._price(p, tokens), quality_by_task=by_task, shift=np.zeros_like(by_task)
            )
        counted = np.clip(shift, -_MOST_SHIFT, _MOST_SHIFT) * (p @ self._heeds_quality)[..., None]
        bounded = np.clip(by_task, _LEAST_QUALITY, 1 - _LEAST_QUALITY)
        ratio = np.clip(log_ratio, -_MOST_LOG_RATIO, _MOST_LOG_RATIO) * (p @ self._heeds_cost)[..., None]
        return Expectation(
            quality=np.where(counted == 0, by_task, 1 / (1 + (1 / bounded - 1) * np.exp(-counted))),
            cost_usd=self._price(p, tokens) * np.exp(ratio),
            quality_by_task=by_task,
            shift=counted + np.zeros_like(by_task),
        )

    def _price(self, p: NDArray[np.float64], tokens: int | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the cost by task: by prices where they are known, else as it was measured."""
        by_price = tokens * self._input_usd + (p @ self._output_tokens.T) * self._output_usd
        return np.where(np.isnan(by_price), p @ self._measured_usd.T, by_price)

    def heeding(self, heads: PromptHeads) -> ProfileTable:
        """Return the table with other heads."""
        table = copy(self)
        table._heed(heads)
        return table

    def _heed(self, heads: PromptHeads | None) -> None:
        self._heads = None if heads is None else heads.arrange(self.names)
        heeded = (frozenset[str](), frozenset[str]()) if heads is None else (heads.quality_tasks, heads.cost_tasks)
        self._heeds_quality, self._heeds_cost = (np.array([t in tasks for t in self.tasks], np.float64) for tasks in heeded)


def _quality_arrays(
    profiles: Sequence[ModelProfile], tasks: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means and squared standard errors, shape (models, tasks); what a profile lacks is the mean of what it has."""
    pairs = np.empty((len(profiles), len(tasks), 2))
    for i, profile in enumerate(profiles):
        known = list(profile.quality.values())
        lacking = (sum(e.mean for e in known) / len(known), max(e.stderr for e in known)) if known else _NO_EVIDENCE
        for j, task in enumerate(tasks):
            estimate = profile.quality.get(task)
            pairs[i, j] = lacking if estimate is None else (estimate.mean, estimate.stderr)
    return np.ascontiguousarray(pairs[:, :, 0]), pairs[:, :, 1] ** 2


def _output_tokens(profiles: Sequence[ModelProfile], tasks: Sequence[str]) -> NDArray[np.float64]:
    """Return tokens by model and task; what is lacking is the model's mean, else the other models' median."""
    known = [tokens for profile in profiles for tokens in profile.output_tokens.values()]
    fleet = float(np.median(known)) if known else DEFAULT_OUTPUT_TOKENS
    table = np.empty((len(profiles), len(tasks)))
    for i, profile in enumerate(profiles):
        own = profile.output_tokens
        habit = sum(own.values()) / len(own) if own else fleet
        table[i] = [own.get(task, habit) for task in tasks]
    return table


def _measured_usd(profiles: Sequence[ModelProfile], tasks: Sequence[str]) -> NDArray[np.float64]:
    """Return measured USD by model and task, NaN where nothing is known; what is lacking is the model's mean."""
    own = [math.nan if profile.cost_usd is None else profile.cost_usd for profile in profiles]
    rows = [[p.cost_usd_by_task.get(task, mean) for task in tasks] for p, mean in zip(profiles, own, strict=True)]
    return np.array(rows, np.float64).reshape(len(profiles), len(tasks))


def _column(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _fill(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Put the median of the known in place of the unknown (an unknown cost is not zero), and say where."""
    unknown = np.isnan(values)
    if not unknown.any():
        return values, unknown
    if unknown.all():
        return values, np.zeros_like(unknown)
    return np.where(unknown, np.median(values[~unknown]), values), unknown


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values with 0 where nothing is known of any model: then it cannot tell them apart."""
    return np.where(np.isnan(values), 0.0, values)


def _slope(quality: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the slope of the logistic function there, by which a standard error in logits counts."""
    bounded = np.clip(quality, _LEAST_QUALITY, 1 - _LEAST_QUALITY)
    return np.asarray(bounded * (1 - bounded))


def _to_list(values: NDArray[np.float64]) -> list[float | None]:
    """Return the values, None for NaN."""
    return [None if math.isnan(value) else value for value in values.tolist()] if np.isnan(values).any() else values.tolist()
