"""`llm-router-train evaluate`: how often the task is told, or whether routing pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.artifacts import find_artifact
from training.cli.options import own_tasks_option, path_option, seed_option, show_progress
from training.cli.tables import tell_qualities, tell_tasks

if TYPE_CHECKING:
    from training.datasets import LabelledPrompt
    from training.evaluate import Evaluation


@click.command()
@path_option("--prompts", help="CSV of labelled prompts: prompt,task,…; may end in .gz.")
@path_option("--conversations", help="Instead: CSV of conversations: conversation_id,role,content,task.")
@path_option("--benchmark", help="Instead: CSV of benchmark results with prompts: says whether routing pays.")
@path_option("--model", help="Model folder; default: $LLM_ROUTER_MODEL, else the shipped one.")
@path_option("--train-on", help="CSV of labelled prompts, or of benchmark results, that the baselines learn from.")
@click.option("--by", type=click.Choice(["task", "source"]), help="A table for each of them besides.")
@own_tasks_option
@seed_option
@path_option("--out", help="Folder to write the figures, tables, pictures and a page to; needs the extra `plots`.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(
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
    """Say how often a model folder tells the task, or whether its routing pays on a benchmark; beside baselines."""
    from training.classifier import default_cache
    from training.datasets import TASKS, read_conversations, read_prompts, with_task
    from training.pipeline import evaluate_folder
    from training.report import to_json, write_evaluation

    given_files = [file for file in (prompts, conversations, benchmark) if file]
    if len(given_files) != 1:
        raise click.UsageError("give one of --prompts, --conversations and --benchmark")
    (file,) = given_files
    if out:
        import matplotlib  # noqa: F401 - missing, it should be told before the work
    if benchmark:
        if by or own_tasks:
            raise click.UsageError("--by and --own-tasks are for --prompts; leave them out")
        _evaluate_routing(benchmark, model or find_artifact(), train_on=train_on, seed=seed, out=out, as_json=as_json)
        return

    tasks = None if own_tasks else TASKS
    given = (read_prompts if prompts else read_conversations)(file, tasks=tasks)
    given = replace(given, rows=with_task(given.rows))
    evaluation, guesses = evaluate_folder(
        model or find_artifact(),
        given,
        train_on=read_prompts(train_on, tasks=tasks) if train_on else None,
        seed=seed,
        cache=default_cache(),
        progress=show_progress,
    )
    written = write_evaluation(out, evaluation, file.name) if out else []
    if as_json:
        click.echo(to_json(evaluation, file.name))
        return
    click.echo("\n".join([f"{file.name}: n {evaluation.n}, seed {seed}, 95 % bootstrap intervals", *_tell(evaluation)]))
    if by == "task":
        click.echo("\n".join(["", *tell_tasks(evaluation.tasks)]))
    elif by == "source" or conversations:
        click.echo("\n".join(_tell_sources(guesses, given.rows)))
    for path in written:
        click.echo(path)


def _evaluate_routing(
    benchmark: Path, model: Path, *, train_on: Path | None, seed: int, out: Path | None, as_json: bool
) -> None:
    from training.classifier import default_cache
    from training.pipeline import evaluate_routing
    from training.routing.report import to_json, to_text, write_routing

    judgement = evaluate_routing(
        model, benchmark, train_on=train_on, seed=seed, cache=default_cache(), progress=show_progress
    )
    written = write_routing(out, judgement.evaluation, notes=judgement.notes) if out else []
    if as_json:
        click.echo(to_json(judgement.evaluation, notes=judgement.notes))
        return
    click.echo("\n".join(to_text(judgement.evaluation, notes=judgement.notes)))
    for path in written:
        click.echo(path)


def _tell(evaluation: Evaluation) -> list[str]:
    deciders = ", ".join(f"{name} {share.n} (accuracy {share.accuracy:.2f})" for name, share in evaluation.deciders.items())
    return [
        *tell_qualities(evaluation.qualities),
        f"router: among two {evaluation.top2}, calibration error {evaluation.calibration_error}",
        f"settled by: {deciders}",
    ]


def _tell_sources(predictions: dict[str, list[str | None]], rows: Sequence[LabelledPrompt]) -> list[str]:
    lines = ["", f"{'source':26} {'n':>5}  " + "  ".join(f"{name:>13}" for name in predictions) + "   (accuracy)"]
    for source in sorted({row.source for row in rows}):
        places = [i for i, row in enumerate(rows) if row.source == source]
        shares = [sum(guess[i] == rows[i].task for i in places) / len(places) for guess in predictions.values()]
        lines.append(f"{source:26} {len(places):5}  " + "  ".join(f"{share:13.3f}" for share in shares))
    return lines
