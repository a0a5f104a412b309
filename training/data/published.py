"""Published benchmark figures in, a benchmark CSV out. Percentages and Elo ratings become scores in [0, 1]."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from router.types import PRICES
from training.data.problems import SHOWN_CHARS
from training.data.table import DatasetError, escape_formula, read_table

COLUMNS = (
    "model", "task", "score", "benchmark", "n", "cost_usd", "input_tokens", "output_tokens", "latency_s", "source",
    "provider", *PRICES, "cache_lifetime_s", "output_tokens_ratio", "context_window", "capabilities", "request",
    "released", "parameters_b", "as_of", "price_source",
)  # fmt: skip
_FACTS = ("provider", "input_usd_per_mtok", "output_usd_per_mtok", "context_window", "capabilities", "as_of")
# Columns that the file of models may lack.
_MORE_FACTS = (
    *PRICES[2:], "cache_lifetime_s", "output_tokens_ratio", "request", "released", "parameters_b",
)  # fmt: skip
_USAGE = ("cost_usd", "input_tokens", "output_tokens", "latency_s")
# One case of these benchmarks is a dialogue of many calls. So its cost and time are not the cost and time of a prompt.
_MANY_CALLS = ("aider/polyglot", "llmrouterbench/SWE-Bench")
# Half width of a 95 % interval of the normal distribution, in standard errors.
_Z95 = 1.96


def expected_score(rating: float, reference: float) -> float:
    """Return the share of comparisons that a model is expected to win against a reference. A tie counts half.

    The formula is 1 / (1 + 10^((reference − rating) / 400)) from Elo, The Rating of Chessplayers (1978), 1.4. Arena's
    Bradley–Terry ratings are published on this scale.

    Args:
        rating: Elo rating of the model.
        reference: Elo rating of the reference.
    """
    return 1 / (1 + 10 ** ((reference - rating) / 400))


def elo_sample_size(rating: float, reference: float, ci_low: float, ci_high: float) -> float:
    """Return the number of independent comparisons that would give an equally certain expected score, at least 1.

    The 95 % interval gives the standard error of the rating. The delta method turns it into the standard error of the
    score E: it is multiplied by the slope dE/dR = ln(10)/400 · E(1 − E). Its square equals E(1 − E)/n, which gives n.

    Args:
        rating: Elo rating of the model.
        reference: Elo rating of the reference.
        ci_low: Lower end of the rating's 95 % interval.
        ci_high: Upper end of the rating's 95 % interval.
    """
    expected = expected_score(rating, reference)
    slope = math.log(10) / 400 * expected * (1 - expected)
    stderr = (ci_high - ci_low) / (2 * _Z95) * slope
    # An interval without width says nothing about the sample size, so assume the smallest one.
    return max(expected * (1 - expected) / stderr**2, 1.0) if stderr > 0 else 1.0


def normalize_figures(figures: Path, models: Path, out: Path, *, reference: str) -> int:
    """Write a benchmark CSV from published figures and return its number of rows.

    Nothing is written if a figure is wrong.

    Args:
        figures: CSV file with the columns `model`, `task`, `benchmark`, `value`, `scale` and `source`. Optional columns are
            `n`, `ci_low`, `ci_high`, `cost_usd`, `input_tokens`, `output_tokens` and `latency_s`. `scale` is `fraction`,
            `percent` or `elo`.
        models: CSV file with the facts of each model, such as `provider` and `input_usd_per_mtok`. They are copied into the
            model's first row of the result.
        out: The file to write.
        reference: The model that Elo ratings are compared with. It must have a rating in every benchmark on this scale.

    Raises:
        DatasetError: If a figure is wrong, a model has no facts, or a benchmark has no rating of the reference.
    """
    facts = {record["model"]: record for _, record in read_table(models, required=("model", *_FACTS, "source"))}
    rows = [
        (number, record | {"scale": record["scale"].strip().casefold()})
        for number, record in read_table(figures, required=("model", "task", "benchmark", "value", "scale", "source"))
    ]
    reference_ratings = {
        record["benchmark"]: _read_number(f"{figures} row {number}", record, "value")
        for number, record in rows
        if record["scale"] == "elo" and record["model"] == reference
    }
    described: set[str] = set()
    normalized: list[dict[str, str]] = []
    # All figures are checked before the file is opened, so that a mistake leaves an older file as it is.
    for number, record in rows:
        model = record["model"]
        if model not in facts:
            raise DatasetError(f"{figures} row {number}: {models} has no row for {model!r}; add one")
        row = _normalize(f"{figures} row {number}", record, reference_ratings, reference)
        if model not in described:
            row |= {name: facts[model].get(name, "") for name in (*_FACTS, *_MORE_FACTS)} | {
                "price_source": facts[model]["source"]
            }
            described.add(model)
        normalized.append({name: escape_formula(value) for name, value in row.items()})
    _write(out, normalized)
    return len(normalized)


def _write(out: Path, rows: Iterable[Mapping[str, str]]) -> None:
    try:
        with out.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n", restval="")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise DatasetError(f"{out} cannot be written: {error.strerror}; name a file in an existing folder") from error


def _read_number(place: str, record: Mapping[str, str], name: str) -> float:
    """Return a finite number, which may be negative as an Elo rating may.

    Args:
        place: File and row, for the message.
        record: The fields of the row by column.
        name: Name of the column.
    """
    try:
        value = float(record.get(name, ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DatasetError(
            f"{place}: {name} must be a finite number, got {record.get(name, '')[:SHOWN_CHARS]!r}; "
            "correct it (digits only, and a dot before decimals)"
        )
    return value


def _normalize(place: str, record: Mapping[str, str], ratings: Mapping[str, float], reference: str) -> dict[str, str]:
    """Return a row of the result from a published figure.

    Args:
        place: File and row, for the messages.
        record: The fields of the figure by column.
        ratings: Elo rating of the reference in each benchmark.
        reference: The model that Elo ratings are compared with.
    """
    benchmark, value, n = record["benchmark"], _read_number(place, record, "value"), record.get("n", "")
    match record["scale"]:
        case "fraction":
            score = value
        case "percent":
            score = value / 100
        case "elo":
            # Ratings of different benchmarks are not comparable, so each needs the reference.
            if benchmark not in ratings:
                raise DatasetError(f"{place}: {benchmark} has no rating of the reference {reference!r}; choose another one")
            score = expected_score(value, ratings[benchmark])
            interval = _read_number(place, record, "ci_low"), _read_number(place, record, "ci_high")
            n = f"{elo_sample_size(value, ratings[benchmark], *interval):.0f}"
            # The score depends on the reference, so its name shows it.
            benchmark = f"{benchmark} vs {reference}"
        case unknown:
            raise DatasetError(f"{place}: scale must be fraction, percent or elo, got {unknown!r}; correct it")
    if not 0 <= score <= 1:
        raise DatasetError(f"{place}: value must be on its scale, got {record['value']} {record['scale']}; correct it")
    usage = {} if record["benchmark"] in _MANY_CALLS else {name: record.get(name, "") for name in _USAGE}
    return {
        "model": record["model"],
        "task": record["task"],
        "score": f"{score:.4f}",
        "benchmark": benchmark,
        "n": n,
        "source": record["source"],
        **usage,
    }
