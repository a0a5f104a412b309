"""`llm-router-train evaluate`: measure the predicted tasks of a model folder, or whether its routing pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.model_folder.load import find_model_folder
from training.cli.options import json_option, model_option, own_tasks_option, path_option, seed_option, show_progress
from training.cli.tables import format_qualities, format_tasks

if TYPE_CHECKING:
    from training.data.prompts import LabelledPrompt
    from training.evaluation.evaluate import Evaluation


@click.command("evaluate")
@path_option("--prompts", help="CSV of labelled prompts: prompt,task,…; may end in .gz.")
@path_option("--conversations", help="Instead: CSV of conversations: conversation_id,role,content,task.")
@path_option("--benchmark", help="Instead: CSV of benchmark results with prompts. Reports whether routing pays.")
@model_option
@path_option("--train-on", help="CSV of labelled prompts, or of benchmark results, that the baselines learn from.")
@click.option("--by", type=click.Choice(["task", "source"]), help="Print one more table, with a row for each of these.")
@own_tasks_option
@seed_option
@path_option("--out", help="Folder to write figures, tables, pictures and a page to. Needs the extra plots.")
@json_option
def evaluate_command(
    *,
    prompts: Path | None,
    conversations: Path | None,
    benchmark: Path | None,
    model: Path | None,
    train_on: Path | None,
    by: str | None,
    own_tasks: bool,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure a model folder beside baselines.

    With --prompts or --conversations: how often it predicts the right task. With --benchmark: whether its routing pays.
    """
    files = [file for file in (prompts, conversations, benchmark) if file]
    # The three kinds of file need different columns and give different figures.
    if len(files) != 1:
        raise click.UsageError("give one of --prompts, --conversations and --benchmark")
    if benchmark and (by or own_tasks):
        raise click.UsageError("--by and --own-tasks are for --prompts; leave them out")
    if out:
        # If matplotlib is missing, fail now and not after minutes of work.
        import matplotlib  # noqa: F401
    folder = model or find_model_folder()
    if benchmark:
        _evaluate_routing(benchmark, folder, train_on=train_on, seed=seed, out=out, as_json=as_json)
        return
    # Conversations have three sources (first turn, follow-up, short follow-up), which always matter.
    if conversations:
        by = "task" if by == "task" else "source"
    _evaluate_tasks(
        files[0],
        folder,
        is_conversations=conversations is not None,
        train_on=train_on,
        by=by,
        own_tasks=own_tasks,
        seed=seed,
        out=out,
        as_json=as_json,
    )


def _evaluate_tasks(
    file: Path,
    model: Path,
    *,
    is_conversations: bool,
    train_on: Path | None,
    by: str | None,
    own_tasks: bool,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure the predicted tasks, print them and write them."""
    from training.classifier.features import default_cache
    from training.data.conversations import read_conversations
    from training.data.prompts import TASKS, read_prompts, with_task
    from training.evaluation.folder import evaluate_folder
    from training.evaluation.report import to_json, write_evaluation

    tasks = None if own_tasks else TASKS
    known = read_prompts(train_on, tasks=tasks) if train_on else None
    given = (read_conversations if is_conversations else read_prompts)(file, tasks=tasks)
    # Texts without a request have no right task to compare with.
    given = replace(given, rows=with_task(given.rows))
    evaluation, predictions = evaluate_folder(
        model, given, train_on=known, seed=seed, cache=default_cache(), progress=show_progress
    )
    # The baselines may learn from the same file.
    notes = list(dict.fromkeys([*given.notes, *(known.notes if known else ())]))
    written = write_evaluation(out, evaluation, file.name, notes=notes) if out else []
    if as_json:
        click.echo(to_json(evaluation, file.name, notes=notes))
        return
    head = f"{file.name}: n {evaluation.n}, seed {seed}, 95 % bootstrap intervals"
    lines = [head, *(f"note: {note}" for note in notes), *_describe(evaluation)]
    if by == "task":
        lines += ["", *format_tasks(evaluation.tasks)]
    elif by == "source":
        lines += _format_sources(predictions, given.rows)
    click.echo("\n".join([*lines, *map(str, written)]))


def _evaluate_routing(
    benchmark: Path, model: Path, *, train_on: Path | None, seed: int, out: Path | None, as_json: bool
) -> None:
    """Assess the routing, print the verdict and write the report."""
    from training.classifier.features import default_cache
    from training.verdict.folder import assess_routing
    from training.verdict.report import to_json, to_text, write_routing

    assessment = assess_routing(
        model, benchmark, train_on=train_on, seed=seed, cache=default_cache(), progress=show_progress
    )
    evaluation, notes = assessment.evaluation, assessment.notes
    written = write_routing(out, evaluation, notes=notes) if out else []
    if as_json:
        click.echo(to_json(evaluation, notes=notes))
        return
    click.echo("\n".join([*to_text(evaluation, notes=notes), *map(str, written)]))


def _describe(evaluation: Evaluation) -> list[str]:
    deciders = ", ".join(f"{name} {share.n} (accuracy {share.accuracy:.2f})" for name, share in evaluation.deciders.items())
    return [
        *format_qualities(evaluation.qualities),
        f"router: among two {evaluation.top2}, calibration error {evaluation.calibration_error}",
        f"settled by: {deciders}",
    ]


def _format_sources(predictions: dict[str, list[str | None]], rows: Sequence[LabelledPrompt]) -> list[str]:
    """Return one line for each source: the accuracy of each set of predictions on its rows."""
    lines = ["", f"{'source':26} {'n':>5}  " + "  ".join(f"{name:>13}" for name in predictions) + "   (accuracy)"]
    for source in sorted({row.source for row in rows}):
        # Accuracy by source has no interval: some sources have only a few rows.
        places = [i for i, row in enumerate(rows) if row.source == source]
        shares = [sum(guess[i] == rows[i].task for i in places) / len(places) for guess in predictions.values()]
        lines.append(f"{source:26} {len(places):5}  " + "  ".join(f"{share:13.3f}" for share in shares))
    return lines
