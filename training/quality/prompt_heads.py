"""Outcomes and prompts in, heads out that shift each model's expected quality and cost by a prompt's text.

The table of tasks gives every prompt of a task the same expectation. Heads add what the text itself shows, such as
difficulty or length. They are kept on the tasks on which they help on held-out prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import logit

from router.classify.heads import Heads, PromptHeads
from router.model_folder.manifest import TaskEvidence
from router.score.scoring import Expectation, ProfileTable
from training.quality.cross_fit import FoldedRegression, choose_precisions, estimate_smearing, predict_held_out
from training.quality.design import make_design, make_widening
from training.quality.evidence import weigh_evidence
from training.quality.expectations import TableBuilder, expect, join_folds
from training.quality.multitask import Regression, combine_weights, fit_weights
from training.quality.outcomes import Outcomes, split_groups
from training.quality.prompt_table import PromptTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The two heads. Quality is shifted in logits, cost by the logarithm of a ratio.
Target = Literal["quality", "cost"]
FOLDS = 5
# With fewer prompts or groups there are no heads.
MIN_PROMPTS, _MIN_GROUPS = 50, 20
# The runtime clips qualities to the same range before it takes logits.
_MIN_QUALITY = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFit:
    """The fit of one target.

    Attributes:
        heads: Heads fitted on all prompts.
        precisions: The chosen precisions of the shared weights and of the models' deviations.
        shifts: Held-out shifts in logits, or logarithms of ratios, shape (n, m).
        evidence: Gain of the heads on held-out prompts, by task.
    """

    heads: Heads
    precisions: tuple[float, float]
    shifts: NDArray[np.float64]
    evidence: Mapping[str, TaskEvidence]

    @property
    def kept(self) -> frozenset[str]:
        """The tasks on which the heads are used."""
        return frozenset(task for task, found in self.evidence.items() if found.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptHeadFits:
    """The heads of a benchmark and how they did on held-out prompts.

    Attributes:
        heads: Heads for the benchmark's models. None if they help on no task.
        fits: The fit of quality and of cost. Empty if there are too few prompts. Without costs it has only quality.
        held_out: Expectation for each prompt by a router that learned from other prompts, arrays of shape (n, m).
    """

    heads: PromptHeads | None
    fits: Mapping[Target, TargetFit]
    held_out: Expectation


def fit_prompt_heads(
    outcomes: Outcomes, prompts: PromptTable, build_table: TableBuilder, *, seed: int = 0, jobs: int = -1
) -> PromptHeadFits:
    """Fit heads for quality and for cost, and keep each on the tasks on which it beats the table of tasks.

    Both are measured on held-out prompts: quality by log-loss, cost by the squared logarithm of its ratio. A head is kept
    for all models of a task or for none. With heads for some models only, hard prompts would go to the other models. The
    precisions are chosen on the same folds, so the evidence is slightly optimistic: two numbers were fitted to it.

    Args:
        outcomes: Scores and costs of m models on n prompts.
        prompts: The same prompts.
        build_table: Builds the table of the models of `outcomes`, in their order.
        seed: Seed of folds, resamples and the directions of words.
        jobs: Number of processes. -1: all processors.
    """
    whole = build_table(np.ones(len(outcomes.prompts), np.bool_))
    if len(outcomes.prompts) < MIN_PROMPTS or len(set(outcomes.groups)) < _MIN_GROUPS:
        return PromptHeadFits(heads=None, fits={}, held_out=expect(whole, prompts))
    folds = split_groups(outcomes, FOLDS, seed=seed)
    tables = [build_table(folds != fold) for fold in range(FOLDS)]
    fits = _fit_targets(outcomes, prompts, whole, tables, folds, seed=seed, jobs=jobs)
    heads = _join_heads(outcomes.models, fits)
    return PromptHeadFits(heads=heads, fits=fits, held_out=_expect_held_out(tables, heads, fits, prompts, folds))


def _fit_targets(
    outcomes: Outcomes,
    prompts: PromptTable,
    whole: ProfileTable,
    tables: Sequence[ProfileTable],
    folds: NDArray[np.int64],
    *,
    seed: int,
    jobs: int,
) -> dict[Target, TargetFit]:
    """Return the fit of each target that is known for any prompt."""
    design = make_design(prompts.features, seed=seed)
    widening = make_widening(design.rows, outcomes.tasks)
    # Each fold's widening leaves out the tasks of the prompts held out in it.
    rows_by_fold = [design.rows @ _widen_without(design.rows, outcomes.tasks, folds == fold) for fold in range(FOLDS)]
    expected, expected_by_fold = expect(whole, prompts), [expect(table, prompts) for table in tables]
    fits: dict[Target, TargetFit] = {}
    for target, make_regression in _MAKE_REGRESSION.items():
        problem = make_regression(outcomes, expected)
        if np.isnan(problem.target).all():
            continue
        folded = FoldedRegression(
            rows=rows_by_fold, problems=[make_regression(outcomes, part) for part in expected_by_fold], folds=folds
        )
        precisions = choose_precisions(folded, seed=seed, jobs=jobs)
        shifts = predict_held_out(folded, precisions, jobs=jobs)
        evidence = weigh_evidence(folded.measure_gains(shifts), outcomes.groups, prompts, seed=seed)
        weights = fit_weights(design.rows @ widening, problem, *precisions)
        heads = design.unfold(widening @ combine_weights(weights).T)
        if target == "cost":
            # The regression predicts the mean logarithm. The router needs the logarithm of the mean cost.
            smearing = estimate_smearing(folded.find_residuals(shifts))
            heads, shifts = replace(heads, bias=(heads.bias + smearing).astype(np.float32)), shifts + smearing
        fits[target] = TargetFit(heads=heads, precisions=precisions, shifts=shifts, evidence=evidence)
    return fits


def _make_quality_regression(outcomes: Outcomes, expected: Expectation) -> Regression:
    offset = logit(np.clip(expected.quality, _MIN_QUALITY, 1 - _MIN_QUALITY))
    return Regression(target=outcomes.score, offset=offset, loss="logistic")


def _make_cost_regression(outcomes: Outcomes, expected: Expectation) -> Regression:
    """Return the regression of log(cost / expected cost). A cost of 0 or an expected cost of 0 has no ratio: NaN."""
    ratio = outcomes.cost_usd / np.where(expected.cost_usd > 0, expected.cost_usd, np.nan)
    return Regression(
        target=np.log(np.where(ratio > 0, ratio, np.nan)), offset=np.zeros_like(outcomes.cost_usd), loss="squared"
    )


_MAKE_REGRESSION: Mapping[Target, Callable[[Outcomes, Expectation], Regression]] = {
    "quality": _make_quality_regression,
    "cost": _make_cost_regression,
}


def _widen_without(rows: NDArray[np.float32], tasks: Sequence[str], held_out: NDArray[np.bool_]) -> NDArray[np.float32]:
    return make_widening(rows[~held_out], [task for task, out in zip(tasks, held_out.tolist(), strict=True) if not out])


def _join_heads(models: tuple[str, ...], fits: Mapping[Target, TargetFit]) -> PromptHeads | None:
    """Return both heads, None if neither is kept on any task. A head that is not kept has zero weights."""
    if not any(fit.kept for fit in fits.values()):
        return None
    some = next(iter(fits.values())).heads
    # The runtime always applies both heads.
    zero = Heads(
        embedding=np.zeros_like(some.embedding),
        lexical=np.zeros_like(some.lexical),
        surface=np.zeros_like(some.surface),
        bias=np.zeros_like(some.bias),
    )
    quality, cost = fits.get("quality"), fits.get("cost")
    return PromptHeads(
        models=models,
        quality=quality.heads if quality and quality.kept else zero,
        cost=cost.heads if cost and cost.kept else zero,
        quality_tasks=quality.kept if quality else frozenset(),
        cost_tasks=cost.kept if cost else frozenset(),
    )


def _expect_held_out(
    tables: Sequence[ProfileTable],
    heads: PromptHeads | None,
    fits: Mapping[Target, TargetFit],
    prompts: PromptTable,
    folds: NDArray[np.int64],
) -> Expectation:
    """Return the expectation for each prompt by the table and the heads of the other folds."""
    shifts = {target: fit.shifts for target, fit in fits.items()}
    zeros = np.zeros((len(folds), len(tables[0].names)))
    parts = []
    for fold, table in enumerate(tables):
        held_out = folds == fold
        # The heads decide here only on which tasks shifts count. The shifts themselves are the held-out ones.
        with_heads = table if heads is None else table.with_heads(heads)
        shift, log_ratio = (shifts.get(target, zeros)[held_out] for target in _MAKE_REGRESSION)
        parts.append(expect(with_heads, prompts.take(held_out), shift=shift, log_ratio=log_ratio))
    return join_folds(parts, folds)
