"""The columns of a benchmark file that describe a model in, `ModelFacts` out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from training.data.fields import read_number, split_list
from training.data.table import Problems

_NUMERIC = ("input_usd_per_mtok", "output_usd_per_mtok", "context_window")
FACT_COLUMNS = ("provider", *_NUMERIC, "capabilities", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The description of a model in a benchmark file. Its scores are in `Results`.

    Attributes:
        provider: The maker. Empty if unknown.
        input_usd_per_mtok: USD per million input tokens. None if unknown.
        output_usd_per_mtok: USD per million output tokens. None if unknown.
        context_window: Context window in tokens, at least 1. None if unknown.
        capabilities: Names such as `tools` or `vision`.
        source: The origin of the model's first row that names one.
    """

    provider: str = ""
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    context_window: int | None = None
    capabilities: frozenset[str] = frozenset()
    source: str = ""


@dataclass(slots=True)
class FactCollector:
    """The facts of all models while a file is being read.

    A fact may be in one row of a model or in several. If it is in several rows, the values must agree.

    Attributes:
        problems: Collects the mistakes.
    """

    problems: Problems
    _values: dict[str, dict[str, str]] = field(default_factory=dict)
    _last_row: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add(self, number: int, model: str, texts: tuple[str, ...]) -> None:
        """Add the facts of one row.

        Args:
            number: Number of the row.
            model: The model.
            texts: The fields of `FACT_COLUMNS`. Empty if unknown.
        """
        # Most files repeat the same facts in every row, and a file may have millions of rows.
        if self._last_row.get(model) == texts:
            return
        self._last_row[model] = texts
        # The first row that names a fact wins. Later rows can only agree.
        facts = self._values.setdefault(model, {})
        for name, text in zip(FACT_COLUMNS, texts, strict=True):
            value, known = text.strip(), facts.get(name, "")
            # Rows of one model may come from different sources, so this column may differ.
            if value and known and value != known and name != "source":
                self.problems.add(
                    number, f"{name} of {model} must be the same in all its rows, got {known!r} and {value!r}; correct one"
                )
            elif value and not known:
                facts[name] = value
                self._check_number(number, name, value)

    def finish(self, models: Iterable[str]) -> dict[str, ModelFacts]:
        """Return the facts of each model, in the order of `models`. A model without facts gets an empty value."""
        return {model: _make_facts(self._values.get(model, {})) for model in models}

    def _check_number(self, number: int, name: str, value: str) -> None:
        if name not in _NUMERIC:
            return
        figure = read_number(number, name, value, self.problems)
        if name == "context_window" and figure < 1:
            self.problems.add(number, f"context_window must be at least 1, got {value}; correct it or leave it empty")


def _make_facts(values: Mapping[str, str]) -> ModelFacts:
    numbers = {name: float(values[name]) if name in values else None for name in _NUMERIC}
    window = numbers["context_window"]
    return ModelFacts(
        provider=values.get("provider", ""),
        input_usd_per_mtok=numbers["input_usd_per_mtok"],
        output_usd_per_mtok=numbers["output_usd_per_mtok"],
        context_window=int(window) if window else None,
        capabilities=frozenset(split_list(values.get("capabilities", ""))),
        source=values.get("source", ""),
    )
