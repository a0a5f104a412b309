"""The rows of a benchmark file in, columns of results out. There are two layouts, and the header decides which one it is.

- Long: each row is one model on one prompt or one task.
- Wide: each row is one prompt, and each model has columns of its own, as in RouterBench.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import itemgetter

from training.data.facts import FACT_COLUMNS
from training.data.fields import read_n, read_number, read_score
from training.data.header import name_column
from training.data.results import MEASURES
from training.data.sheet import Sheet

# Suffixes of the columns of one model in a wide table.
_COST = "|total_cost"
_RESPONSE = "|model_response"
# The measures after score and n: cost, tokens and time. They are optional columns of a long table.
_USAGE = MEASURES[2:]
_LONG = ("model", "score", "task", "prompt", "benchmark", "group", "n", *_USAGE)
_WIDE = ("task", "prompt", "eval_name", "group")
# A wide table has no columns for input tokens, output tokens and latency.
_NO_TOKENS_NOR_TIME = (math.nan,) * 3

# Adds a row, given its number and its fields.
AddRow = Callable[[int, list[str]], None]


def name_benchmark_column(text: str) -> str:
    """Return a column name as the layouts spell it. Names of models stay as they are.

    >>> name_benchmark_column(" Latency S"), name_benchmark_column("GPT-5 | Total Cost"), name_benchmark_column("GPT-5")
    ('latency_s', 'GPT-5|total_cost', 'GPT-5')
    """
    name = name_column(text)
    if name in {*_LONG, *_WIDE, *FACT_COLUMNS}:
        return name
    model, bar, suffix = text.strip().rpartition("|")
    suffix = bar + name_column(suffix)
    return model.strip() + suffix if suffix in (_COST, _RESPONSE) else text.strip()


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
    pick = _make_picker(sheet.header, _LONG)
    pick_facts = _make_picker(sheet.header, FACT_COLUMNS) if set(FACT_COLUMNS) & set(sheet.header) else None
    problems = sheet.problems
    score_of = partial(read_score, problems=problems, decimal_comma=sheet.decimal_comma)
    number_of = partial(read_number, problems=problems, decimal_comma=sheet.decimal_comma)

    def add(number: int, texts: list[str]) -> None:
        before = problems.count
        model, score, task_text, prompt, benchmark, group, n, *usage = pick(texts)
        model, facts = model.strip(), pick_facts(texts) if pick_facts else ()
        if not model:
            problems.add(number, "model must not be empty; fill it in or remove the row")
        elif _is_blank((score, task_text, prompt, benchmark, group, n, *usage)) and not _is_blank(facts):
            sheet.facts.add(number, model, facts)  # a model that was not measured yet
            return
        task, prompt = sheet.find_task(number, task_text), prompt if prompt.strip() else ""
        sheet.check(number, task, prompt, texts)
        value = score_of(number, "score", score)
        # NaN also stands for a wrong score, which was reported already.
        if math.isnan(value) and problems.count == before:
            problems.add(number, "score must not be empty; fill it in or remove the row")
        measures = [value, read_n(number, n, problems, decimal_comma=sheet.decimal_comma)]
        measures += [number_of(number, name, text) for name, text in zip(_USAGE, usage, strict=True)]
        if problems.count > before or task is None:
            return
        if prompt:  # the column n is for aggregates only
            measures[1] = 1.0
        sheet.add(number, model, task, benchmark.strip(), sheet.encode_prompt(number, prompt, group), measures)
        if facts:
            sheet.facts.add(number, model, facts)

    return add


def _is_blank(texts: Iterable[str]) -> bool:
    return not any(text and not text.isspace() for text in texts)


def wide_rows(sheet: Sheet) -> AddRow:
    """Return the function that adds a row of a wide table: all models on one prompt. No score means not measured."""
    pick = _make_picker(sheet.header, _WIDE)
    index = sheet.header.index
    columns = [(model, index(model), model + _COST, index(model + _COST)) for model in _find_wide_models(sheet.header)]
    problems = sheet.problems
    score_of = partial(read_score, problems=problems, decimal_comma=sheet.decimal_comma)
    number_of = partial(read_number, problems=problems, decimal_comma=sheet.decimal_comma)

    def add(number: int, texts: list[str]) -> None:
        before = problems.count
        task_text, prompt, benchmark, group = pick(texts)
        task, prompt = sheet.find_task(number, task_text), prompt if prompt.strip() else ""
        sheet.check(number, task, prompt, texts)
        cells = [
            (model, score_of(number, model, texts[at]), number_of(number, cost, texts[cost_at]))
            for model, at, cost, cost_at in columns
        ]
        if problems.count > before or task is None:
            return
        code, n = sheet.encode_prompt(number, prompt, group), 1.0 if prompt else math.nan
        for model, score, cost_usd in cells:
            if not math.isnan(score):
                sheet.add(number, model, task, benchmark.strip(), code, (score, n, cost_usd, *_NO_TOKENS_NOR_TIME))

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
