"""The columns of a benchmark file that describe a model in, `ModelFacts` out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.dates import first_day
from router.types import PRICES
from training.data.fields import read_count, read_number, split_capabilities
from training.data.problems import SHOWN_CHARS, Problems, count_more

_NUMBERS = (*PRICES, "cache_lifetime_s", "output_tokens_ratio", "parameters_b")
_ABOVE_ZERO = ("output_tokens_ratio", "parameters_b")
FACT_COLUMNS = ("provider", *_NUMBERS, "context_window", "capabilities", "request", "released", "as_of", "source")
# Between the name of a model and that of its variant: `gpt-5.5@high`.
_VARIANT = "@"
# USD per million tokens. The cheapest models cost some 0.01, and a token of the dearest ones 0.0006.
_LOWEST_PRICE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The description of a model in a benchmark file. Its scores are in `Results`.

    Attributes:
        provider: The maker. Empty if unknown.
        input_usd_per_mtok: USD per million input tokens. None if unknown.
        output_usd_per_mtok: USD per million output tokens. None if unknown.
        cached_input_usd_per_mtok: USD per million input tokens that the prompt cache holds. None if unknown.
        cache_write_usd_per_mtok: USD per million input tokens that are written to it. None if unknown.
        audio_input_usd_per_mtok: USD per million input tokens of audio. None if unknown.
        audio_output_usd_per_mtok: USD per million output tokens of audio. None if unknown.
        image_input_usd_per_mtok: USD per million input tokens of images. None if unknown.
        batch_input_usd_per_mtok: USD per million input tokens in the batch API. None if unknown.
        batch_output_usd_per_mtok: USD per million output tokens in the batch API. None if unknown.
        cache_lifetime_s: Seconds for which that cache keeps a prompt. None if unknown.
        output_tokens_ratio: Length of a variant's answers relative to those of its model. None if unknown.
        context_window: Context window in tokens, at least 1. None if unknown.
        capabilities: Names such as `tools` or `vision`.
        request: Parameters that make a variant of the model, such as `{"reasoning_effort": "high"}`. Empty for a model.
        released: Date of release as `YYYY-MM-DD`, or `YYYY-MM` if the day is unknown. Empty if unknown.
        parameters_b: Billions of parameters in total, not only the active ones. None if the maker does not publish them.
        as_of: Date of the prices, in the form of `released`. Empty if unknown.
        source: The origin of the model's first row that names one.
    """

    provider: str = ""
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    cached_input_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    audio_input_usd_per_mtok: float | None = None
    audio_output_usd_per_mtok: float | None = None
    image_input_usd_per_mtok: float | None = None
    batch_input_usd_per_mtok: float | None = None
    batch_output_usd_per_mtok: float | None = None
    cache_lifetime_s: float | None = None
    output_tokens_ratio: float | None = None
    context_window: int | None = None
    capabilities: frozenset[str] = frozenset()
    request: Mapping[str, object] = field(default_factory=dict)
    released: str = ""
    parameters_b: float | None = None
    as_of: str = ""
    source: str = ""


@dataclass(slots=True)
class FactCollector:
    """The facts of all models while a file is being read.

    A fact may be in one row of a model or in several. If it is in several rows, the values must agree.

    Attributes:
        problems: Collects the mistakes.
        decimal_comma: Whether the file writes decimals with commas.
    """

    problems: Problems
    decimal_comma: bool = False
    # By model and column: the value, its text in the file, and its row.
    _facts: dict[str, dict[str, tuple[Any, str, int]]] = field(default_factory=dict)
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
        facts = self._facts.setdefault(model, {})
        for name, text in zip(FACT_COLUMNS, map(str.strip, texts), strict=True):
            if not text:
                continue
            value = self._read(number, name, text)
            if name == "request" and value and not find_model_of(model, value):
                self.problems.add(number, f"a model with a request must be named MODEL@OPTIONS, got {model!r}; rename it")
            # The first row that names a fact wins. Later rows can only agree.
            known, known_text, _ = facts.setdefault(name, (value, text, number))
            # Rows of one model may come from different sources, so this column may differ.
            if value != known and name != "source":
                self.problems.add(
                    number,
                    f"{name} of {model} must be the same in all its rows, got {known_text!r} and {text!r}; correct one",
                )

    def finish(self, models: Iterable[str]) -> dict[str, ModelFacts]:
        """Return the facts of each model, those of `models` first. A model without facts gets an empty value."""
        values = {model: {name: value for name, (value, *_) in facts.items()} for model, facts in self._facts.items()}
        return {model: ModelFacts(**values.get(model, {})) for model in (*models, *values)}

    def describe_prices(self) -> list[str]:
        """Return a note for each column of prices that seems to hold prices per token, with the first such price.

        Call it only if no problem was found.
        """
        notes = []
        for name in PRICES:
            prices = [(model, *facts[name]) for model, facts in self._facts.items() if name in facts]
            low = [(row, model, text) for model, value, text, row in prices if 0 < value < _LOWEST_PRICE]
            if low:
                row, model, text = min(low)
                notes.append(
                    f"{name} must be USD per million tokens, got {text} of {model} in row {row}"
                    f"{count_more(len(low) - 1, 'models')}; multiply it by 1,000,000 if it is a price per token"
                )
        return notes

    def _read(self, number: int, name: str, text: str) -> Any:
        """Return the value of a fact. A wrong number is reported and becomes None."""
        match name:
            case "capabilities":
                return frozenset(split_capabilities(text))
            case "provider" | "source":
                return text
            case "request":
                return self._read_request(number, text)
            case "released" | "as_of":
                return self._read_date(number, name, text)
        return self._read_number(number, name, text)

    def _read_number(self, number: int, name: str, text: str) -> float | None:
        read = read_number if name in _NUMBERS else read_count
        value = read(number, name, text, self.problems, decimal_comma=self.decimal_comma)
        if math.isnan(value):
            return None
        if name in _ABOVE_ZERO and value == 0:
            self.problems.add(number, f"{name} must be above 0, got {text}; correct it or leave it empty")
        if name in _NUMBERS:
            return value
        if value < 1:
            self.problems.add(number, f"context_window must be at least 1, got {text}; correct it or leave it empty")
        return int(value)

    def _read_date(self, number: int, name: str, text: str) -> str:
        if first_day(text) is None:
            rule = "must be a date as YYYY-MM-DD or YYYY-MM"
            self.problems.add(number, f"{name} {rule}, got {text[:SHOWN_CHARS]!r}; correct it or leave it empty")
        return text

    def _read_request(self, number: int, text: str) -> dict[str, object] | None:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict) or not value:
            shown = text[:SHOWN_CHARS]
            rule = 'must be a JSON object such as {"reasoning_effort": "high"}'
            self.problems.add(number, f"request {rule}, got {shown!r}; correct it or leave it empty")
            return None
        return value


def find_model_of(name: str, request: Mapping[str, object]) -> str:
    """Return the model that a variant is made of: its name up to the last `@`. Empty if it is no variant.

    Args:
        name: Name of the variant, such as `gpt-5.5@high`.
        request: The parameters that make it. Empty: it is none.
    """
    return name.rpartition(_VARIANT)[0] if request else ""
