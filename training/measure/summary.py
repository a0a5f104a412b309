"""Rows of results in, figures of each model out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# A server gives this reason if an answer was longer than it may be.
_CUT = "length"
# Two-sided 95 % of a normal distribution.
_Z = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """The results of one model.

    Attributes:
        model: Its name.
        score: Mean score in [0, 1].
        low: Lower end of its 95 % interval.
        high: Upper end of it.
        n: Number of answers.
        cost_usd: Mean USD of an answer. None if no cost is known.
        latency_s: Mean seconds of an answer.
        cut: Number of answers that ended because they were too long.
    """

    model: str
    score: float
    low: float
    high: float
    n: int
    cost_usd: float | None
    latency_s: float
    cut: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often a judge says the same in both orders.

    Attributes:
        agreed: Number of pairs with the same verdict.
        n: Number of pairs.
    """

    agreed: int
    n: int


def summarize(rows: Iterable[Mapping[str, str]]) -> list[ModelSummary]:
    """Return the figures of each model, the best mean score first.

    Args:
        rows: Rows of a file of results by column.
    """
    by_model: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        by_model[row["model"]].append(row)
    found = [_summarize_model(model, own) for model, own in by_model.items()]
    return sorted(found, key=lambda summary: (-summary.score, summary.model))


def find_agreement(rows: Iterable[Mapping[str, str]]) -> Agreement:
    """Return how often the judge of the rows agreed with itself."""
    verdicts = [row["judge_agreed"] for row in rows if row["judge_agreed"]]
    return Agreement(agreed=verdicts.count("1"), n=len(verdicts))


def find_interval(mean: float, n: int) -> tuple[float, float]:
    """Return a 95 % interval of a mean of n scores in [0, 1] (Wilson, 1927).

    It was made for shares. It is a little too wide for other scores, because their variance is at most mean · (1 − mean).
    Unlike a bootstrap it stays honest if a few scores are all the same.

    >>> [round(end, 2) for end in find_interval(1.0, 6)]
    [0.61, 1.0]
    """
    shrink = 1 + _Z**2 / n
    middle = (mean + _Z**2 / (2 * n)) / shrink
    half = _Z * math.sqrt(mean * (1 - mean) / n + _Z**2 / (4 * n**2)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)


def _summarize_model(model: str, rows: Sequence[Mapping[str, str]]) -> ModelSummary:
    score = sum(float(row["score"]) for row in rows) / len(rows)
    costs = [float(row["cost_usd"]) for row in rows if row["cost_usd"]]
    low, high = find_interval(score, len(rows))
    return ModelSummary(
        model=model,
        score=score,
        low=low,
        high=high,
        n=len(rows),
        cost_usd=sum(costs) / len(costs) if costs else None,
        latency_s=sum(float(row["latency_s"]) for row in rows) / len(rows),
        cut=sum(row["finish_reason"] == _CUT for row in rows),
    )
