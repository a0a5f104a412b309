"""`llm-router-train verifier`: measure how often the verifier of a cascade accepts right and wrong answers."""

from __future__ import annotations

from pathlib import Path

import click

from training.cli.options import path_option

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@click.command("verifier")
@path_option("--answers", required=True, help="CSV of checked answers: accepted (true or false), score (0 to 1).")
@path_option("--benchmark", help="CSV of benchmark results with prompts, to measure how much errors of models overlap.")
def verifier_command(*, answers: Path, benchmark: Path | None) -> None:
    """Measure a verifier for [cascade].

    Take answers of the cheap models to a sample of prompts. Let the verifier check all of them, and score all of them by
    hand or by tests. The lines that are printed belong in the configuration.
    """
    from router.cascade import Rates
    from training.data.problems import DatasetError
    from training.data.table import read_table

    scores, accepted = list[float](), list[bool]()
    for number, record in read_table(answers, required=("accepted", "score")):
        word = _WORDS.get(record["accepted"].strip().lower())
        try:
            score = float(record["score"])
        except ValueError:
            score = -1.0
        if word is None or not 0 <= score <= 1:
            raise DatasetError(
                f"{answers}: row {number}: accepted must be true or false and score a number from 0 to 1, got "
                f"{record['accepted'][:20]!r} and {record['score'][:20]!r}; correct the row"
            )
        scores.append(score)
        accepted.append(word)
    rates = Rates.measure(scores, accepted)
    click.echo(f"# {len(scores)} answers, of which {sum(scores):g} are right")
    click.echo(_describe("true_accept", rates.true_accept, rates.true_accept_range))
    click.echo(_describe("false_accept", rates.false_accept, rates.false_accept_range))
    if benchmark is not None:
        overlap = _measure(benchmark)
        click.echo("# overlap: too few answers to measure it" if overlap is None else f"overlap = {overlap:.2f}")


def _describe(name: str, share: float, between: tuple[float, float] | None) -> str:
    return f"{name} = {share:.3f}" + ("" if between is None else f"  # 95 % interval {between[0]:.3f} to {between[1]:.3f}")


def _measure(path: Path) -> float | None:
    """Return the overlap of a benchmark's models. None if it cannot be measured."""
    import numpy as np

    from training.data.benchmark import read_benchmark
    from training.quality.outcomes import pivot
    from training.quality.overlap import measure_overlap

    outcomes = pivot(read_benchmark(path, tasks=None).results)
    return measure_overlap(outcomes.score, np.unique(outcomes.tasks, return_inverse=True)[1])
