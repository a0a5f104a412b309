"""Write profiles as plain JSON that another gateway can read without any of this code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from router.types import ModelProfile
from training.datasets import DatasetError

FORMAT = "llm-router-profiles"
VERSION = 1


def export_profiles(profiles: Sequence[ModelProfile], *, source: Mapping[str, Any]) -> str:
    """Return profiles as a JSON object, the same bytes for the same profiles; what is unknown is null or left out by task.

    | key | meaning |
    |---|---|
    | `format`, `version` | `llm-router-profiles`, 1; a key may be added within a version, none goes or changes its meaning |
    | `source` | where the profiles come from, as given |
    | `tasks` | every task that a model has a quality for, in the profiles' order |
    | `models` | of each model, in the profiles' order: |
    | … `name`, `provider` | texts; `provider` may be empty |
    | … `input_usd_per_mtok`, `output_usd_per_mtok` | list price in USD per million tokens, or null |
    | … `cost_usd`, `latency_s` | mean measured USD and seconds of one prompt, or null |
    | … `context_window` | tokens, or null |
    | … `capabilities` | texts in alphabetical order, such as `tools`, `vision` |
    | … `output_tokens` | by task: mean length of an answer in tokens, where measured |
    | … `quality` | by task: expected score `mean` in [0, 1], its `stderr`, `n` scored prompts behind it (0: inferred) |
    | … `mean_quality` | plain mean of `quality` over the model's tasks, or null |
    | … `source` | where the model's figures come from |

    Args:
        profiles: The models.
        source: What a reader should know of the origin, such as the training data and its date; plain JSON values.
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
    """Write what `export_profiles` returns to a file; an older one is replaced.

    Raises:
        DatasetError: If it cannot be written.
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
        "provider": profile.provider,
        "input_usd_per_mtok": profile.input_usd_per_mtok,
        "output_usd_per_mtok": profile.output_usd_per_mtok,
        "cost_usd": profile.cost_usd,
        "latency_s": profile.latency_s,
        "context_window": profile.context_window,
        "capabilities": sorted(profile.capabilities),
        "output_tokens": dict(profile.output_tokens),
        "quality": {task: {"mean": each.mean, "stderr": each.stderr, "n": each.n} for task, each in qualities},
        "mean_quality": sum(means) / len(means) if means else None,
        "source": profile.source,
    }
