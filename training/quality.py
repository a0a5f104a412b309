"""Learn what prompts themselves say of the models' quality and cost, beside their task, and whether that helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from joblib import Parallel, delayed
from scipy.special import logit

from router.artifacts import TaskEvidence
from router.heads import Heads, PromptHeads
from router.scoring import Expectation, ProfileTable
from training.evaluate import RESAMPLES
from training.multitask import Problem, fit, fit_path, make_design, move, widen
from training.outcomes import Outcomes, split_groups
from training.served import PromptTable, Tabulate, expect, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What is likelier, by its logit, or dearer, by its logarithm.
Target = Literal["quality", "cost"]
FOLDS = 5
# Below, nothing is learnt of prompts, or shown of a task's.
FEWEST_PROMPTS, FEWEST_GROUPS = 50, 20
# Precisions of the priors of what is shared and of each model's deviation, from the strongest.
_SHARED, _OWN = (100.0, 30.0, 10.0, 3.0), (300.0, 100.0, 30.0, 10.0, 3.0)
_MOST_SEARCHED = 4000  # prompts, of very many a part, on which precisions are chosen
_LEAST_QUALITY = 1e-3  # as the runtime bounds qualities before they become logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What was learnt of one target.

    Attributes:
        heads: Fitted on all prompts.
        precisions: Those chosen, of what is shared and of the models' own.
        moved: Held-out shifts or logarithms of ratios, shape (n, m).
        evidence: By task, what they are worth on prompts held out.
    """

    heads: Heads
    precisions: tuple[float, float]
    moved: NDArray[np.float64]
    evidence: Mapping[str, TaskEvidence]

    @property
    def kept(self) -> frozenset[str]:
        """The tasks on which they count."""
        return frozenset(task for task, found in self.evidence.items() if found.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What a benchmark's prompts taught.

    Attributes:
        heads: What prompts say of the benchmark's models; None where no task heeds them.
        learnt: Of quality and of cost; nothing where there are too few prompts, or no costs.
        held_out: What to expect of each prompt, arrays of shape (n, m): as a router does that was learnt of other prompts.
    """

    heads: PromptHeads | None
    learnt: Mapping[Target, Lesson]
    held_out: Expectation


def learn_of_prompts(
    outcomes: Outcomes, prompts: PromptTable, tabulate: Tabulate, *, seed: int = 0, jobs: int = -1
) -> Lessons:
    """Fit heads for quality and for cost, and keep each on the tasks where it beats the table of tasks on prompts held out.

    Quality is judged by log-loss, cost by the squared logarithm of its ratio, by task and for all models together: heeding
    prompts for some models alone would send the hard ones to the others. The precisions are chosen on the same folds, which
    flatters the evidence by two figures.

    Args:
        outcomes: How m models did on n prompts.
        prompts: The same prompts.
        tabulate: Makes a table of the models of `outcomes`, in their order.
        seed: Of folds, resamples and directions of words.
        jobs: Processes to use; -1: all processors.
    """
    everything = tabulate(np.ones(len(outcomes.prompts), np.bool_))
    if len(outcomes.prompts) < FEWEST_PROMPTS or len(set(outcomes.groups)) < FEWEST_GROUPS:
        return Lessons(heads=None, learnt={}, held_out=expect(everything, prompts))
    folds = split_groups(outcomes, FOLDS, seed=seed)
    design = make_design(prompts.features, seed=seed)
    tables = [tabulate(folds != fold) for fold in range(FOLDS)]
    by_fold, whole = [expect(table, prompts) for table in tables], expect(everything, prompts)
    wide = widen(design.rows, outcomes.tasks)
    by_fold_rows = [design.rows @ _widen_without(design.rows, outcomes.tasks, folds == fold) for fold in range(FOLDS)]
    learnt: dict[Target, Lesson] = {}
    for target, pose in _POSE.items():
        problem = pose(outcomes, whole)
        if not np.isnan(problem.target).all():
            problems = [pose(outcomes, expected) for expected in by_fold]
            precisions, moved = _cross_fit(by_fold_rows, problems, folds, seed=seed, jobs=jobs)
            evidence = _weigh_evidence(problems, moved, folds, outcomes.groups, prompts, seed=seed)
            layer = design.unfold(wide @ _sum(fit(design.rows @ wide, problem, *precisions)))
            if target == "cost":
                smear = _smear(problems, moved, folds)
                layer, moved = replace(layer, bias=(layer.bias + smear).astype(np.float32)), moved + smear
            learnt[target] = Lesson(heads=layer, precisions=precisions, moved=moved, evidence=evidence)
    heads = _join(outcomes.models, learnt)
    return Lessons(heads=heads, learnt=learnt, held_out=_hold_out(tables, heads, learnt, prompts, folds))


def _pose_quality(outcomes: Outcomes, expected: Expectation) -> Problem:
    offset = logit(np.clip(expected.quality, _LEAST_QUALITY, 1 - _LEAST_QUALITY))
    return Problem(target=outcomes.score, offset=offset, loss="logistic")


def _pose_cost(outcomes: Outcomes, expected: Expectation) -> Problem:
    """The target is how much dearer a prompt is than expected; what is free, or was expected to be, says nothing."""
    ratio = outcomes.cost_usd / np.where(expected.cost_usd > 0, expected.cost_usd, np.nan)
    return Problem(
        target=np.log(np.where(ratio > 0, ratio, np.nan)), offset=np.zeros_like(outcomes.cost_usd), loss="squared"
    )


_POSE: Mapping[Target, Callable[[Outcomes, Expectation], Problem]] = {"quality": _pose_quality, "cost": _pose_cost}


def _widen_without(rows: NDArray[np.float32], tasks: Sequence[str], held_out: NDArray[np.bool_]) -> NDArray[np.float32]:
    return widen(rows[~held_out], [task for task, out in zip(tasks, held_out.tolist(), strict=True) if not out])


def _cross_fit(
    rows: Sequence[NDArray[np.float32]], problems: Sequence[Problem], folds: NDArray[np.int64], *, seed: int, jobs: int
) -> tuple[tuple[float, float], NDArray[np.float64]]:
    """Choose the precisions of the least held-out loss, first without deviations; return them and what is moved held out."""
    searched = np.isin(np.arange(len(folds)), np.random.default_rng(seed).permutation(len(folds))[:_MOST_SEARCHED])
    losses = _try_out(rows, problems, folds, searched, [(shared, np.inf) for shared in _SHARED], jobs)
    shared = _SHARED[int(np.argmin(losses))]
    pairs = [(shared, own) for own in _OWN]
    losses = _try_out(rows, problems, folds, searched, pairs, jobs)
    chosen = pairs[int(np.argmin(losses))]
    weights = Parallel(n_jobs=jobs)(
        delayed(fit)(rows[fold][folds != fold], problem.take(folds != fold), *chosen)
        for fold, problem in enumerate(problems)
    )
    moved = np.empty_like(problems[0].offset)
    for fold, fitted in enumerate(weights):
        moved[folds == fold] = move(rows[fold][folds == fold], fitted)
    return chosen, moved


def _try_out(
    rows: Sequence[NDArray[np.float32]],
    problems: Sequence[Problem],
    folds: NDArray[np.int64],
    searched: NDArray[np.bool_],
    pairs: Sequence[tuple[float, float]],
    jobs: int,
) -> NDArray[np.float64]:
    """Return the held-out loss of each pair of precisions, summed over the prompts searched."""
    told = Parallel(n_jobs=jobs)(
        delayed(_lose)(rows[fold], problem, searched & (folds != fold), searched & (folds == fold), pairs)
        for fold, problem in enumerate(problems)
    )
    return np.asarray(np.sum(told, axis=0))


def _lose(
    rows: NDArray[np.float32],
    problem: Problem,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    pairs: Sequence[tuple[float, float]],
) -> list[float]:
    asked, path = problem.take(test), fit_path(rows[train], problem.take(train), pairs)
    return [float(np.nansum(asked.losses(move(rows[test], weights)))) for weights in path]


def _smear(problems: Sequence[Problem], moved: NDArray[np.float64], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what takes each model from the mean of logarithms to the mean of costs, shape (m,).

    The smearing estimate (Duan, 1983, JASA 78:605-610), of held-out residuals.
    """
    residuals = np.full_like(moved, np.nan)
    for fold, problem in enumerate(problems):
        here = folds == fold
        residuals[here] = problem.target[here] - problem.offset[here] - moved[here]
    known = ~np.isnan(residuals)
    means = np.where(known, np.exp(residuals), 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.asarray(np.log(np.where(known.any(axis=0), means, 1.0)))


def _sum(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each model's weights, shape (d, m)."""
    return np.asarray((weights[0] + weights[1:]).T)


def _weigh_evidence(
    problems: Sequence[Problem],
    moved: NDArray[np.float64],
    folds: NDArray[np.int64],
    groups: Sequence[str],
    prompts: PromptTable,
    *,
    seed: int,
) -> dict[str, TaskEvidence]:
    """Return by task what moving gains on prompts held out, those counting by how probable the task is."""
    gains = np.empty(len(folds))
    for fold, problem in enumerate(problems):
        asked = problem.take(folds == fold)
        gains[folds == fold] = np.nanmean(asked.losses(0.0) - asked.losses(moved[folds == fold]), axis=1)
    known = ~np.isnan(gains)
    group = np.unique(groups, return_inverse=True)[1][known]
    weights, gains = prompts.probabilities[known], gains[known, None]
    by_group = [_sum_by(group, values) for values in (weights, weights * gains)]
    drawn = np.random.default_rng(seed).multinomial(
        len(by_group[0]), np.full(len(by_group[0]), 1 / len(by_group[0])), RESAMPLES
    )
    n = by_group[0].sum(axis=0)
    means = by_group[1].sum(axis=0) / np.maximum(n, 1e-12)
    resampled = (drawn @ by_group[1]) / np.maximum(drawn @ by_group[0], 1e-12)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    return {
        task: TaskEvidence(
            n=float(n[i]),
            gain=float(means[i]),
            low=float(low[i]),
            high=float(high[i]),
            kept=bool(low[i] > 0 and n[i] >= FEWEST_GROUPS),
        )
        for i, task in enumerate(prompts.tasks)
        if n[i] >= 1
    }


def _sum_by(group: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros((group.max() + 1, values.shape[1]))
    np.add.at(sums, group, values)
    return sums


def _join(models: tuple[str, ...], learnt: Mapping[Target, Lesson]) -> PromptHeads | None:
    """Return the heads of both targets, those of one that was not learnt silent; None where no task heeds any."""
    if not any(lesson.kept for lesson in learnt.values()):
        return None
    known = next(iter(learnt.values())).heads
    silent = Heads(
        embedding=np.zeros_like(known.embedding),
        lexical=np.zeros_like(known.lexical),
        surface=np.zeros_like(known.surface),
        bias=np.zeros_like(known.bias),
    )
    quality, cost = learnt.get("quality"), learnt.get("cost")
    return PromptHeads(
        models=models,
        quality=quality.heads if quality and quality.kept else silent,
        cost=cost.heads if cost and cost.kept else silent,
        quality_tasks=quality.kept if quality else frozenset(),
        cost_tasks=cost.kept if cost else frozenset(),
    )


def _hold_out(
    tables: Sequence[ProfileTable],
    heads: PromptHeads | None,
    learnt: Mapping[Target, Lesson],
    prompts: PromptTable,
    folds: NDArray[np.int64],
) -> Expectation:
    """Return what to expect of each prompt by the table and the heads of the other folds."""
    moved = {target: lesson.moved for target, lesson in learnt.items()}
    zeros = np.zeros((len(folds), len(tables[0].names)))
    parts = []
    for fold, table in enumerate(tables):
        here = folds == fold
        heeding = table if heads is None else table.heeding(heads)
        shift, log_ratio = (moved.get(target, zeros)[here] for target in _POSE)
        parts.append(expect(heeding, prompts.take(here), shift=shift, log_ratio=log_ratio))
    return join(parts, folds)
