"""Published figures brought to the benchmark layout: percentages and Elo ratings become scores in [0, 1]."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from training.datasets import DatasetError, escape_formula, read_table

COLUMNS = (
    "model", "task", "score", "benchmark", "n", "cost_usd", "input_tokens", "output_tokens", "latency_s", "source",
    "provider", "input_usd_per_mtok", "output_usd_per_mtok", "context_window", "capabilities", "as_of", "price_source",
)  # fmt: skip
_FACTS = ("provider", "input_usd_per_mtok", "output_usd_per_mtok", "context_window", "capabilities", "as_of")
_USAGE = ("cost_usd", "input_tokens", "output_tokens", "latency_s")
# One case of these is a dialogue of many calls: its cost and time are not those of a prompt.
_MANY_CALLS = ("aider/polyglot", "llmrouterbench/SWE-Bench")
_Z95 = 1.96


def expected_score(rating: float, reference: float) -> float:
    """Return the share of comparisons a model is expected to win against a reference, ties counting half.

    1 / (1 + 10^((reference − rating) / 400)): Elo, The Rating of Chessplayers (1978), 1.4; Arena's Bradley–Terry ratings
    are published on this scale.
    """
    return 1 / (1 + 10 ** ((reference - rating) / 400))


def elo_sample_size(rating: float, reference: float, ci_low: float, ci_high: float) -> float:
    """Return how many independent comparisons would give an expected score that certain, at least 1.

    The 95 % interval gives the rating's standard error; times the slope dE/dR = ln(10)/400 · E(1 − E) (delta method) it is
    that of the score E, and E(1 − E)/n is its square.
    """
    expected = expected_score(rating, reference)
    slope = math.log(10) / 400 * expected * (1 - expected)
    stderr = (ci_high - ci_low) / (2 * _Z95) * slope
    return max(expected * (1 - expected) / stderr**2, 1.0) if stderr > 0 else 1.0


def normalize_figures(figures: Path, models: Path, out: Path, *, reference: str) -> int:
    """Write a benchmark CSV from published figures; return its number of rows.

    Args:
        figures: CSV of `model,task,benchmark,value,scale,n,ci_low,ci_high,…`; `scale` is `fraction`, `percent` or `elo`.
        models: CSV of `model,provider,input_usd_per_mtok,…`; stands in each model's first row of the result.
        out: The file to write.
        reference: The model against which Elo becomes an expected score, within the same benchmark.

    Raises:
        DatasetError: If a figure's scale is unknown, its model has no facts, or its benchmark lacks the reference.
    """
    facts = {record["model"]: record for _, record in read_table(models, required=("model", *_FACTS, "source"))}
    rows = list(read_table(figures, required=("model", "task", "benchmark", "value", "scale", "source")))
    references = {
        record["benchmark"]: _number(f"{figures} row {number}", record, "value")
        for number, record in rows
        if record["scale"] == "elo" and record["model"] == reference
    }
    told: set[str] = set()
    made: list[dict[str, str]] = []
    for number, record in rows:
        if record["model"] not in facts:
            raise DatasetError(f"{figures} row {number}: {models} has no row for {record['model']!r}; add one")
        row = _normalize(f"{figures} row {number}", record, references, reference)
        if record["model"] not in told:
            known = facts[record["model"]]
            row |= {name: known[name] for name in _FACTS} | {"price_source": known["source"]}
            told.add(record["model"])
        made.append({name: escape_formula(value) for name, value in row.items()})
    try:
        with out.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n", restval="")
            writer.writeheader()
            writer.writerows(made)
    except OSError as error:
        raise DatasetError(f"{out} cannot be written: {error.strerror}; name a file in an existing folder") from error
    return len(rows)


def _number(place: str, record: Mapping[str, str], name: str) -> float:
    try:
        value = float(record.get(name, ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DatasetError(f"{place}: {name} must be a finite number, was {record.get(name, '')!r}; correct it")
    return value


def _normalize(place: str, record: Mapping[str, str], references: Mapping[str, float], reference: str) -> dict[str, str]:
    benchmark, value, n = record["benchmark"], _number(place, record, "value"), record.get("n", "")
    match record["scale"]:
        case "fraction":
            score = value
        case "percent":
            score = value / 100
        case "elo":
            if benchmark not in references:
                raise DatasetError(f"{place}: {benchmark} has no rating of the reference {reference!r}; choose another one")
            score = expected_score(value, references[benchmark])
            bounds = _number(place, record, "ci_low"), _number(place, record, "ci_high")
            n = f"{elo_sample_size(value, references[benchmark], *bounds):.0f}"
            benchmark = f"{benchmark} vs {reference}"
        case unknown:
            raise DatasetError(f"{place}: scale must be fraction, percent or elo, was {unknown!r}; correct it")
    if not 0 <= score <= 1:
        raise DatasetError(f"{place}: value must lie on its scale, was {record['value']} {record['scale']}; correct it")
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
