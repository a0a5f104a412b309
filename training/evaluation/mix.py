"""Labelled prompts in, their mix out: shares of typed, pasted, short and foreign prompts, and of contrast sets."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.data.prompts import LabelledPrompt

# A longer prompt probably contains a pasted text.
PASTED_CHARS = 300
_OPENING_WORDS = 3
_TIDY_END = re.compile(r"[.!?:;)\]}\"'”»…。？！؟`]\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptShare:
    """Number of prompts with some property.

    Attributes:
        name: Name of the property.
        count: Number of prompts that have it.
        n: Number of prompts that could have it.
        declared: Whether the file declares it. If not, it is derived from the text.
    """

    name: str
    count: int
    n: int
    declared: bool


def measure_mix(rows: Sequence[LabelledPrompt]) -> list[PromptShare]:
    """Count styles, languages, sizes, contrast sets and repeated openings.

    If no row declares whether it was typed or contains a pasted text, that is derived from the text.
    """
    n = len(rows)
    marked = {mark for row in rows for mark in row.marks}
    sizes = [len(row.prompt.split()) for row in rows]
    return [
        _count_mark(rows, "typed", guess=None if marked & {"typed", "tidy"} else looks_typed),
        _count_mark(rows, "pasted", guess=None if "pasted" in marked else lambda text: len(text) > PASTED_CHARS),
        *(_count_mark(rows, mark) for mark in ("context", "two") if mark in marked),
        PromptShare(
            name="languages other than en",
            count=sum(row.language not in ("", "en") for row in rows),
            n=n,
            declared=True,
        ),
        # Very short prompts have little to classify. Very long ones are cut to head and tail.
        PromptShare(name="under 8 words", count=sum(size < 8 for size in sizes), n=n, declared=False),  # noqa: PLR2004
        PromptShare(name="over 400 words", count=sum(size > 400 for size in sizes), n=n, declared=False),  # noqa: PLR2004
        PromptShare(name="in contrast sets", count=sum(len(group) for group in contrast_sets(rows)), n=n, declared=True),
        _count_openings(rows),
    ]


def contrast_sets(rows: Sequence[LabelledPrompt]) -> list[list[LabelledPrompt]]:
    """Return the groups with at least three tasks: one topic or text with several requests about it."""
    groups: dict[str, list[LabelledPrompt]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return [group for group in groups.values() if len({row.task for row in group}) >= 3]  # noqa: PLR2004


def looks_typed(text: str) -> bool:
    """Return whether a text starts in lower case or ends without a punctuation mark.

    >>> looks_typed("fix this loop"), looks_typed("Please write a letter.")
    (True, False)
    """
    return text.lstrip()[:1].islower() or not _TIDY_END.search(text)


def _count_mark(rows: Sequence[LabelledPrompt], mark: str, guess: Callable[[str], bool] | None = None) -> PromptShare:
    """Count the rows with a mark, or the texts that look like it if `guess` is given."""
    count = sum(mark in row.marks if guess is None else guess(row.prompt) for row in rows)
    return PromptShare(name=mark, count=count, n=len(rows), declared=guess is None)


def _count_openings(rows: Sequence[LabelledPrompt]) -> PromptShare:
    """Return the task with the largest share of prompts that start with the same words.

    A classifier can learn such an opening instead of the task.
    """
    by_task: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_task[row.task].append(" ".join(row.prompt.lower().split()[:_OPENING_WORDS]))
    counts = {task: Counter(openings).most_common(1)[0][1] for task, openings in by_task.items()}
    worst = max(by_task, key=lambda task: counts[task] / len(by_task[task]))
    name = f"same first {_OPENING_WORDS} words, worst task ({worst})"
    return PromptShare(name=name, count=counts[worst], n=len(by_task[worst]), declared=False)
