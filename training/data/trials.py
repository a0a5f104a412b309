"""A log of the gateway in, what an experiment needs of its requests out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.gateway_log import is_gateway_log, read_records
from training.data.problems import DatasetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One request, or the call of a shadow.

    Attributes:
        id: Its name.
        at: When it arrived, in seconds since the epoch.
        model: The model that answered, or was asked last.
        task: The most likely task. Empty if unknown.
        strategy: Name of the strategy.
        score: Feedback in [0, 1]. None if the answer was not graded.
        cost_usd: Cost of the answer in USD. None if unknown.
        seconds: From the arrival to the end.
        failed: Whether there was no answer.
        experiment: Name of the A/B test. Empty if the request takes no part.
        arm: Its arm.
        by: What the test splits: `key`, `conversation` or `request`.
        unit: A hash of it.
        shadow_of: The request that a shadow answered too. Empty: it is a request of a client.
    """

    id: str
    at: float
    model: str
    task: str
    strategy: str
    score: float | None
    cost_usd: float | None
    seconds: float
    failed: bool
    experiment: str = ""
    arm: str = ""
    by: str = ""
    unit: str = ""
    shadow_of: str = ""


def read_trials(path: Path) -> list[Trial]:
    """Return the requests of a log that a model was asked for, in the order of their arrival.

    Args:
        path: The log, `.jsonl` or `.sqlite`.

    Raises:
        DatasetError: If the file is no log of the gateway, or has no such request.
    """
    if not is_gateway_log(path):
        raise DatasetError(f"{path} must be a log of the gateway, .jsonl or .sqlite; name the file of the table [log]")
    trials = [_read(path, number, record) for number, record in read_records(path) if record.get("model")]
    if not trials:
        raise DatasetError(f"{path} must have at least one request that a model was asked for, found none")
    return sorted(trials, key=lambda trial: trial.at)


def _read(path: Path, number: int, record: Mapping[str, Any]) -> Trial:
    assignment = record.get("experiment") or {}
    score, cost = record.get("score"), record.get("cost_usd")
    if score is not None and not (isinstance(score, int | float) and 0 <= score <= 1):
        raise DatasetError(f"{path} line {number}: score must be between 0 and 1, got {score!r}")
    return Trial(
        id=str(record["id"]),
        at=float(record.get("at") or 0.0),
        model=str(record["model"]),
        task=str(record.get("task") or ""),
        strategy=str(record.get("strategy") or ""),
        score=None if score is None else float(score),
        cost_usd=float(cost) if isinstance(cost, int | float) and math.isfinite(cost) else None,
        seconds=float(record.get("seconds") or 0.0),
        failed=bool(record.get("code")),
        experiment=str(assignment.get("experiment") or ""),
        arm=str(assignment.get("arm") or ""),
        by=str(assignment.get("by") or ""),
        unit=str(assignment.get("unit") or ""),
        shadow_of=str(record.get("shadow_of") or ""),
    )
