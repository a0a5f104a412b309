"""The rows of a benchmark file in, columns of results out. There are two layouts, and the header decides which one it is.

- Long: each row is one model on one prompt or one task.
- Wide: each row is one prompt, and each model has columns of its own, as in RouterBench.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from training.data.facts import FACT_COLUMNS, FactCollector
from training.data.fields import check_nul, read_n, read_number, read_score
from training.data.prompts import check_task
from training.data.results import MEASURES, Columns
from training.data.table import Problems

# Suffixes of the columns of one model in a wide table.
_COST = "|total_cost"
_RESPONSE = "|model_response"
# The measures after score and n: cost, tokens and time. They are optional columns of a long table.
_USAGE = MEASURES[2:]
# A wide table has no columns for input tokens, output tokens and latency.
_NO_TOKENS_NOR_TIME = (math.nan,) * 3

# Adds a row, given its number and its fields.
AddRow = Callable[[int, list[str]], None]


@dataclass(slots=True)
class Sheet:
    """A benchmark file while it is being read, with the checks that both layouts share.

    Attributes:
        header: The column names.
        tasks: The tasks that a row may name. None: any task.
        problems: Collects the mistakes.
        columns: The results so far.
        facts: The facts of the models so far.
    """

    header: Sequence[str]
    tasks: Sequence[str] | None
    problems: Problems
    columns: Columns = field(default_factory=Columns)
    facts: FactCollector = field(init=False)

    def __post_init__(self) -> None:
        self.facts = FactCollector(self.problems)

    def check(self, number: int, task: str, prompt: str, texts: Sequence[str]) -> None:
        """Report a row without task and prompt, with an unknown task or with NUL characters.

        Args:
            number: Number of the row.
            task: Its task, stripped. Empty if it names none.
            prompt: Its prompt. Empty if it has none.
            texts: All its fields.
        """
        if not task and not prompt.strip():
            self.problems.add(number, "a row must have a task or a prompt, got neither; fill one in")
        if task and task not in self.columns.tasks:  # a task in the results was checked before
            check_task(number, task, self.tasks, self.problems)
        if "\0" in "".join(texts):  # look first, because a dict for each of millions of rows is slow
            check_nul(number, dict(zip(self.header, texts, strict=True)), self.problems)

    def encode_prompt(self, number: int, prompt: str, group: str) -> int:
        """Return the code of a prompt, or −1 if the row has none. Report a prompt with two groups."""
        try:
            return self.columns.encode_prompt(prompt, group.strip())
        except ValueError as error:
            self.problems.add(number, str(error))
            return -1


def is_wide(header: Sequence[str]) -> bool:
    """Return whether a table is wide: it has columns of models, but no column `model` or `score`."""
    return "model" not in header and "score" not in header and bool(_find_wide_models(header))


def list_required(header: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that a benchmark file must have. In a wide table that is a score and a cost for each model."""
    if not is_wide(header):
        return ("model", "score")
    return tuple(column for model in _find_wide_models(header) for column in (model, model + _COST))


def long_rows(sheet: Sheet) -> AddRow:
    """Return the function that adds a row of a long table: one model on one prompt or one task."""
    pick = _make_picker(sheet.header, ("model", "score", "task", "prompt", "benchmark", "group", "n", *_USAGE))
    pick_facts = _make_picker(sheet.header, FACT_COLUMNS) if set(FACT_COLUMNS) & set(sheet.header) else None
    problems = sheet.problems

    def add(number: int, texts: list[str]) -> None:
        before = problems.count
        model, score, task, prompt, benchmark, group, n, *usage = pick(texts)
        model, task = model.strip(), task.strip()
        if not model:
            problems.add(number, "model must not be empty; fill it in or remove the row")
        sheet.check(number, task, prompt, texts)
        value = read_score(number, "score", score, problems)
        # NaN also stands for a wrong score, which was reported already.
        if math.isnan(value) and problems.count == before:
            problems.add(number, "score must not be empty; fill it in or remove the row")
        measures = [value, read_n(number, n, problems)]
        measures += [read_number(number, name, text, problems) for name, text in zip(_USAGE, usage, strict=True)]
        if problems.count > before:
            return
        if prompt:  # the column n is for aggregates only
            measures[1] = 1.0
        sheet.columns.add(model, task, benchmark, sheet.encode_prompt(number, prompt, group), measures)
        if pick_facts:
            sheet.facts.add(number, model, pick_facts(texts))

    return add


def wide_rows(sheet: Sheet) -> AddRow:
    """Return the function that adds a row of a wide table: all models on one prompt. No score means not measured."""
    pick = _make_picker(sheet.header, ("task", "prompt", "eval_name", "group"))
    index = sheet.header.index
    columns = [(model, index(model), model + _COST, index(model + _COST)) for model in _find_wide_models(sheet.header)]
    problems = sheet.problems

    def add(number: int, texts: list[str]) -> None:
        before = problems.count
        task, prompt, benchmark, group = pick(texts)
        task = task.strip()
        sheet.check(number, task, prompt, texts)
        cells = [
            (model, read_score(number, model, texts[at], problems), read_number(number, cost, texts[cost_at], problems))
            for model, at, cost, cost_at in columns
        ]
        if problems.count > before:
            return
        code, n = sheet.encode_prompt(number, prompt, group), 1.0 if prompt else math.nan
        for model, score, cost_usd in cells:
            if not math.isnan(score):
                sheet.columns.add(model, task, benchmark, code, (score, n, cost_usd, *_NO_TOKENS_NOR_TIME))

    return add


def _find_wide_models(header: Iterable[str]) -> tuple[str, ...]:
    """Return the models that have a cost or response column, in the order of the header."""
    models = [name.removesuffix(_COST).removesuffix(_RESPONSE) for name in header if name.endswith((_COST, _RESPONSE))]
    return tuple(dict.fromkeys(filter(None, models)))


def _make_picker(header: Sequence[str], names: Sequence[str]) -> Callable[[list[str]], tuple[str, ...]]:
    """Return a function that picks the fields of some columns from a row. A missing column gives an empty field."""
    places = {name: place for place, name in enumerate(header)}
    # The place after the last field stands for every missing column; the picker appends an empty field there.
    pick = itemgetter(*(places.get(name, len(header)) for name in names))
    return lambda texts: pick([*texts, ""])
