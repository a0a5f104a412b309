"""What is wrong with labelled prompts: repeats, conflicts, likely wrong labels, thin tasks; and what mix they are."""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.classifier import FOLDS, FittedClassifier
from training.datasets import LabelledPrompt, escape_formula

if TYPE_CHECKING:
    from scipy import sparse

# Two prompts whose n-grams are above this cosine say the same in nearly the same words.
NEAR_COSINE = 0.9
# Fewer prompts than these teach a task badly: user accuracy still rises steeply there.
THIN = 50
PASTED_CHARS = 300
# Held-out, calibrated probability of another task from which on a label is worth a look.
SURE = 0.7
_BLOCK_ROWS = 1024
_OPENING_WORDS = 3
_TIDY_END = re.compile(r"[.!?:;)\]}\"'”»…。？！؟`]\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row to look at.

    Attributes:
        problem: `duplicate`, `conflicting labels`, `near-duplicate`, `near-duplicate of another task`, `likely mislabelled`.
        row: The prompt.
        other: The row it repeats or contradicts; None where there is none.
        suggested: The task it looks like; empty where nothing suggests one.
        strength: Cosine to the other row, or 1 − the probability held out for the label it has; in [0, 1].
    """

    problem: str
    row: LabelledPrompt
    other: LabelledPrompt | None = None
    suggested: str = ""
    strength: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One line of the mix: how many prompts of how many, and whether that was declared in the file or read off the text."""

    name: str
    count: int
    n: int
    declared: bool


def find_repeats(rows: Sequence[LabelledPrompt]) -> list[Finding]:
    """Find prompts that are the same but for case and white space: with one task, or with several."""
    first: dict[str, LabelledPrompt] = {}
    found = []
    for row in rows:
        earlier = first.setdefault(" ".join(row.prompt.casefold().split()), row)
        if earlier is not row:
            problem = "duplicate" if earlier.task == row.task else "conflicting labels"
            found.append(Finding(problem=problem, row=row, other=earlier))
    return found


def find_near_duplicates(rows: Sequence[LabelledPrompt], lexical: sparse.csr_matrix) -> list[Finding]:
    """Find pairs above `NEAR_COSINE` that are not in one group and not the same text; the later row is told.

    Args:
        rows: n prompts.
        lexical: Their hashed n-grams, shape (n, buckets), rows of length one: a tuned encoder hears the task and would call
            different questions alike, and none reads every script.
    """
    found = []
    for start in range(0, len(rows), _BLOCK_ROWS):
        cosines = (lexical[start : start + _BLOCK_ROWS] @ lexical.T).tocoo()
        near = cosines.data > NEAR_COSINE
        pairs = (part[near].tolist() for part in (cosines.row, cosines.col, cosines.data))
        for i, j, cosine in zip(*pairs, strict=True):
            later, earlier = rows[start + i], rows[j]
            if j >= start + i or later.group == earlier.group or _same_text(later, earlier):
                continue
            problem = "near-duplicate" if later.task == earlier.task else "near-duplicate of another task"
            found.append(Finding(problem=problem, row=later, other=earlier, strength=min(cosine, 1.0)))
    return sorted(found, key=lambda finding: (finding.problem, -finding.strength))


def find_mislabelled(rows: Sequence[LabelledPrompt], fitted: FittedClassifier) -> list[Finding]:
    """Find rows whose held-out probabilities speak clearly for another task, the worst first.

    By confident learning (Northcutt, Jiang and Chuang, 2021, Journal of Artificial Intelligence Research 70:1373–1411) as in
    cleanlab: rows that look like another task more than the classifier's habitual errors explain. Of those only the ones of
    which it is `SURE`, for a mediocre classifier would else tell more of its own mistakes than of the labels'.

    Args:
        rows: n prompts.
        fitted: The classifier that was fitted on them; its held-out probabilities are read.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")  # in notebooks, for progress that is not shown
        from cleanlab.filter import find_label_issues

    rows = [rows[i] for i in fitted.judged]
    labels = np.array([fitted.tasks.index(row.task) for row in rows])
    ranked = find_label_issues(
        labels, fitted.probabilities, filter_by="both", return_indices_ranked_by="self_confidence", n_jobs=1
    )
    best = fitted.probabilities.argmax(axis=1)
    return [
        Finding(
            problem="likely mislabelled",
            row=rows[i],
            suggested=fitted.tasks[int(best[i])],
            strength=1 - float(fitted.probabilities[i, labels[i]]),
        )
        for i in ranked.tolist()
        if fitted.probabilities[i, best[i]] >= SURE
    ]


def find_thin(rows: Sequence[LabelledPrompt], tasks: Iterable[str]) -> Mapping[str, int]:
    """Return the tasks that have fewer than `THIN` prompts, or none, with their number."""
    counts = Counter(row.task for row in rows)
    return {task: counts[task] for task in tasks if counts[task] < THIN}


def can_be_judged(rows: Sequence[LabelledPrompt]) -> bool:
    """Return whether there is enough to hold some out: two tasks or more, in each and in groups as many as folds."""
    counts = Counter(row.task for row in rows)
    return len(counts) > 1 and min(counts.values()) >= FOLDS and len({row.group for row in rows}) >= FOLDS


def measure_mix(rows: Sequence[LabelledPrompt]) -> list[Share]:
    """Count styles, languages, sizes and contrast sets.

    What people's typing looks like and whether something was pasted is read off the text where no row declares it.
    """
    n = len(rows)
    marked = {mark for row in rows for mark in row.marks}
    sizes = [len(row.prompt.split()) for row in rows]
    openings = [" ".join(row.prompt.lower().split()[:_OPENING_WORDS]) for row in rows]
    shares = [
        _mark_share(rows, "typed", guess=None if marked & {"typed", "tidy"} else looks_typed),
        _mark_share(rows, "pasted", guess=None if "pasted" in marked else lambda text: len(text) > PASTED_CHARS),
        *(_mark_share(rows, mark) for mark in ("context", "two") if mark in marked),
        Share(
            name="languages other than en",
            count=sum(row.language not in ("", "en") for row in rows),
            n=n,
            declared=True,
        ),
        Share(name="under 8 words", count=sum(size < 8 for size in sizes), n=n, declared=False),  # noqa: PLR2004
        Share(name="over 400 words", count=sum(size > 400 for size in sizes), n=n, declared=False),  # noqa: PLR2004
        Share(name="in contrast sets", count=sum(len(group) for group in contrast_sets(rows)), n=n, declared=True),
    ]
    of_task = defaultdict(list)
    for row, opening in zip(rows, openings, strict=True):
        of_task[row.task].append(opening)
    worst = max(of_task, key=lambda task: Counter(of_task[task]).most_common(1)[0][1] / len(of_task[task]))
    count = Counter(of_task[worst]).most_common(1)[0][1]
    name = f"same first {_OPENING_WORDS} words, at worst ({worst})"
    return [*shares, Share(name=name, count=count, n=len(of_task[worst]), declared=False)]


def contrast_sets(rows: Sequence[LabelledPrompt]) -> list[list[LabelledPrompt]]:
    """Return the groups that hold three tasks or more: one topic or text, asked about in several ways."""
    groups: dict[str, list[LabelledPrompt]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return [group for group in groups.values() if len({row.task for row in group}) >= 3]  # noqa: PLR2004


def write_findings(path: Path, found: Sequence[Finding]) -> None:
    """Write the rows to look at as CSV, safe to open in a spreadsheet."""
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


def looks_typed(text: str) -> bool:
    """Return whether a text opens in lower case, or its last line ends without any sign.

    >>> looks_typed("fix this loop"), looks_typed("Please write a letter.")
    (True, False)
    """
    return text.lstrip()[:1].islower() or not _TIDY_END.search(text)


def _mark_share(rows: Sequence[LabelledPrompt], mark: str, guess: Callable[[str], bool] | None = None) -> Share:
    count = sum(mark in row.marks if guess is None else guess(row.prompt) for row in rows)
    return Share(name=mark, count=count, n=len(rows), declared=guess is None)


def _same_text(a: LabelledPrompt, b: LabelledPrompt) -> bool:
    return a.prompt.casefold().split() == b.prompt.casefold().split()
