"""Model profiles in, plain JSON out that another gateway can read without this package."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from router.types import PRICES, ModelProfile
from training.data.table import DatasetError

FORMAT = "llm-router-profiles"
VERSION = 1


def export_profiles(profiles: Sequence[ModelProfile], *, source: Mapping[str, Any]) -> str:
    """Return profiles as a JSON object. The same profiles give the same bytes.

    An unknown figure is null. An unknown figure of one task is left out.

    | key | meaning |
    |---|---|
    | `format`, `version` | `llm-router-profiles`, 1. Within a version keys may be added, but none is removed or changed. |
    | `source` | origin of the profiles, as given. |
    | `tasks` | every task that a model has a quality for, in the profiles' order. |
    | `models` | an object for each model, in the profiles' order, with these keys: |
    | … `name`, `provider` | texts. `provider` may be empty. |
    | … `input_usd_per_mtok`, `output_usd_per_mtok`, … | the prices of `ModelProfile` in USD per million tokens, or null. |
    | … `prices_as_of` | date of the prices. It may be empty. |
    | … `cost_usd`, `latency_s` | measured means for one prompt, in USD and in seconds, or null. |
    | … `context_window` | tokens, or null. |
    | … `capabilities` | texts in alphabetical order, such as `tools`, `vision`. |
    | … `output_tokens` | by task: mean length of an answer in tokens. |
    | … `quality` | by task: expected score `mean` in [0, 1], its `stderr`, and `n` scored prompts (0: inferred). |
    | … `mean_quality` | unweighted mean of `quality` over the model's tasks, or null. |
    | … `source` | origin of the model's figures. |

    Args:
        profiles: The profile of each model.
        source: Facts about the origin, such as the training data and its date, as plain JSON values.
    """
    tasks = list(dict.fromkeys(task for profile in profiles for task in profile.quality))
    document = {
        "format": FORMAT,
        "version": VERSION,
        "source": dict(source),
        "tasks": tasks,
        "models": [_describe(profile) for profile in profiles],
    }
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_profiles(out: Path, profiles: Sequence[ModelProfile], *, source: Mapping[str, Any]) -> None:
    """Write the text of `export_profiles` to a file. An older file is replaced.

    Args:
        out: The file to write.
        profiles: The profile of each model.
        source: Facts about the origin.

    Raises:
        DatasetError: If the file cannot be written.
    """
    text = export_profiles(profiles, source=source)
    try:
        out.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise DatasetError(
            f"{out} cannot be written: {error.strerror or error}; name a file in a folder that exists"
        ) from error


def _describe(profile: ModelProfile) -> dict[str, Any]:
    qualities = profile.quality.items()
    means = [estimate.mean for _, estimate in qualities]
    return {
        "name": profile.name,
        "variant_of": profile.variant_of,
        "request": dict(profile.request),
        "provider": profile.provider,
        **{name: getattr(profile, name) for name in PRICES},
        "prices_as_of": profile.prices_as_of,
        "cache_lifetime_s": profile.cache_lifetime_s,
        "cost_usd": profile.cost_usd,
        "latency_s": profile.latency_s,
        "context_window": profile.context_window,
        "capabilities": sorted(profile.capabilities),
        "output_tokens": dict(profile.output_tokens),
        "quality": {task: {"mean": each.mean, "stderr": each.stderr, "n": each.n} for task, each in qualities},
        "mean_quality": sum(means) / len(means) if means else None,
        "source": profile.source,
    }
