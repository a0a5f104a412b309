"""Rows of results in, figures of each model out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from training.evaluation.intervals import Interval, bootstrap

# A server gives this reason if an answer was longer than it may be.
_CUT = "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """The results of one model.

    Attributes:
        model: Its name.
        score: Mean score in [0, 1] with its 95 % bootstrap interval over n answers.
        n: Number of answers.
        cost_usd: Mean USD of an answer. None if no cost is known.
        latency_s: Mean seconds of an answer.
        cut: Number of answers that ended because they were too long.
    """

    model: str
    score: Interval
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


def summarize(rows: Iterable[Mapping[str, str]], *, seed: int = 0) -> list[ModelSummary]:
    """Return the figures of each model, the best mean score first.

    Args:
        rows: Rows of a file of results by column.
        seed: Seed of the intervals.
    """
    by_model: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        by_model[row["model"]].append(row)
    found = [_summarize_model(model, own, seed) for model, own in by_model.items()]
    return sorted(found, key=lambda summary: (-summary.score.value, summary.model))


def find_agreement(rows: Iterable[Mapping[str, str]]) -> Agreement:
    """Return how often the judge of the rows agreed with itself."""
    verdicts = [row["judge_agreed"] for row in rows if row["judge_agreed"]]
    return Agreement(agreed=verdicts.count("1"), n=len(verdicts))


def _summarize_model(model: str, rows: list[Mapping[str, str]], seed: int) -> ModelSummary:
    scores = np.array([float(row["score"]) for row in rows])
    costs = [float(row["cost_usd"]) for row in rows if row["cost_usd"]]
    return ModelSummary(
        model=model,
        score=bootstrap(lambda sample: float(scores[sample].mean()), len(scores), seed=seed),
        n=len(rows),
        cost_usd=sum(costs) / len(costs) if costs else None,
        latency_s=sum(float(row["latency_s"]) for row in rows) / len(rows),
        cut=sum(row["finish_reason"] == _CUT for row in rows),
    )
