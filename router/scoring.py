"""The utility of every model for one prompt: what quality to expect, less what cost and time take away."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from router.types import ModelProfile, ModelScore, Preference

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREFERENCES: Mapping[str, Preference] = {
    "quality": Preference(),
    "balanced": Preference(usd_per_point=5e-4),
    "cheap": Preference(usd_per_point=5e-5),
    "fast": Preference(usd_per_point=5e-4, seconds_per_point=1.0),
}

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


class ProfileTable:
    """The profiles as arrays, made once; scores all models in some microseconds.

    Args:
        profiles: The models; the order is kept.
        tasks: Tasks that predictions may name, besides those the profiles know.
    """

    def __init__(self, profiles: Sequence[ModelProfile], tasks: Sequence[str]) -> None:
        self.names = tuple(profile.name for profile in profiles)
        self.tasks = tuple(dict.fromkeys([*tasks, *(task for profile in profiles for task in profile.quality)]))
        self._row = {name: row for row, name in enumerate(self.names)}
        self._quality, self._variance = _quality_arrays(profiles, self.tasks)
        self._quality_by_task = [dict(zip(self.tasks, row, strict=True)) for row in self._quality.tolist()]
        self._output_tokens = _output_tokens(profiles, self.tasks)
        self._input_usd = _column([profile.input_usd_per_mtok for profile in profiles]) / 1e6
        self._output_usd = _column([profile.output_usd_per_mtok for profile in profiles]) / 1e6
        self._measured_usd = _column([profile.cost_usd for profile in profiles])
        self._latency_s = _column([profile.latency_s for profile in profiles])

    def score(
        self,
        candidates: Sequence[str],
        probabilities: Mapping[str, float],
        *,
        tokens: int,
        preference: Preference,
        latency_s: Mapping[str, float] = _NO_LATENCIES,
    ) -> dict[str, ModelScore]:
        """Score models for a prompt.

        quality(m) = Σ_t p(t) · quality(m, t), over all tasks, so that an unsure prediction hedges by itself;
        utility(m) = quality(m) − 0.01 · cost(m) / usd_per_point − 0.01 · seconds(m) / seconds_per_point.

        Args:
            candidates: Names of the models to score.
            probabilities: Of each task, summing to 1.
            tokens: Size of the prompt.
            preference: What a point of quality is worth.
            latency_s: Seconds that models were seen to take, which outweigh their profiles'.
        """
        rows = [self._row[name] for name in candidates]
        p = np.array([probabilities.get(task, 0.0) for task in self.tasks])
        cost, cost_assumed = _fill(self.expected_cost_usd(p, tokens=tokens)[rows])
        known = self._latency_s[rows]
        if latency_s:
            known = np.array([latency_s.get(name, given) for name, given in zip(candidates, known.tolist(), strict=True)])
        latency, latency_assumed = _fill(known)
        quality, stderr = self._quality[rows] @ p, np.sqrt(self._variance[rows] @ p**2)
        price = 0.01 * (_known(cost) / preference.usd_per_point + _known(latency) / preference.seconds_per_point)
        # Lists, because reading an array element by element costs more than all the arithmetic above.
        columns = (quality, stderr, quality - price, cost, latency, cost_assumed, latency_assumed)
        terms = zip(candidates, rows, *(column.tolist() for column in columns), strict=True)
        return {
            name: ModelScore(
                model=name,
                quality=quality_m,
                stderr=stderr_m,
                cost_usd=_optional(cost_usd),
                latency_s=_optional(latency_s),
                assumed=_ASSUMED[cost_guessed, latency_guessed],
                utility=utility,
                quality_by_task=self._quality_by_task[row],
            )
            for name, row, quality_m, stderr_m, utility, cost_usd, latency_s, cost_guessed, latency_guessed in terms
        }

    def expected_cost_usd(self, p: NDArray[np.float64], *, tokens: int) -> NDArray[np.float64]:
        """Return USD for a prompt of that many tokens, shape (models,); by list price, else as measured, else NaN.

        Args:
            p: Probability of each of `self.tasks`.
            tokens: Size of the prompt.
        """
        by_price = tokens * self._input_usd + (self._output_tokens @ p) * self._output_usd
        return np.where(np.isnan(by_price), self._measured_usd, by_price)


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
    return pairs[:, :, 0], pairs[:, :, 1] ** 2


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
    return np.nan_to_num(values, nan=0.0)


def _optional(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
