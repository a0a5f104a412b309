"""Keyword rules and labelled prompts in, the rules of the prompts' tasks with their measured precision out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from router.classify.keywords import KeywordRules
from training.data.prompts import LabelledPrompt


def fit_rules(rules: KeywordRules, rows: Sequence[LabelledPrompt]) -> KeywordRules:
    """Return the rules of the tasks that occur, with the lower of the claimed and the measured precision.

    The author of the rules may have read these prompts. Then the measured precision is too high, so the lower figure counts.

    Args:
        rules: Rules for any tasks.
        rows: Labelled prompts that have a task of their own.
    """
    texts, tasks = [row.prompt for row in rows], [row.task for row in rows]
    kept = {task: list(phrases) for task, phrases in rules.phrases.items() if task in set(tasks)}
    rules = msgspec.structs.replace(rules, phrases=kept)
    return msgspec.structs.replace(rules, precision=min(rules.precision, round(measure_precision(texts, tasks, rules), 4)))


def measure_precision(texts: Sequence[str], tasks: Sequence[str], rules: KeywordRules) -> float:
    """Return the precision of rules, (right + 1) / (matches + 2) (Laplace's rule of succession).

    Args:
        texts: n prompts.
        tasks: The right task of each.
        rules: The rules. A prompt that no rule matches does not count.
    """
    matches = [(rules.match(text), task) for text, task in zip(texts, tasks, strict=True)]
    right = sum(match is not None and match[0] == task for match, task in matches)
    return (right + 1) / (sum(match is not None for match, _ in matches) + 2)
