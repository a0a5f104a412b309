"""`llm-router-train check-data` and `published`: check labelled prompts, and convert published benchmark figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from router.model_folder.load import find_model_folder
from training.cli.options import own_tasks_option, path_option, seed_option, show_progress

if TYPE_CHECKING:
    from training.data.prompts import LabelledPrompt
    from training.evaluation.labels import Finding


@click.command("check-data")
@click.argument("file", type=click.Path(path_type=Path))
@path_option("--out", help="CSV file to write the rows to that should be checked.")
@path_option("--encoder", help="Encoder folder; default: that of the shipped model folder.")
@own_tasks_option
@seed_option
@click.option("--kinds", is_flag=True, help="Also list the kinds of request of each task.")
def check_data_command(
    file: Path, *, out: Path | None, encoder: Path | None, own_tasks: bool, seed: int, kinds: bool
) -> None:
    """Find likely mistakes in labelled prompts.

    FILE is a CSV of labelled prompts. The command lists duplicates, conflicts and likely wrong labels, and shows how many
    prompts of which kind there are.
    """
    from training.classifier.features import default_cache
    from training.data.prompts import TASKS
    from training.evaluation.check import check_prompts
    from training.evaluation.labels import write_findings

    given, found = check_prompts(
        file,
        encoder=encoder or find_model_folder() / "encoder",
        own_tasks=own_tasks,
        seed=seed,
        cache=default_cache(),
        progress=show_progress,
    )
    # With own tasks, a task without any prompt cannot be known, let alone be reported as too small.
    tasks = sorted({row.task for row in given.rows}) if own_tasks else TASKS
    lines = [f"{file}: {len(given.rows)} prompts", *(f"note: {note}" for note in given.notes)]
    lines += [*_list_tasks(given.rows, tasks), *_list_mix(given.rows)]
    if kinds:
        lines += _list_kinds(given.rows)
    # The findings are printed before they are written, so that they are not lost if the file cannot be written.
    click.echo("\n".join([*lines, *_count_findings(found)]))
    if out:
        write_findings(out, found)
        click.echo(f"{out}: {len(found)} rows to check")


@click.command("published")
@path_option("--figures", required=True, help="CSV of published figures: model,task,benchmark,value,scale,…")
@path_option("--models", required=True, help="CSV of models: model,provider,prices,context_window,…")
@path_option("--out", required=True, help="Benchmark CSV to write.")
@click.option(
    "--reference",
    default="gemini-2.5-flash",
    show_default=True,
    help="Model that Elo ratings are compared with to get expected scores.",
)
def published_command(*, figures: Path, models: Path, out: Path, reference: str) -> None:
    """Convert published benchmark figures.

    Percentages and Elo ratings become scores in [0, 1], in the columns of a benchmark file.
    """
    from training.data.published import normalize_figures

    click.echo(f"{out}: {normalize_figures(figures, models, out, reference=reference)} rows")


def _list_tasks(rows: Sequence[LabelledPrompt], tasks: Sequence[str]) -> Iterator[str]:
    """Yield the number, languages and sizes of the prompts of each task, then the tasks with too few prompts."""
    from training.evaluation.labels import find_thin

    yield ""
    yield f"{'task':16} {'n':>5}  languages  other than en  median words  most words"
    for task, n in Counter(row.task for row in rows).most_common():
        own = [row for row in rows if row.task == task]
        sizes = sorted(len(row.prompt.split()) for row in own)
        languages = {row.language for row in own if row.language}
        foreign = sum(row.language not in ("", "en") for row in own) / n
        yield f"{task:16} {n:5}  {len(languages):9}  {foreign:13.0%}  {sizes[n // 2]:12}  {sizes[-1]:10}"
    for task, n in find_thin(rows, tasks).items():
        yield f"too few: {task} has {n} prompts"


def _list_mix(rows: Sequence[LabelledPrompt]) -> Iterator[str]:
    """Yield the shares of styles, languages and sizes, then the number of contrast sets."""
    from training.evaluation.mix import contrast_sets, measure_mix

    yield ""
    yield f"{'mix':50} {'n':>5}   share"
    for share in measure_mix(rows):
        yield f"{share.name + ('' if share.declared else ' *'):50} {share.count:5}  {share.count / share.n:6.1%}"
    yield f"{'contrast sets':50} {len(contrast_sets(rows)):5}"
    yield "* derived from the text; the others are declared in the file"


def _list_kinds(rows: Sequence[LabelledPrompt]) -> Iterator[str]:
    """Yield the kinds of request of each task, most frequent first."""
    yield ""
    for task in sorted({row.task for row in rows}):
        kinds = Counter(row.kind or "not named" for row in rows if row.task == task)
        yield f"{task}, {len(kinds)} kinds: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())


def _count_findings(found: Sequence[Finding]) -> Iterator[str]:
    """Yield the number of findings of each problem."""
    yield ""
    if not found:
        yield "nothing to check"
        return
    yield f"{'to check':50} {'n':>5}"
    for problem, count in Counter(finding.problem for finding in found).most_common():
        yield f"{problem:50} {count:5}"
