"""Predict quality and cost of each prompt with a router that was fitted to other prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from router.score.scoring import Expectation, ProfileTable
from training.data.benchmark import BenchmarkSet
from training.quality.expectations import TableBuilder, expect_with_heads, join_folds, make_table_builder
from training.quality.outcomes import Outcomes, split_groups
from training.quality.prompt_heads import FOLDS, fit_prompt_heads
from training.quality.prompt_table import PromptTable

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cross_fit_router(
    benchmark: BenchmarkSet, outcomes: Outcomes, prompts: PromptTable, *, seed: int, jobs: int
) -> Expectation:
    """Return what a router expects of each prompt after it learned from the other four fifths of the prompts.

    Profiles, prompt heads and the choice of heads are all learned anew for each fifth.

    Args:
        benchmark: The benchmark file.
        outcomes: Its rows that have a prompt.
        prompts: The same prompts, classified.
        seed: Seed of the folds.
        jobs: Number of processes.
    """
    # A small benchmark may have fewer groups than folds, and an empty fold could not be predicted.
    folds = split_groups(outcomes, min(FOLDS, len(set(outcomes.groups))), seed=seed)
    build_table = make_table_builder(benchmark, outcomes, prompts)
    parts = [
        fit_and_expect(build_table, outcomes, prompts, folds != fold, folds == fold, seed=seed, jobs=jobs)
        for fold in range(folds.max() + 1)
    ]
    return join_folds(parts, folds)


def fit_and_expect(
    build_table: TableBuilder,
    outcomes: Outcomes,
    prompts: PromptTable,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    *,
    seed: int,
    jobs: int,
) -> Expectation:
    """Return what a router that learned from some prompts expects of others.

    Args:
        build_table: Learns profiles from a mask of prompts.
        outcomes: All prompts.
        prompts: The same prompts, classified.
        train: Mask of the prompts to learn from, shape (n,).
        test: Mask of the prompts to predict, shape (n,).
        seed: Seed of the folds.
        jobs: Number of processes.
    """
    rows = np.flatnonzero(train)

    def build_part(mask: NDArray[np.bool_]) -> ProfileTable:
        # The mask counts training prompts alone. `build_table` wants a mask of all prompts.
        kept = np.zeros(len(train), np.bool_)
        kept[rows[mask]] = True
        return build_table(kept)

    # Only outcomes of the training prompts are passed on, so that no score of a test prompt can leak.
    fitted = fit_prompt_heads(outcomes.take(rows), prompts.take(rows), build_part, seed=seed, jobs=jobs)
    return expect_with_heads(build_table(train), fitted.heads, prompts.take(test))
