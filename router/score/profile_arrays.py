"""Profiles come in, arrays of quality, answer length and cost by model and task go out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from router.types import ModelProfile

# Length of an answer in tokens, if no profile has one.
DEFAULT_OUTPUT_TOKENS = 500.0

# Mean and standard error of a quality in [0, 1] of which nothing is known.
_UNKNOWN_QUALITY = (0.5, 0.5)


def tabulate_quality(
    profiles: Sequence[ModelProfile], tasks: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means and standard errors of quality, both of shape (models, tasks).

    A missing task gets the mean of the profile's other tasks, and their largest error.
    """
    pairs = np.empty((len(profiles), len(tasks), 2))
    for i, profile in enumerate(profiles):
        known = list(profile.quality.values())
        missing = (sum(e.mean for e in known) / len(known), max(e.stderr for e in known)) if known else _UNKNOWN_QUALITY
        for j, task in enumerate(tasks):
            estimate = profile.quality.get(task)
            pairs[i, j] = missing if estimate is None else (estimate.mean, estimate.stderr)
    # Contiguous, because every prompt multiplies it.
    return np.ascontiguousarray(pairs[:, :, 0]), np.ascontiguousarray(pairs[:, :, 1])


def tabulate_output_tokens(profiles: Sequence[ModelProfile], tasks: Sequence[str]) -> NDArray[np.float64]:
    """Return the tokens of an answer, shape (models, tasks).

    A missing task gets the mean of the profile's other tasks. A profile without any gets the median over all profiles. A
    variant gets a share of its model's tokens instead.
    """
    known = [tokens for profile in profiles for tokens in profile.output_tokens.values()]
    median = float(np.median(known)) if known else DEFAULT_OUTPUT_TOKENS
    table = np.empty((len(profiles), len(tasks)))
    row = {profile.name: i for i, profile in enumerate(profiles)}
    # Models before their variants, whose rows depend on them.
    for profile in sorted(profiles, key=lambda profile: bool(profile.variant_of)):
        own = profile.output_tokens
        mean = sum(own.values()) / len(own) if own else median
        base = table[row[profile.variant_of]] if profile.variant_of in row else np.full(len(tasks), mean)
        table[row[profile.name]] = [
            own.get(task, tokens) for task, tokens in zip(tasks, profile.output_tokens_ratio * base, strict=True)
        ]
    return table


def tabulate_extra_usd(profiles: Sequence[ModelProfile]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many USD a token of audio and a token of an image cost more than another input token, by model.

    0 if they have no price of their own.
    """
    usual = to_array([profile.input_usd_per_mtok for profile in profiles])
    audio = to_array([profile.audio_input_usd_per_mtok for profile in profiles])
    image = to_array([profile.image_input_usd_per_mtok for profile in profiles])
    return np.nan_to_num(audio - usual) / 1e6, np.nan_to_num(image - usual) / 1e6


def tabulate_measured_usd(profiles: Sequence[ModelProfile], tasks: Sequence[str]) -> NDArray[np.float64]:
    """Return the measured cost in USD, shape (models, tasks).

    A missing task gets the profile's mean cost. NaN if that is missing too.
    """
    means = [math.nan if profile.cost_usd is None else profile.cost_usd for profile in profiles]
    rows = [[p.cost_usd_by_task.get(task, mean) for task in tasks] for p, mean in zip(profiles, means, strict=True)]
    return np.array(rows, np.float64).reshape(len(profiles), len(tasks))


def to_array(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Return the values, with NaN for None."""
    return np.array([math.nan if value is None else value for value in values], np.float64)
