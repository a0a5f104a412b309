"""A CSV file of (prompt, model) pairs in, checked rows out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.data.fields import check_nul, read_number, split_list
from training.data.problems import SHOWN_CHARS
from training.data.prompts import read_task
from training.data.table import DatasetError, Problems, open_table
from training.measure.graders import GRADERS, find_problem
from training.measure.item import DEFAULT_TOLERANCE, Item

_REQUIRED = ("prompt", "model")
# The columns that decide a score besides.
GRADING_COLUMNS = ("grader", "expected", "rubric", "options", "tolerance")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One prompt for one model.

    Attributes:
        model: Name of the model.
        grader: Name of the grader.
        item: The prompt and what the answer is checked against.
        fields: All columns of the row as text, by name, the grader included. In no repr, because of the prompt.
    """

    model: str
    grader: str
    item: Item
    fields: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<PlanRow: {self.model}, {self.grader}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurePlan:
    """A file of pairs.

    Attributes:
        header: The names of its columns.
        rows: Its rows in their order. The most useful pair comes first.
        repeated: Number of rows that were left out, because they repeat another one.
        unknown: Number of rows of each model that cannot be asked. They were left out.
    """

    header: tuple[str, ...]
    rows: tuple[PlanRow, ...]
    repeated: int
    unknown: Mapping[str, int]


def read_plan(
    path: Path, *, models: Collection[str], tasks: Collection[str], grader: str | None = None, against: str | None = None
) -> MeasurePlan:
    """Read what `llm-router-train plan` wrote, or any CSV file with the columns `prompt` and `model`.

    The columns `grader`, `expected`, `rubric`, `options` (separated by `|`) and `tolerance` decide how answers are graded.
    `task` must be a known one. Other columns are kept as they are. Rows of models that cannot be asked are left out.

    Args:
        path: The file.
        models: The models that can be asked.
        tasks: The tasks that a row may name.
        grader: Grader of the rows that name none.
        against: Model whose answer is compared if a row expects none.

    Raises:
        DatasetError: If the file cannot be read, or no row has a model that can be asked. Also if rows break a rule: it
            lists them all.
    """
    problems = Problems(path)
    rows: dict[tuple[str, ...], PlanRow] = {}
    unknown: Counter[str] = Counter()
    count = 0
    with open_table(path, required=lambda _: _REQUIRED) as table:
        for number, texts in table.rows:
            record, before = dict(zip(table.header, texts, strict=True)), problems.count
            model = record["model"] = record["model"].strip()
            if model and model not in models:
                unknown[model] += 1
                continue
            check_nul(number, record, problems)
            if record.get("task", "").strip():
                record["task"] = read_task(number, record["task"], list(tasks), problems)
            row = _read_row(number, record, grader=grader, against=against, problems=problems)
            if problems.count == before:
                count += 1
                rows.setdefault(tuple(row.fields.get(name, "") for name in (*_REQUIRED, *GRADING_COLUMNS)), row)
    problems.raise_any()
    if not rows:
        raise DatasetError(
            f"{path} must have at least one row of a model of the configuration, found none; these are: {', '.join(models)}"
        )
    return MeasurePlan(header=table.header, rows=tuple(rows.values()), repeated=count - len(rows), unknown=unknown)


def _read_row(
    number: int,
    record: dict[str, str],
    *,
    grader: str | None,
    against: str | None,
    problems: Problems,
) -> PlanRow:
    name = record["grader"] = record.get("grader", "").strip() or grader or ""
    tolerance = read_number(number, "tolerance", record.get("tolerance", ""), problems)
    item = Item(
        prompt=record["prompt"],
        expected=record.get("expected", ""),
        rubric=record.get("rubric", "").strip(),
        options=split_list(record.get("options", "")),
        tolerance=tolerance if tolerance >= 0 else DEFAULT_TOLERANCE,  # NaN if the field is empty
    )
    if not item.prompt.strip():
        problems.add(number, "prompt must not be empty; fill it in or remove the row")
    if not record["model"]:
        problems.add(number, "model must not be empty; fill it in or remove the row")
    if name not in GRADERS:
        shown = name[:SHOWN_CHARS]
        problems.add(number, f"grader must be one of {', '.join(GRADERS)}, got {shown!r}; fill it in or set --grader")
    elif problem := find_problem(name, item, against=against):
        problems.add(number, problem)
    return PlanRow(model=record["model"], grader=name, item=item, fields=record)
