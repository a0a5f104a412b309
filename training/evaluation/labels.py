"""Labelled prompts in, likely mistakes out: repeats, conflicting labels, wrong labels and tasks with few prompts."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.classifier.fit import FittedClassifier
from training.classifier.folds import FOLDS
from training.data.prompts import LabelledPrompt
from training.data.table import escape_formula

if TYPE_CHECKING:
    from scipy import sparse

# Two prompts are near-duplicates above this cosine of their n-grams: nearly the same words.
NEAR_COSINE = 0.9
# A task with fewer prompts is thin. Accuracy on prompts of users still rises steeply up to this number.
THIN = 50
# A label is worth a look if another task has at least this calibrated, held-out probability.
SURE = 0.7
# Cosines are computed for this many rows at a time, to bound the memory.
_BLOCK_ROWS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row to look at.

    Attributes:
        problem: `duplicate`, `conflicting labels`, `near-duplicate`, `near-duplicate of another task`, `likely mislabelled`.
        row: The prompt.
        other: The row that it repeats or contradicts. None for a wrong label.
        suggested: The task that the classifier predicts instead. Empty for repeats.
        strength: How certain the finding is, in [0, 1]. For repeats the cosine to the other row. For wrong labels 1 − the
            held-out probability of the label.
    """

    problem: str
    row: LabelledPrompt
    other: LabelledPrompt | None = None
    suggested: str = ""
    strength: float = 1.0


def find_repeats(rows: Sequence[LabelledPrompt]) -> list[Finding]:
    """Return the prompts that repeat an earlier one, with the same task or another; case and white space do not count."""
    first: dict[str, LabelledPrompt] = {}
    found = []
    for row in rows:
        earlier = first.setdefault(_normalize(row), row)
        if earlier is not row:
            problem = "duplicate" if earlier.task == row.task else "conflicting labels"
            found.append(Finding(problem=problem, row=row, other=earlier))
    return found


def find_near_duplicates(rows: Sequence[LabelledPrompt], lexical: sparse.csr_matrix) -> list[Finding]:
    """Return the later row of each pair above `NEAR_COSINE`, the highest cosine of each problem first.

    Pairs within one group and pairs with the same text are left out.

    Args:
        rows: n prompts.
        lexical: Their hashed n-grams, shape (n, buckets), rows of length one. Embeddings would not do: a tuned encoder moves
            different questions of one task together, and no encoder reads every script.
    """
    found = []
    for start in range(0, len(rows), _BLOCK_ROWS):
        end = start + _BLOCK_ROWS
        cosines = (lexical[start:end] @ lexical[:end].T).tocoo()
        near = cosines.data > NEAR_COSINE
        pairs = (part[near].tolist() for part in (cosines.row, cosines.col, cosines.data))
        for i, j, cosine in zip(*pairs, strict=True):
            later, earlier = rows[start + i], rows[j]
            if j >= start + i or later.group == earlier.group or _normalize(later) == _normalize(earlier):
                continue
            problem = "near-duplicate" if later.task == earlier.task else "near-duplicate of another task"
            # Rounding can bring a cosine slightly above 1.
            found.append(Finding(problem=problem, row=later, other=earlier, strength=min(cosine, 1.0)))
    return sorted(found, key=lambda finding: (finding.problem, -finding.strength))


def find_mislabelled(rows: Sequence[LabelledPrompt], fitted: FittedClassifier) -> list[Finding]:
    """Return the rows whose held-out probabilities clearly favour another task, the worst first.

    Uses confident learning (Northcutt, Jiang and Chuang, 2021, Journal of Artificial Intelligence Research 70:1373–1411), as
    implemented in cleanlab. It finds rows that look like another task more than the classifier's usual errors explain. Only
    those with a probability of at least `SURE` are kept. Otherwise a mediocre classifier would report its own mistakes.

    Args:
        rows: n prompts.
        fitted: The classifier that was fitted on them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")  # in notebooks; no progress is shown here anyway
        from cleanlab.filter import find_label_issues

    held_out = [rows[i] for i in fitted.held_out]
    labels = np.array([fitted.tasks.index(row.task) for row in held_out])
    ranked = find_label_issues(
        labels, fitted.probabilities, filter_by="both", return_indices_ranked_by="self_confidence", n_jobs=1
    )
    best = fitted.probabilities.argmax(axis=1)
    return [
        Finding(
            problem="likely mislabelled",
            row=held_out[i],
            suggested=fitted.tasks[int(best[i])],
            strength=1 - float(fitted.probabilities[i, labels[i]]),
        )
        for i in ranked.tolist()
        if fitted.probabilities[i, best[i]] >= SURE
    ]


def find_thin(rows: Sequence[LabelledPrompt], tasks: Iterable[str]) -> Mapping[str, int]:
    """Return the tasks with fewer than `THIN` prompts, or none, with their number of prompts."""
    counts = Counter(row.task for row in rows)
    return {task: counts[task] for task in tasks if counts[task] < THIN}


def can_cross_validate(rows: Sequence[LabelledPrompt]) -> bool:
    """Return whether the rows suffice for cross-validation.

    That takes at least two tasks, and at least as many groups, and prompts of each task, as there are folds.
    """
    counts = Counter(row.task for row in rows)
    return len(counts) > 1 and min(counts.values()) >= FOLDS and len({row.group for row in rows}) >= FOLDS


def write_findings(path: Path, found: Sequence[Finding]) -> None:
    """Write the rows to look at as CSV. Cells that a spreadsheet would run as a formula are escaped."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["problem", "row", "task", "suggested", "strength", "other_row", "prompt", "other_prompt"])
        for finding in found:
            other = finding.other
            fields = [finding.problem, finding.row.row, finding.row.task, finding.suggested, f"{finding.strength:.3f}"]
            fields += [
                other.row if other else "",
                escape_formula(finding.row.prompt),
                escape_formula(other.prompt) if other else "",
            ]
            writer.writerow(fields)


def _normalize(row: LabelledPrompt) -> str:
    return " ".join(row.prompt.casefold().split())
