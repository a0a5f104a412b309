"""Outcomes that are simple enough to work out the results by hand."""

from collections.abc import Sequence

import numpy as np

from training.quality.outcomes import Outcomes


def make_outcomes(
    score: Sequence[Sequence[float]] | np.ndarray,
    cost_usd: Sequence[Sequence[float]] | Sequence[float] | np.ndarray,
    *,
    tasks: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    prompts: Sequence[str] | None = None,
) -> Outcomes:
    """Return outcomes of models a, b, … on prompts 0, 1, …. A single row of costs applies to every prompt."""
    scores = np.array(score, np.float64)
    n, m = scores.shape
    return Outcomes(
        models=tuple("abcdefgh"[:m]),
        prompts=tuple(prompts or (f"prompt {i}" for i in range(n))),
        tasks=tuple(tasks or ["qa"] * n),
        benchmarks=("made up",) * n,
        groups=tuple(groups or (f"group {i}" for i in range(n))),
        score=scores,
        cost_usd=np.broadcast_to(np.array(cost_usd, np.float64), scores.shape).copy(),
    )


def two_trades(n: int = 400, *, seed: int = 0, strength: float = 0.35) -> Outcomes:
    """Return outcomes on two kinds of prompts.

    A cheap and an expensive model are good at one kind each. The third model is the most expensive and never the best.
    """
    rng = np.random.default_rng(seed)
    first = np.arange(n) % 2 == 0
    chance = np.stack(
        [np.where(first, 0.9, 0.9 - 2 * strength), np.where(first, 0.9 - strength, 0.9), np.full(n, 0.6)], axis=1
    )
    return make_outcomes(
        (rng.random((n, 3)) < chance).astype(float),
        [0.001, 0.01, 0.012],
        tasks=np.where(first, "coding", "math").tolist(),
    )
